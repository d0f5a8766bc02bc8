"""The scale of a model's output: how far it is from sample to sample, so that a rounding error can be told from a loss.

A sample's error is ``|split - whole| / |whole - mean|`` in the 2-norm, the mean being that of the samples: 0 for the
whole model's output, about 1 for one that is constant or random. Columns that mean different things, such as the
coordinates, sizes and scores of boxes, are divided by their own spread first; the pixels and channels of a map are not,
since a channel of it may hardly ever be anything but noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

#: By element, by column, of all.
_LEVELS = 3
#: A column that hardly varies is held to this share of its largest value, and a sample that is nearer to the mean than
#: this share of the usual distance to that: what varies less is noise to whoever reads the output.
FLAT = 0.01
NEAR_MEAN = 0.1


@dataclass(frozen=True)
class OutputScale:
    """One output.

    Attributes
    ----------
    mean : ndarray of float, of the output's shape
        Over the samples.
    spread : ndarray of float, broadcastable to the output's shape
        Root mean square of what is left without the mean, by column or of all.
    exact : bool
        Integers, which name or count something: their error is the share of elements that differ.
    """

    mean: np.ndarray
    spread: np.ndarray
    exact: bool = False

    def distance(self, whole: np.ndarray, split: np.ndarray) -> float:
        """How far an output is from the whole model's; infinite where it has another shape or is no number."""
        if whole.shape != split.shape:
            return float("inf")
        if self.exact:
            return float(np.mean(whole != split)) if whole.size else 0.0
        known = np.isfinite(whole)
        if not np.isfinite(split[known]).all():
            return float("inf")
        with np.errstate(invalid="ignore"):
            moved = np.where(known, (split.astype(np.float64) - whole) / self.spread, 0.0)
            varied = np.where(known, (whole - self.mean) / self.spread, 0.0)
        moved_rms, varied_rms = (float(np.sqrt(np.mean(part**2))) if part.size else 0.0 for part in (moved, varied))
        return moved_rms / max(varied_rms, NEAR_MEAN)


def scales_of(samples: Callable[[], Iterable[Sequence[np.ndarray]]]) -> tuple[OutputScale, ...]:
    """The scale of each output, from the whole model's outputs for some samples, gone over twice.

    An output whose size is another from sample to sample, such as the boxes that were found, is measured by the columns
    of its last axis, over all rows of all samples; where that axis changes, all of it has one scale.
    """
    count = 0
    for outputs in samples():
        if not count:
            sums = [_Sum() for _ in outputs]
            exact = [output.dtype.kind != "f" for output in outputs]
        for total, output in zip(sums, outputs, strict=True):
            total.add(np.where(np.isfinite(output), output, 0).astype(np.float64))
        count += 1
    # One sample has no deviation from the mean: it is measured from zero.
    means = [total.mean() if count > 1 else np.zeros(total.mean().shape) for total in sums]
    squares = [_Sum(total.level) for total in sums]
    for outputs in samples():
        for total, output, mean in zip(squares, outputs, means, strict=True):
            total.add(np.where(np.isfinite(output), output - mean, 0.0) ** 2)
    return tuple(
        OutputScale(mean, _spread(square.mean(), total.largest(), square.by_column), one)
        for mean, square, total, one in zip(means, squares, sums, exact, strict=True)
    )


class _Sum:
    """Sums and largest magnitudes of arrays: by element, by column of the last axis, and of all.

    Parameters
    ----------
    level : int
        The finest of them that is kept; a finer one than shapes allow is given up.
    """

    def __init__(self, level: int = 0) -> None:
        self.level = level
        self._kept: dict[int, tuple[np.ndarray, np.ndarray, int]] = {}

    def add(self, array: np.ndarray) -> None:
        for level in range(self.level, _LEVELS):
            axes = tuple(range(array.ndim - (level == 1))) if level else ()
            total = array.sum(axis=axes, keepdims=True)
            largest = np.abs(array).max(axis=axes, keepdims=True, initial=0.0)
            members = array.size // max(total.size, 1)
            before = self._kept.get(level)
            if before is None:
                self._kept[level] = total, largest, members
            elif before[0].shape != total.shape:
                self.level = max(self.level, level + 1)
            else:
                self._kept[level] = before[0] + total, np.maximum(before[1], largest), before[2] + members

    @property
    def by_column(self) -> bool:
        """Whether all but the last axis has been summed up."""
        return self.level == 1

    def mean(self) -> np.ndarray:
        total, _, members = self._kept[self.level]
        return np.asarray(total / max(members, 1))

    def largest(self) -> np.ndarray:
        return self._kept[self.level][1]


def column_axis(shape: Sequence[int]) -> int | None:
    """The axis whose positions mean different things: of rows of numbers; None for a map, whose numbers mean one thing.

    (1, 136): every number is a column. (1, 8400, 85), (1, 85, 8400): the shorter axis.
    """
    if len(shape) == 2:
        return 1
    if len(shape) == 3:
        return 1 if shape[1] < shape[2] else 2
    return None


def _spread(variance: np.ndarray, largest: np.ndarray, by_column: bool) -> np.ndarray:
    axis = variance.ndim - 1 if by_column else column_axis(variance.shape)
    others = tuple(place for place in range(variance.ndim) if place != axis)
    if not variance.size:
        return np.ones((1,) * variance.ndim)
    spread = np.sqrt(variance.mean(axis=others, keepdims=True))
    floor = FLAT * largest.max(axis=others, keepdims=True)
    # A column that is always 0 has no scale of its own: it is held to the others'.
    floor = np.where(floor > 0, floor, FLAT * float(np.sqrt(variance.mean())))
    return np.maximum(np.maximum(spread, floor), 1e-30)
