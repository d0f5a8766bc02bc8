"""Quantiles of any number of durations in constant memory: a histogram whose bars grow with what they count.

A duration is counted in the bar of its logarithm, so that every quantile is known to a constant share of itself, as in
Masson, Rim and Lee, "DDSketch", VLDB 2019. Bars are fixed in number, since durations are between a microsecond and an
hour.
"""

import math
from typing import NamedTuple, Sequence

#: What a quantile may be off, as a share of itself.
ACCURACY = 0.005
LEAST_S, MOST_S = 1e-6, 4e3
_STEP = math.log((1 + ACCURACY) / (1 - ACCURACY))
_BARS = int(math.ceil(math.log(MOST_S / LEAST_S) / _STEP)) + 1


class Summary(NamedTuple):
    """Mean and percentiles, in the unit of the samples; all 0 without samples."""

    mean: float
    p50: float
    p95: float
    p99: float


class Sketch:
    """Counts durations in seconds; one below `LEAST_S`, or above `MOST_S`, counts as that for quantiles.

    Attributes
    ----------
    count : int
    total_s : float
        Of all of them.
    """

    __slots__ = ("count", "total_s", "_bars")

    def __init__(self) -> None:
        self.count = 0
        self.total_s = 0.0
        self._bars = [0] * _BARS

    def add(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        self.total_s += seconds
        place = math.log(seconds / LEAST_S) / _STEP if seconds > LEAST_S else 0.0
        self._bars[min(int(place), _BARS - 1)] += 1

    def quantile(self, share: float) -> float:
        """The duration that this share of them does not exceed; 0 without any."""
        return self.quantiles([share])[0]

    def quantiles(self, shares: Sequence[float]) -> Sequence[float]:
        """Several, by rising share."""
        found, seen, place = [], 0, -1
        for share in shares:
            rank = share * (self.count - 1)
            while seen <= rank and place < _BARS - 1:
                place += 1
                seen += self._bars[place]
            # The middle of a bar, by ratio.
            found.append(LEAST_S * math.exp((place + 0.5) * _STEP) if self.count else 0.0)
        return found

    def summary(self) -> Summary:
        """Mean and percentiles; all 0 without any."""
        if not self.count:
            return Summary(0.0, 0.0, 0.0, 0.0)
        return Summary(self.total_s / self.count, *self.quantiles([0.5, 0.95, 0.99]))


class StageTimes(NamedTuple):
    """Of the tasks of one cut: each stage's durations, those of the link with the round trip in them."""

    device: Sketch
    link: Sketch
    cloud: Sketch
