"""What calibration samples look like once they are the model's inputs: value ranges, a few pictures, and doubts.

Seen in passing, while the whole model runs on the samples: nothing is read for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from coachc.calib.dataset import Feed
from coachc.core.graph import Value
from coachc.runtime.bundle.manifest_types import Preprocess

#: Samples whose values are looked at, and samples kept as pictures.
RANGE_SAMPLES = 256
PICTURES = 16
#: Longest side of a kept picture; larger ones are thinned out.
PICTURE_SIDE = 256
#: Values may lie this share of the expected span outside of it.
TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Least, mean and largest value; not finite where one of them is not."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class InputRange:
    """Values of one model input: a range for each channel of a picture, else one for all."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    channels: tuple[ValueRange, ...]


@dataclass(frozen=True)
class Observed:
    """What was seen.

    Attributes
    ----------
    samples : int
        How many `ranges` rest on.
    ranges : tuple of InputRange
        In the order of the model's inputs; empty tensors have none.
    pictures : list of ndarray of float32, shape (H, W, C)
        The first samples; empty where the input is no picture.
    alike : bool
        Whether these samples are several and all the same.
    whole : frozenset of str
        Inputs of floats that hold whole numbers only.
    """

    samples: int
    ranges: tuple[InputRange, ...]
    pictures: list[np.ndarray] = field(repr=False)
    alike: bool = False
    whole: frozenset[str] = frozenset()


class Observer:
    """Told of every sample that is read, once: extremes of all, and a closer look at the first ones.

    Parameters
    ----------
    inputs : sequence of Value
        The model's.
    """

    def __init__(self, inputs: Sequence[Value]) -> None:
        self._inputs = tuple(inputs)
        self._passed = self._seen = 0
        self._extremes: dict[str, tuple[float, float]] = {}
        self._stats: dict[str, list[np.ndarray]] = {value.name: [] for value in inputs}
        self._pictures: list[np.ndarray] = []
        self._first: dict[str, np.ndarray] = {}
        self._alike = True
        self._whole = {value.name for value in inputs if value.quantizable}

    def __call__(self, index: int, feed: Feed) -> None:
        """Take one sample; those of later passes do not count."""
        if index != self._passed:
            return
        self._passed += 1
        for value in self._inputs:
            array = np.asarray(feed[value.name])
            if array.size:
                low, high = self._extremes.get(value.name, (np.inf, -np.inf))
                self._extremes[value.name] = (min(low, float(array.min())), max(high, float(array.max())))
        if index >= RANGE_SAMPLES:
            return
        self._seen += 1
        if index == 0:
            self._first = {name: np.array(array) for name, array in feed.items()}
        elif self._alike:
            self._alike = all(np.array_equal(self._first[name], array) for name, array in feed.items())
        for value in self._inputs:
            array = np.asarray(feed[value.name])
            axes = tuple(axis for axis in range(array.ndim) if axis != channel_axis(value.shape))
            if array.size == 0:
                continue
            if value.name in self._whole and not np.array_equal(array, np.rint(array)):
                self._whole.discard(value.name)
            with np.errstate(invalid="ignore"):  # infinities; `doubts` speaks of them
                mean = array.mean(axis=axes, dtype=np.float64)
            self._stats[value.name].append(np.array([array.min(axis=axes), mean, array.max(axis=axes)], np.float64))
        axis = channel_axis(self._inputs[0].shape)
        if index < PICTURES and axis is not None:
            picture = np.moveaxis(feed[self._inputs[0].name][0], axis - 1, -1)
            thin = -(-max(picture.shape[:2]) // PICTURE_SIDE)
            self._pictures.append(picture[::thin, ::thin].astype(np.float32))

    def extremes(self) -> tuple[tuple[float, ...], ...]:
        """Least and largest value of each input over all samples; empty where they are not finite, or there is none."""
        found = (self._extremes.get(value.name, ()) for value in self._inputs)
        return tuple(pair if np.isfinite(pair).all() else () for pair in found)

    def report(self) -> Observed:
        """What was seen so far; at least one sample."""
        ranges = []
        for value in self._inputs:
            if not self._stats[value.name]:  # an empty tensor
                continue
            stats = np.stack(self._stats[value.name])
            with np.errstate(invalid="ignore"):
                low, mean, high = stats[:, 0].min(axis=0), stats[:, 1].mean(axis=0), stats[:, 2].max(axis=0)
            channels = zip(np.atleast_1d(low), np.atleast_1d(mean), np.atleast_1d(high), strict=True)
            found = tuple(ValueRange(*map(float, channel)) for channel in channels)
            ranges.append(InputRange(value.name, value.shape, value.dtype, found))
        alike = self._alike and self._seen > 1
        return Observed(self._seen, tuple(ranges), self._pictures, alike, frozenset(self._whole))


def channel_axis(shape: Sequence[int]) -> int | None:
    """Axis of the one or three channels of a picture's shape, batch included; None for any other shape."""
    if len(shape) != 4 or not {shape[1], shape[3]} & {1, 3}:
        return None
    return 1 if shape[1] in (1, 3) else 3


def doubts(observed: Observed, preprocess: Preprocess | None) -> list[str]:
    """What looks wrong with the samples, or with the preprocessing that is stated for them; one sentence each."""
    found = []
    for one in observed.ranges:
        for index, channel in enumerate(one.channels):
            where = f"input '{one.name}'" + (f" channel {index}" if len(one.channels) > 1 else "")
            if not np.isfinite([channel.low, channel.high]).all():
                found.append(f"{where} has values that are not finite")
            elif channel.low == channel.high and int(np.prod(one.shape)) > 1:
                found.append(f"{where} is constant ({channel.low:g}) in the first {observed.samples} samples")
    if observed.alike and not found and any(int(np.prod(one.shape)) > 1 for one in observed.ranges):
        found.append(f"the first {observed.samples} samples are all the same")
    if preprocess is None:
        found += _doubts_of_pixels(observed)
    else:
        found += _doubts_of_numbers(preprocess) or _doubts_of_ranges(observed.ranges[0], preprocess)
    return found


def _doubts_of_pixels(observed: Observed) -> list[str]:
    """Pictures in floats as cameras have them in bytes."""
    for one in observed.ranges:
        low, high = min(c.low for c in one.channels), max(c.high for c in one.channels)
        if one.name in observed.whole and channel_axis(one.shape) and low >= 0 and 128 < high <= 255:
            return [
                f"input '{one.name}' holds whole numbers from {low:g} to {high:g}, as pixels do before they are "
                "normalised: right only for a model that takes them so"
            ]
    return []


def _doubts_of_numbers(preprocess: Preprocess) -> list[str]:
    """Mean and std on one scale, pixels on another."""
    mean, std, brightest = preprocess.mean, preprocess.std, 255 / preprocess.pixel_scale
    if max(mean) > brightest or max(std) > brightest:
        return [
            f"mean {_list(mean)} and std {_list(std)} are larger than any pixel / {preprocess.pixel_scale:g}: "
            "those of pixels 0..255 go with --pixel-scale 1"
        ]
    plain = set(mean) == {0.0} and set(std) == {1.0}
    if max(mean) <= 1 and max(std) <= 1 and not plain and brightest > 2:
        return [
            f"mean {_list(mean)} and std {_list(std)} look like those of pixels scaled to 0..1, but with --pixel-scale "
            f"{preprocess.pixel_scale:g} pixels reach {brightest:g}"
        ]
    return []


def _doubts_of_ranges(found: InputRange, preprocess: Preprocess) -> list[str]:
    """Values that no pixel can have after the preprocessing that is stated."""
    for index, (channel, mean, std) in enumerate(zip(found.channels, preprocess.mean, preprocess.std, strict=False)):
        low, high = -mean / std, (255 / preprocess.pixel_scale - mean) / std
        slack = TOLERANCE * (high - low)
        if channel.low < low - slack or channel.high > high + slack:
            return [
                f"input '{found.name}' channel {index} spans {channel.low:.4g} to {channel.high:.4g}, but pixels "
                f"/ {preprocess.pixel_scale:g}, minus {mean:g}, over {std:g} lie between {low:.4g} and {high:.4g}: the "
                "arrays are not preprocessed as the flags say"
            ]
    return []


def _list(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)
