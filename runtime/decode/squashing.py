"""From logits to scores and to distances, in float32."""

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)); of infinity no number, since a logit that overflowed says nothing of its score."""
    return np.where(np.isposinf(x), np.float32(np.nan), 1 / (1 + np.exp(-x)))


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def expectation(x: np.ndarray, bins: int) -> np.ndarray:
    """Distances (n, 4) from their distributions (n, 4*bins): the mean of 0 ... bins-1; one bin is the distance itself.

    Source: Generalized Focal Loss, as in ultralytics (nn/modules/block.py DFL) and nanodet (gfl_head.py Integral).
    """
    if bins == 1:
        return x
    return softmax(x.reshape(-1, 4, bins)).dot(np.arange(bins, dtype=np.float32))
