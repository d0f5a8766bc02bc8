"""COCO's average precision of matched pictures, each counted as often as a weight says.

With weights of 1 the numbers are those of pycocotools' `accumulate` and `summarize`, but for the last bits; with whole
weights those of pictures repeated as often. Many sets of weights are worked through at once: each class is sorted once,
and what depends on the weights are sums along that order.

Source: `COCOeval.accumulate` (https://github.com/ppwwyyxx/cocoapi, pycocotools 2.0.11). Differs: it looks for the first
detection that reaches each recall; here each match takes the points of recall it is the first to reach, which is the
same sum. Detections of equal scores come in the order of the pictures; a repeated picture's equal scores stay side by
side, where the API would take them picture by picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from coachc.calib.metrics.matching import THRESHOLDS, PictureMatches

#: Recall at which precision is looked up: `Params.setDetParams`. The last entry is beyond what is reached.
_RECALLS = np.append(np.linspace(0, 1, 101), np.inf)
_POINTS = 101
# Sums of fractions may miss the recall they are by rounding, and with it one point of 101.
_ROUNDING = 1e-12
# Weights times detections that are worked through at once: 16 MiB an array.
_AT_ONCE = 1 << 21


class AveragePrecision(NamedTuple):
    """Of some pictures.

    Attributes
    ----------
    classes : ndarray of int32, shape (classes,)
        Those with a truth or a detection, ascending.
    by_class : ndarray of float, shape (classes, 10)
        At each of `THRESHOLDS`, in [0, 1]; NaN where a class has no truth, as the API's -1.
    """

    classes: np.ndarray
    by_class: np.ndarray

    @property
    def mean(self) -> float:
        """mAP 0.50:0.95, over the classes that have truths; NaN where none has."""
        return float(class_mean(self.by_class.mean(axis=1)))

    @property
    def at50(self) -> float:
        """mAP50."""
        return float(class_mean(self.by_class[:, 0]))


@dataclass(frozen=True)
class _RankedClass:
    """Detections of one class by falling score, of all pictures: shapes (d,), (10, d), (10, d), (pictures,)."""

    pictures: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


class RankedPictures:
    """Pictures sorted for any number of weights.

    Parameters
    ----------
    pictures : sequence of PictureMatches
    """

    def __init__(self, pictures: Sequence[PictureMatches]) -> None:
        self.count = len(pictures)
        labels = [part for one in pictures for part in (one.classes, one.truth_classes)]
        self.classes: np.ndarray = np.unique(np.concatenate([*labels, np.zeros(0, np.int32)])).astype(np.int32)
        self._ranked = _ranked(pictures, self.classes) if self.count else []

    def by_class(self, weights: np.ndarray) -> np.ndarray:
        """Average precision, shape (sets, classes, 10); NaN where all truths of a class weigh nothing.

        Parameters
        ----------
        weights : ndarray of int or float, shape (sets, pictures)
            How often each picture counts, at least 0.
        """
        weights = np.asarray(weights, np.float64)
        assert weights.shape[1:] == (self.count,)
        assert (weights >= 0).all()
        slack = 0.0 if np.array_equal(weights, np.rint(weights)) else _ROUNDING
        found = np.full((len(weights), len(self.classes), len(THRESHOLDS)), np.nan)
        for place, ranked in enumerate(self._ranked):
            step = max(_AT_ONCE // max(len(ranked.pictures), 1), 1)
            for start in range(0, len(weights), step):
                part = slice(start, start + step)
                found[part, place] = _class_ap(ranked, weights[part], slack)
        return found


def average_precision(pictures: Sequence[PictureMatches], weights: np.ndarray | None = None) -> AveragePrecision:
    """Average precision by class and threshold.

    Parameters
    ----------
    pictures : sequence of PictureMatches
    weights : ndarray of int or float, shape (pictures,), optional
        How often each picture counts, at least 0. None: once.
    """
    ranked = RankedPictures(pictures)
    counted = np.ones(ranked.count) if weights is None else np.asarray(weights)
    return AveragePrecision(ranked.classes, ranked.by_class(counted[None])[0])


def picture_ap(matches: PictureMatches) -> float:
    """What one picture's detections are worth, in [0, 1]: 1 where all is found and nothing else.

    Returns
    -------
    float
        Mean, over the classes that are in the picture and the ten thresholds, of the average precision of this picture
        alone. A class is in it that has a truth or a detection that counts: of a class without truths every detection
        is wrong, however low its score, and the class is worth 0; one that holds nothing but what a crowd covers is
        not looked at. 1 where there are neither truths nor detections.
    """
    found = average_precision([matches])
    if not len(found.classes):
        return 1.0
    # Where a class has no truth: 0 at thresholds where a detection counts, 1 where there is none, so nothing to lose.
    wrong = np.array([(~matches.ignored[:, matches.classes == label]).any(axis=1) for label in found.classes])
    known = ~np.isnan(found.by_class)
    present = known.any(axis=1) | wrong.any(axis=1)
    worth = np.where(known, found.by_class, ~wrong)[present]
    return float(worth.mean()) if len(worth) else 1.0


def class_mean(by_class: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(by_class)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, by_class, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _ranked(pictures: Sequence[PictureMatches], classes: np.ndarray) -> list[_RankedClass]:
    found = np.concatenate([one.classes for one in pictures])
    scores = np.concatenate([one.scores for one in pictures])
    of_picture = np.repeat(np.arange(len(pictures)), [len(one.classes) for one in pictures])
    matched = np.concatenate([one.matched for one in pictures], axis=1)
    ignored = np.concatenate([one.ignored for one in pictures], axis=1)
    truths = np.zeros((len(classes), len(pictures)))
    for place, one in enumerate(pictures):
        truths[np.searchsorted(classes, one.truth_classes), place] = one.truths
    # Stable: equal scores stay in the order of the pictures, and of the detections in each.
    order = np.lexsort((-scores, found))
    ends = np.searchsorted(found[order], classes, side="right")
    starts = np.searchsorted(found[order], classes)
    ranked = []
    for start, end, own_truths in zip(starts, ends, truths, strict=True):
        own = order[start:end]
        ranked.append(_RankedClass(of_picture[own], (matched & ~ignored)[:, own], ignored[:, own], own_truths))
    return ranked


def _class_ap(ranked: _RankedClass, weights: np.ndarray, slack: float) -> np.ndarray:
    """Average precision of one class, shape (sets, 10); weights of shape (sets, pictures)."""
    truths = weights @ ranked.truths
    found = np.zeros((len(weights), len(THRESHOLDS)))
    # Sets last: every step below then goes along rows that lie together.
    each = np.ascontiguousarray(weights.T)[ranked.pictures]
    all_seen = np.cumsum(each, axis=0)
    for place, (right, ignored) in enumerate(zip(ranked.right, ranked.ignored, strict=True)):
        matches = np.flatnonzero(right)
        if not len(matches):
            continue
        seen = np.cumsum(each * ~ignored[:, None], axis=0) if ignored.any() else all_seen
        hits = np.cumsum(each[matches], axis=0)
        # The API adds 2e-16 below instead, which makes a perfect picture worth a little less than 1.
        precision = hits / np.where(hits > 0, seen[matches], 1)
        best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        reached = _points_reached(hits / np.where(truths > 0, truths, 1) * (1 + slack))
        points = np.diff(reached, axis=0, prepend=0)
        found[:, place] = np.einsum("mr,mr->r", best, points) / _POINTS
    return np.where(truths[:, None] > 0, found, np.nan)


def _points_reached(recall: np.ndarray) -> np.ndarray:
    """How many of the 101 points are at most each recall: compared as floats, as the API does."""
    point = np.minimum((recall * (_POINTS - 1)).astype(np.intp), _POINTS - 1)
    return point + (_RECALLS[point] <= recall) + (_RECALLS[point + 1] <= recall)
