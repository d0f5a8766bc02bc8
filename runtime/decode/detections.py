"""Boxes that were found, and the way from a model's input back to the picture it was made of."""

from typing import NamedTuple, Tuple

import numpy as np


class Detections(NamedTuple):
    """What was found in one picture, by falling score.

    Attributes
    ----------
    boxes : ndarray of float32, shape (n, 4)
        x1, y1, x2, y2 in pixels: of the model's input, or of the source picture after `in_source`.
    scores : ndarray of float32, shape (n,)
    classes : ndarray of int32, shape (n,)
        Positions in the decoder's `classes`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


class Placement(NamedTuple):
    """Where a source picture lies in a model's input: its point (x, y) at (x*scale_x+offset_x, y*scale_y+offset_y).

    Points, not pixels: pixel 0 reaches from 0 to 1.

    Attributes
    ----------
    scale_x, scale_y : float
        Pixels of the input per pixel of the picture; above 0.
    offset_x, offset_y : float
        Of the picture's corner in the input, in pixels; negative where it was cropped.
    width, height : int
        Of the source picture.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    width: int
    height: int


def in_source(found: Detections, at: Placement) -> Detections:
    """Boxes in pixels of the source picture, clipped to it; what has no area there goes.

    Parameters
    ----------
    found : Detections
        In pixels of the model's input.
    at : Placement

    Returns
    -------
    Detections
        Order, scores and classes as they were.
    """
    # In float64: a large picture scaled far down would move by parts of a pixel otherwise.
    offset = np.array([at.offset_x, at.offset_y] * 2)
    scale = np.array([at.scale_x, at.scale_y] * 2)
    boxes = (found.boxes.astype(np.float64).reshape(-1, 4) - offset) / scale
    limit = np.array([at.width, at.height] * 2, dtype=np.float64)
    boxes = np.minimum(np.maximum(boxes, 0), limit).astype(np.float32)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[kept], found.scores[kept], found.classes[kept])


def mask_in_source(mask: np.ndarray, at: Placement, input_size: Tuple[int, int]) -> np.ndarray:
    """The mask of a source picture, pixel by pixel the nearest element; padding is cut away.

    Parameters
    ----------
    mask : ndarray of integers, shape (H, W)
        Over the whole of the model's input, of whatever resolution.
    at : Placement
    input_size : tuple of int
        Height and width of the model's input.

    Returns
    -------
    ndarray, shape (at.height, at.width), of the mask's dtype
        Where the picture was cropped, what the edge of the crop has.
    """
    rows = _nearest(at.height, at.scale_y, at.offset_y, input_size[0], mask.shape[0])
    columns = _nearest(at.width, at.scale_x, at.offset_x, input_size[1], mask.shape[1])
    return mask[rows[:, np.newaxis], columns]


def _nearest(length: int, scale: float, offset: float, input_length: int, mask_length: int) -> np.ndarray:
    """Index into one axis of a mask of each of `length` pixels, by where its middle lies."""
    middles = (np.arange(length) + 0.5) * scale + offset
    index = np.floor(middles * (mask_length / input_length)).astype(np.int64)
    return np.minimum(np.maximum(index, 0), mask_length - 1)
