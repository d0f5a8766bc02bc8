"""How sure the device can be of a task's label by its feature alone: three scores, each a product with one matrix.

separability
    COACH Eq. 8 to 10: cosine similarity to each label's semantic centre, made to lie in [0, 1] for features that can be
    negative, and S = |T| (t_H - t_SH) t_H / t_SH, guarded against a second similarity of zero.
margin
    Best minus second-best cosine after the mean feature of calibration was taken away. Without that all centres of a
    network point nearly the same way (0.967 to 0.994 between centres of a ResNet101).
head
    Best minus second-best output of a linear classifier on the feature, trained at compile time.
"""

from typing import NamedTuple, Tuple

import numpy as np

from .feature import unit

SCORES = ("separability", "margin", "head")
#: The second similarity of Eq. 9 is at least this.
LEAST_SIMILARITY = 1e-6


class Scorer(NamedTuple):
    """One score.

    Attributes
    ----------
    kind : {"separability", "margin", "head"}
    labels : tuple of int
        Class of each row of `weights`, ascending: those that calibration has seen.
    weights : ndarray of float32, shape (labels, D)
        Centres of length 1 (after `mean` was taken away), or the head's.
    bias : ndarray of float32, shape (labels,)
        The head's; zeros for centres.
    mean : ndarray of float32, shape (D,)
        Taken from a feature before its cosines are; zeros for separability and head.
    signed : bool
        Separability only: features can be negative, so a similarity is (1 + cosine) / 2.
    """

    kind: str
    labels: Tuple[int, ...]
    weights: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    signed: bool = False


class Scored(NamedTuple):
    """Position of the best label among the scorer's (-1: none), and the score, -inf where there is none."""

    best: int
    score: float


NOTHING = Scored(-1, float("-inf"))


def similarities(scorer: Scorer, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What the score is made of.

    Parameters
    ----------
    scorer : Scorer
    features : ndarray of float32, shape (tasks, D)
        Finite.
    weights : ndarray of float32, shape (labels, D)
        The scorer's own, or as centres have moved since.

    Returns
    -------
    ndarray of float32, shape (tasks, labels)
    """
    if scorer.kind == "head":
        return features @ weights.T + scorer.bias
    cosines = unit(features - scorer.mean) @ weights.T
    if scorer.kind == "margin":
        return cosines
    return (1 + cosines) / 2 if scorer.signed else np.clip(cosines, 0, 1)


def scores(kind: str, values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Position of the best label and the score of each row of similarities; see the module.

    Returns
    -------
    ndarray of int, shape (tasks,)
        The first of equals.
    ndarray of float32, shape (tasks,)
        -inf with fewer than two labels: one alone says nothing.
    """
    best = values.argmax(axis=1)
    if values.shape[1] < 2:
        return best, np.full(len(values), float("-inf"), dtype=np.float32)
    top = np.partition(values, values.shape[1] - 2, axis=1)[:, -2:]
    second, first = top[:, 0], top[:, 1]
    margin = first - second
    if kind == "separability":
        length = np.sqrt(np.einsum("ij,ij->i", values, values))
        margin = length * margin * first / np.maximum(second, np.float32(LEAST_SIMILARITY))
    return best, margin


def score(scorer: Scorer, feature: np.ndarray, weights: np.ndarray) -> Scored:
    """Label and score of one task's feature (shape (D,)); `NOTHING` for one that is not finite, or without labels."""
    if not scorer.labels:
        return NOTHING
    with np.errstate(over="ignore", invalid="ignore"):
        # One sum instead of a look at each element: infinities and NaN survive it.
        if not np.isfinite(np.dot(feature, feature)):
            return NOTHING
        best, value = scores(scorer.kind, similarities(scorer, feature[None], weights))
    # NaN, or more than a float32 holds, is no reason to exit.
    return Scored(int(best[0]), float(value[0])) if value[0] < np.inf else NOTHING
