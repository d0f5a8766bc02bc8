"""A short memory of this stream's features that the server has answered lately.

Consecutive frames of a video look alike: a frame near enough to one the server has just answered has the same answer.
What is near enough is calibrated on streams; an exit is never remembered, so a memory cannot feed on itself.
"""

from typing import NamedTuple

import numpy as np

from .feature import unit


class Match(NamedTuple):
    """The nearest remembered task: its class (-1: none) and the cosine."""

    label: int
    cosine: float


NO_MATCH = Match(-1, float("-inf"))


class Memory:
    """The last features the server answered.

    Parameters
    ----------
    capacity : int
    size : int
        Length of a feature.
    mean : ndarray of float32, shape (D,)
        Taken from features before cosines are.
    """

    def __init__(self, capacity: int, size: int, mean: np.ndarray) -> None:
        self._features = np.zeros((capacity, size), dtype=np.float32)
        self._labels = np.full(capacity, -1, dtype=np.int64)
        self._mean = mean
        self._next = 0

    def match(self, feature: np.ndarray) -> Match:
        """The nearest of those remembered; `NO_MATCH` if there is none or the feature is not finite."""
        if not len(self._labels):
            return NO_MATCH
        direction = self._direction(feature)
        cosines = self._features @ direction
        cosines[self._labels < 0] = float("-inf")
        nearest = int(cosines.argmax())
        if self._labels[nearest] < 0 or not direction.any():
            return NO_MATCH
        return Match(int(self._labels[nearest]), float(cosines[nearest]))

    def add(self, feature: np.ndarray, label: int) -> None:
        """Remember a task the server has answered instead of the oldest; one that is not finite is not kept."""
        if not len(self._labels):
            return
        direction = self._direction(feature)
        if direction.any():
            self._features[self._next] = direction
            self._labels[self._next] = label
            self._next = (self._next + 1) % len(self._labels)

    def clear(self) -> None:
        """Forget everything."""
        self._labels[:] = -1

    def _direction(self, feature: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return unit((feature - self._mean)[None])[0]
