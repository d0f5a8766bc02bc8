"""Non-maximum suppression: of boxes that overlap, the one that scores best."""

from typing import List, Tuple

import numpy as np


def suppress(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, iou: float, most: int, by_class: bool = True
) -> np.ndarray:
    """Greedy suppression, in the arithmetic (float32) and the order of ONNX's NonMaxSuppression.

    Parameters
    ----------
    boxes : ndarray of float32, shape (n, 4)
        Two opposite corners each, finite; a box without area displaces none and is displaced by none.
    scores : ndarray of float32, shape (n,)
        Equal ones count in the order they stand in.
    classes : ndarray of integers, shape (n,)
    iou : float
        A box goes if its intersection over union with a kept one is greater.
    most : int
        So many are kept at most, over all classes.
    by_class : bool
        Whether only boxes of one class displace each other.

    Returns
    -------
    ndarray of int64, shape (m,)
        Indices of the boxes kept, by falling score.

    Notes
    -----
    Source: microsoft/onnxruntime 08dc5af, non_max_suppression_helper.h. Differs: `most` is over all classes, not each.
    Takes memory for some twenty numbers a box, and time for `most` passes over all of them.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, dtype=np.float32), kind="stable")
    left, right = _sides(boxes[order, 0], boxes[order, 2])
    top, bottom = _sides(boxes[order, 1], boxes[order, 3])
    classes = np.asarray(classes)[order]
    with np.errstate(all="ignore"):  # of huge boxes areas are infinite, which every comparison below survives
        areas = (right - left) * (bottom - top)
        alive = np.ones(len(order), dtype=bool)
        kept: List[int] = []
        first = 0
        while len(kept) < most and first < len(order):
            # The first of those not displaced yet: argmax of booleans stops there.
            first += int(alive[first:].argmax())
            if not alive[first]:
                break
            kept.append(first)
            rest = slice(first + 1, None)
            wide = np.minimum(right[first], right[rest]) - np.maximum(left[first], left[rest])
            high = np.minimum(bottom[first], bottom[rest]) - np.maximum(top[first], top[rest])
            shared = np.maximum(wide, 0) * np.maximum(high, 0)
            union = areas[first] + areas[rest] - shared
            goes = (shared > 0) & (union > 0) & (shared / union > np.float32(iou))
            if by_class:
                goes &= classes[rest] == classes[first]
            alive[rest] &= ~goes
            first += 1
    return order[kept] if kept else np.zeros(0, dtype=np.int64)


def _sides(one: np.ndarray, other: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    return np.minimum(one, other), np.maximum(one, other)
