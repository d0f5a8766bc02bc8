"""What the small detector's raw outputs mean: boxes and scores of every place, and what is found among them.

For the strides 8 and 16 there is a map of distances [N, 4, h, w] from the middle of each place to the left, top, right
and bottom edge of its box, in strides, and one of class logits [N, 10, h, w]. A distance may be negative: a one is
narrower than a stride, so the middle that is nearest to it can lie beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coachc.models.canvases import DIGIT_NAMES, SIZE
from coachc.models.scene_scores import suppress

STRIDES = (8, 16)
#: In order; distances and logits of one level stand together.
OUTPUT_NAMES = ("distances_8", "logits_8", "distances_16", "logits_16")

# Low, because precision at every recall is measured, and 0.5, because digits hardly overlap.
LOWEST_SCORE = 0.05
IOU = 0.5


def places() -> tuple[np.ndarray, np.ndarray]:
    """Middles of the map's pixels, float32 (320, 2) x and y in pixels of the picture, and their strides, (320, 1).

    Level by level, row by row: the order of the outputs flattened.
    """
    middles, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: SIZE // stride, : SIZE // stride].reshape(2, -1)
        middles.append((np.stack([x, y], 1) + 0.5) * stride)
        strides.append(np.full((len(x), 1), stride))
    return np.concatenate(middles).astype(np.float32), np.concatenate(strides).astype(np.float32)


def boxes_and_scores(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What the four outputs say of each place.

    Parameters
    ----------
    outputs : sequence of ndarray
        In the order of `OUTPUT_NAMES`.

    Returns
    -------
    boxes : ndarray of float32, shape (N, 320, 4)
        x1, y1, x2, y2 in pixels; may reach beyond the picture.
    scores : ndarray of float32, shape (N, 320, 10)
        Probability of each digit.
    """
    distances, logits = (
        np.concatenate([one.reshape(*one.shape[:2], -1) for one in outputs[first::2]], 2).transpose(0, 2, 1)
        for first in (0, 1)
    )
    middles, strides = places()
    boxes = np.concatenate([middles - strides * distances[..., :2], middles + strides * distances[..., 2:]], 2)
    return boxes, 1 / (1 + np.exp(-logits))


def detections(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """One picture's boxes (320, 4) and scores (320, 10) -> rows of x1, y1, x2, y2, score, class: float32 (n, 6)."""
    rows = [np.zeros((0, 6), np.float32)]
    for digit in range(len(DIGIT_NAMES)):
        sure = scores[:, digit] >= LOWEST_SCORE
        mine, theirs = boxes[sure], scores[sure, digit]
        kept = suppress(mine, theirs, IOU)
        rows.append(np.column_stack([mine[kept], theirs[kept], np.full(len(kept), digit)]).astype(np.float32))
    return np.concatenate(rows)
