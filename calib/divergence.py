"""How far rounding moves a model's outputs: a measure of loss that needs fewer samples than counting wrong answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Probe:
    """What rounding does to the outputs of some samples.

    Attributes
    ----------
    divergence : float
        Mean Kullback-Leibler divergence between the classes' probabilities with and without rounding, in nats; where
        outputs are judged, mean distance of the one that moves most.
    changed : float
        Share of samples whose answer is another one; where outputs are judged, mean loss of the one that loses most.
    samples : int
    """

    divergence: float
    changed: float
    samples: int


def divergence(whole: np.ndarray, split: np.ndarray) -> float:
    """Kullback-Leibler divergence of the classes' probabilities, mean over the rows, in nats."""
    p, q = log_softmax(whole), log_softmax(split)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities of each row, shape (batch, classes); probabilities themselves count as logits."""
    rows = logits.reshape(logits.shape[0], -1).astype(np.float64)
    rows = rows - rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
