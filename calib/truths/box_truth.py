"""What there is to find in a picture: boxes and classes, from annotations or from the whole model's own answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coachc.runtime.decode.detections import Detections


class BoxTruth(NamedTuple):
    """The boxes of one picture.

    Attributes
    ----------
    boxes : ndarray of float32, shape (n, 4)
        x1, y1, x2, y2 in pixels of the source picture.
    classes : ndarray of int32, shape (n,)
        Indices of the model's classes.
    crowd : ndarray of bool, shape (n,)
        COCO's `iscrowd`: a region with any number of objects. Finding none of them is no loss, finding many no gain.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray


def no_boxes() -> BoxTruth:
    """The truth of a picture in which there is nothing."""
    return BoxTruth(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, bool))


def as_truth(found: Detections, score: float) -> BoxTruth:
    """What the whole model found, taken for the truth: where nobody annotated the pictures.

    Parameters
    ----------
    found : Detections
    score : float
        Detections below it are no objects.

    Returns
    -------
    BoxTruth
        Without crowds. Boxes that are no numbers or have no area are left out: nothing could ever match them.
    """
    with np.errstate(invalid="ignore"):
        area = (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
    kept = (found.scores >= score) & np.isfinite(found.boxes).all(axis=1) & area
    boxes, classes = found.boxes[kept].astype(np.float32), found.classes[kept].astype(np.int32)
    return BoxTruth(boxes, classes, np.zeros(len(boxes), bool))
