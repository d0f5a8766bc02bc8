"""How far rounding moves a model's outputs: a measure of loss that needs fewer samples than counting wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.accuracy import FIDELITY_TOLERANCE, top1


@dataclass(frozen=True, slots=True)
class Probe:
    """What rounding does to the outputs of some samples.

    Attributes
    ----------
    divergence : float
        Mean Kullback-Leibler divergence between the classes' probabilities with and without rounding, in nats; for
        models that do not classify, mean relative L2 error of the outputs.
    changed : float
        Share of samples whose answer is another one.
    samples : int
    """

    divergence: float
    changed: float
    samples: int


def divergence(whole: Sequence[np.ndarray], split: Sequence[np.ndarray], *, classifies: bool) -> float:
    """Kullback-Leibler divergence of the classes' probabilities, or the largest relative L2 error of any output."""
    if classifies:
        p, q = log_softmax(whole[0]), log_softmax(split[0])
        return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))
    return max(
        float(np.linalg.norm(b.astype(np.float64) - a)) / max(float(np.linalg.norm(a.astype(np.float64))), 1e-12)
        for a, b in zip(whole, split, strict=True)
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities of each row, shape (batch, classes); probabilities themselves count as logits."""
    rows = logits.reshape(logits.shape[0], -1).astype(np.float64)
    rows = rows - rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def changed(whole: Sequence[np.ndarray], split: Sequence[np.ndarray], *, classifies: bool) -> bool:
    """Whether the answer is another class; for models that do not classify, whether the outputs moved by 1 %."""
    if not classifies:
        return divergence(whole, split, classifies=False) > FIDELITY_TOLERANCE
    before, after = top1(whole[0]), top1(split[0])
    assert before is not None
    assert after is not None
    return not np.array_equal(before, after)
