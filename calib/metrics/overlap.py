"""How well masks cover each other: intersection over union by class, and the share of pixels that are right.

All of it comes from counts of pixels by class that is there and class that was answered. Pixels that nobody knows the
class of (255 in VOC and Cityscapes) are in no count. Source: the mean intersection over union of
Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective" (2015), 3.3; over the classes that are
in the truth or in the answer, since of others there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coachc.calib.truths.mask_files import IGNORED


def confusion(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of one picture by class.

    Parameters
    ----------
    truth : ndarray of int, shape (height, width)
        Values below `classes`, or `IGNORED`.
    answer : ndarray of int, of the same shape
        Values below `classes`; where the truth is `IGNORED`, any.
    classes : int

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        Rows: the class that is there; columns: the one that was answered.

    Raises
    ------
    ValueError
        If shapes differ or a value is no class.
    """
    if truth.shape != answer.shape:
        raise ValueError(f"a truth of shape {truth.shape} and an answer of shape {answer.shape}")
    known = truth != IGNORED
    there, answered = truth[known].astype(np.int64), answer[known].astype(np.int64)
    for values in (there, answered):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"values from {values.min()} to {values.max()}, and {classes} classes")
    return np.bincount(there * classes + answered, minlength=classes * classes).reshape(classes, classes)


def class_iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union, shape (..., classes); NaN for classes that are neither there nor answered.

    Parameters
    ----------
    counts : ndarray, shape (..., classes, classes)
    """
    counts = np.asarray(counts, np.float64)
    return iou_of(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2))


def iou_of(both: np.ndarray, truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The same of pixels by class: of both, of the truth, of the answer."""
    either = truth + answer - both
    return np.where(either > 0, both / np.where(either > 0, either, 1), np.nan)


def picture_iou(counts: np.ndarray) -> float:
    """What one picture's answer is worth, in [0, 1]: mean over its classes; 1 where no pixel is judged.

    Parameters
    ----------
    counts : ndarray, shape (classes, classes)
    """
    found = class_iou(counts)
    known = ~np.isnan(found)
    return float(found[known].mean()) if known.any() else 1.0


def mean_iou(counts: Sequence[np.ndarray] | np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean over the classes, each over the pixels of all pictures together; NaN where no pixel is judged.

    Parameters
    ----------
    counts : ndarray or sequence of ndarray, shape (pictures, classes, classes)
    weights : ndarray, shape (pictures,), optional
        How often each picture counts, at least 0.
    """
    total = _total(counts, weights)
    found = class_iou(total)
    known = ~np.isnan(found)
    return float(found[known].mean()) if known.any() else float("nan")


def pixel_accuracy(counts: Sequence[np.ndarray] | np.ndarray, weights: np.ndarray | None = None) -> float:
    """Share of the judged pixels that are right, of one picture or of several; NaN where no pixel is judged."""
    total = _total(counts, weights)
    pixels = float(total.sum())
    return float(np.trace(total)) / pixels if pixels else float("nan")


def _total(counts: Sequence[np.ndarray] | np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    stacked = np.asarray(counts, np.float64)
    if stacked.ndim == 2:
        stacked = stacked[None]
    return np.tensordot(np.ones(len(stacked)) if weights is None else np.asarray(weights, np.float64), stacked, axes=1)
