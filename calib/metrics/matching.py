"""Which detections of a picture match which truths, by COCO's rules, in what average precision needs of it.

pycocotools, the COCO API itself, compares the boxes and matches them; this file hands it one class of one picture after
the other, and only the detections that can match at all: its loops are Python's. Source: `COCOeval.evaluateImg`
(https://github.com/ppwwyyxx/cocoapi, pycocotools 2.0.11), with the area range "all".
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from coachc.calib.truths.box_truth import BoxTruth
from coachc.errors import ToolchainError
from coachc.runtime.decode.detections import Detections

#: Intersection over union from which on a detection matches: COCO's ten, `Params.setDetParams`.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: Detections of one class in one picture that count, those with the highest scores: COCO's `maxDets`.
MOST_DETECTIONS = 100


class PictureMatches(NamedTuple):
    """One picture's detections beside its truths; all that average precision needs.

    Attributes
    ----------
    classes : ndarray of int32, shape (d,)
        Of each detection that counts, ascending.
    scores : ndarray of float32, shape (d,)
        Falling within a class; -inf where the model gave no number.
    matched : ndarray of bool, shape (10, d)
        At each of `THRESHOLDS`: it matches a truth, or a crowd.
    ignored : ndarray of bool, shape (10, d)
        It matches a crowd, so it is neither right nor wrong.
    truth_classes : ndarray of int32, shape (c,)
        Classes with truths, crowds aside; ascending.
    truths : ndarray of int64, shape (c,)
        How many of each.
    """

    classes: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    truth_classes: np.ndarray
    truths: np.ndarray

    def same_as(self, other: PictureMatches) -> bool:
        """Whether the two are equal in all that counts, scores included."""
        return all(np.array_equal(one, another) for one, another in zip(self, other, strict=True))


def match(found: Detections, truth: BoxTruth) -> PictureMatches:
    """Match what was found in a picture to what is there.

    Parameters
    ----------
    found : Detections
        In pixels of the source picture. A box that is no number matches nothing, and counts as found: it is an error
        of the model's, not a detection less.
    truth : BoxTruth

    Returns
    -------
    PictureMatches
        At most `MOST_DETECTIONS` a class, as the API has it: detectors keep 100 of a whole picture, or more.

    Raises
    ------
    coachc.errors.ToolchainError
        If pycocotools is missing.
    """
    scores = np.where(np.isnan(found.scores), -np.inf, found.scores).astype(np.float32)
    # Stable, as the API's mergesort: of equal scores the first one found comes first.
    order = np.lexsort((np.arange(len(scores)), -scores, found.classes))
    classes = found.classes[order].astype(np.int32)
    order = order[_place_in_class(classes) < MOST_DETECTIONS]
    classes, scores = found.classes[order].astype(np.int32), scores[order]
    boxes = _corner_and_size(found.boxes[order])
    truth_boxes = _corner_and_size(truth.boxes)
    matched, ignored = np.zeros((2, len(THRESHOLDS), len(order)), bool)
    for label in np.intersect1d(classes, truth.classes):
        own, there = np.flatnonzero(classes == label), np.flatnonzero(truth.classes == label)
        found_at, ignored_at = _match_class(boxes[own], truth_boxes[there], truth.crowd[there])
        matched[:, own], ignored[:, own] = found_at, ignored_at
    truth_classes, truths = np.unique(truth.classes[~truth.crowd].astype(np.int32), return_counts=True)
    return PictureMatches(classes, scores, matched, ignored, truth_classes, truths.astype(np.int64))


def _place_in_class(classes: np.ndarray) -> np.ndarray:
    """How many of the same class stand before each one; of ascending classes."""
    return np.arange(len(classes)) - np.searchsorted(classes, classes)


def _corner_and_size(boxes: np.ndarray) -> np.ndarray:
    """COCO's x, y, width, height, float64; empty for boxes that are no numbers."""
    corners = np.where(np.isfinite(boxes).all(axis=1)[:, None], boxes, 0).astype(np.float64).reshape(-1, 4)
    return np.concatenate([corners[:, :2], np.maximum(corners[:, 2:] - corners[:, :2], 0)], axis=1)


def _match_class(found: np.ndarray, truths: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matched and ignored, bool of shape (10, d), of one class's detections by falling score."""
    evaluation, mask = _pycocotools()
    # Two boxes without area have 0 / 0 in common, which the API takes for a match at every threshold.
    overlaps = np.nan_to_num(mask.iou(found, truths, crowd.astype(np.uint8).tolist()), nan=0.0)
    near = np.flatnonzero((overlaps >= THRESHOLDS[0]).any(axis=1))
    matched, ignored = np.zeros((2, len(THRESHOLDS), len(found)), bool)
    if not len(near):
        return matched, ignored
    api = evaluation.COCOeval(iouType="bbox")
    api.params.iouThrs = THRESHOLDS
    key = 0, 0
    # 0 is no match to the API, so ids begin at 1. Areas choose among its area ranges: one takes all here.
    api._gts[key] = [{"id": n, "area": 0, "ignore": one, "iscrowd": one} for n, one in enumerate(map(int, crowd), 1)]
    api._dts[key] = [{"id": n, "area": 0, "score": -n} for n in range(1, len(near) + 1)]
    api.ious[key] = overlaps[near]
    result = api.evaluateImg(*key, (0, 0), MOST_DETECTIONS)
    matched[:, near], ignored[:, near] = result["dtMatches"] > 0, result["dtIgnore"]
    return matched, ignored


@cache
def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools import cocoeval, mask
    except ImportError as exc:
        raise ToolchainError(
            "pycocotools is not installed, and boxes are matched by it", hint="pip install 'coachc[detect]'"
        ) from exc
    return cocoeval, mask
