"""How well boxes and masks agree with scenes: mean average precision at IoU 0.5, and mean IoU of the classes.

Small and plain, so that the committed networks can be judged where they are made; the official measures, with their
sizes, limits and crowds, are not repeated here.
"""

from __future__ import annotations

import numpy as np

from coachc.models.canvases import DIGIT_NAMES, MASK_NAMES, Scene

HIT = 0.5


def box_ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (n, 4) and (m, 4), x1 y1 x2 y2: (n, m)."""
    low = np.maximum(a[:, np.newaxis, :2], b[:, :2])
    high = np.minimum(a[:, np.newaxis, 2:], b[:, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = [(one[:, 2:] - one[:, :2]).prod(1) for one in (a, b)]
    return shared / (areas[0][:, np.newaxis] + areas[1] - shared)


def suppress(boxes: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Non-maximum suppression among boxes (n, 4) of one class: indices of those kept, best first."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    ious = box_ious(boxes, boxes)
    for one in order.tolist():
        if not kept or ious[one, kept].max() <= iou:
            kept.append(one)
    return np.array(kept, np.int64)


def mean_ap50(found: list[np.ndarray], scenes: list[Scene]) -> float:
    """Mean over the ten digits of the area under precision against recall, a hit being IoU 0.5 or more.

    Parameters
    ----------
    found : list of ndarray, shape (n, 6)
        For each scene rows of x1, y1, x2, y2, score, class.
    scenes : list of Scene

    Returns
    -------
    float
        0 to 1. Precision is made monotonic and summed over every recall that occurs, as in PASCAL VOC since 2010.
    """
    return float(np.mean([_average_precision(found, scenes, digit) for digit in range(len(DIGIT_NAMES))]))


def _average_precision(found: list[np.ndarray], scenes: list[Scene], digit: int) -> float:
    scores, hits, there = [], [], 0
    for rows, scene in zip(found, scenes, strict=True):
        wanted = scene.boxes[scene.classes == digit]
        there += len(wanted)
        mine = rows[rows[:, 5] == digit]
        mine = mine[np.argsort(-mine[:, 4], kind="stable")]
        ious = box_ious(mine[:, :4], wanted)
        for row, overlaps in zip(mine, ious, strict=True):
            hit = len(wanted) > 0 and overlaps.max() >= HIT
            if hit:
                ious[:, overlaps.argmax()] = 0  # Each digit is found once; a second box on it is a false one.
            scores.append(row[4])
            hits.append(hit)
    right = np.array(hits, bool)[np.argsort(-np.array(scores), kind="stable")].cumsum()
    precision = right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(right, prepend=0) * precision).sum() / max(there, 1))


def mean_iou(found: np.ndarray, scenes: list[Scene]) -> float:
    """Mean over the eleven classes of IoU, its pixels counted over all scenes together.

    Parameters
    ----------
    found : ndarray of int, shape (n, SIZE, SIZE)
        A class for each pixel.
    """
    classes = len(MASK_NAMES)
    wanted = np.stack([scene.mask for scene in scenes]).astype(np.int64)
    counts = np.bincount((wanted * classes + found).ravel(), minlength=classes**2).reshape(classes, classes)
    shared = counts.diagonal()
    return float((shared / (counts.sum(0) + counts.sum(1) - shared)).mean())
