"""A few nested cuts for a range of bandwidths: the chain that is never far from the best cut of all.

Nested cuts share their segments, so that a device and a server hold each operator once, whatever cut a task takes. How
long a cut takes at a bandwidth is the caller's; this file only chooses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Cuts in one bundle at most, device-only included.
MAX_CUTS = 4
#: Share of the worst ratio by which another cut has to better it.
MIN_GAIN = 0.01


@dataclass(frozen=True, slots=True)
class CutChain:
    """Cuts any two of which are nested, and how far the best of them is from the best of all.

    Attributes
    ----------
    members : tuple of int
        Positions in the list that was given, by ascending work on the device.
    worst, mean : float
        Of (period of the best member) / (least period of all) over the bandwidths.
    """

    members: tuple[int, ...]
    worst: float
    mean: float


def best_chain(
    masks: Sequence[int],
    periods_s: Sequence[Sequence[float]],
    optimum_s: Sequence[float],
    *,
    always: int | None = None,
    most: int = MAX_CUTS,
    min_gain: float = MIN_GAIN,
) -> CutChain | None:
    """The chain with the least worst ratio: exact, every chain is looked at.

    Parameters
    ----------
    masks : sequence of int
        Operators on the device of each cut; two may have the same, and send it in different ways.
    periods_s : sequence of sequence of float
        Of each cut at each bandwidth; infinite where it must not be used.
    optimum_s : sequence of float
        The least period that is known at each bandwidth.
    always : int, optional
        A cut that is part of every chain.
    most : int
        Cuts in a chain.
    min_gain : float
        The fewest cuts are taken that come within this share of the least worst ratio; of those chains the one with
        the least worst ratio, then the least mean.

    Returns
    -------
    CutChain or None
        None where no chain has an admissible cut at every bandwidth.
    """
    if not masks:
        return None
    chains = [_rated(members, periods_s, optimum_s) for members in _chains(masks, always, most)]
    best = min((chain.worst for chain in chains), default=math.inf)
    if not math.isfinite(best):
        return None
    near = [chain for chain in chains if chain.worst <= best * (1 + min_gain)]
    return min(near, key=lambda chain: (len(chain.members), chain.worst, chain.mean, chain.members))


def _chains(masks: Sequence[int], always: int | None, most: int) -> Iterator[tuple[int, ...]]:
    """Every set of cuts any two of which are nested, `always` among them, by ascending work on the device."""
    order = sorted(range(len(masks)), key=lambda i: (masks[i].bit_count(), i))
    for count in range(1, most + 1):
        for members in itertools.combinations(order, count):
            if always is not None and always not in members:
                continue
            if all(not masks[one] & ~masks[other] for one, other in itertools.pairwise(members)):
                yield members


def _rated(members: tuple[int, ...], periods_s: Sequence[Sequence[float]], optimum_s: Sequence[float]) -> CutChain:
    ratios = [
        min(periods_s[member][place] for member in members) / least_s if least_s else 1.0
        for place, least_s in enumerate(optimum_s)
    ]
    return CutChain(members, max(ratios), sum(ratios) / len(ratios))


@dataclass(frozen=True, slots=True)
class LinkLine:
    """The period of a cut at every bandwidth: max(compute_s, coding_s + wire_bytes / bandwidth).

    Attributes
    ----------
    compute_s : float
        Its slower computing stage.
    coding_s : float
        Of the link's time what does not depend on the bandwidth.
    wire_bytes : float
    """

    compute_s: float
    coding_s: float
    wire_bytes: float

    def period_s(self, bandwidth: float) -> float:
        """At a bandwidth in bytes a second."""
        return max(self.compute_s, self.coding_s + self.wire_bytes / bandwidth)


def best_intervals(lines: Sequence[LinkLine], low: float, high: float) -> list[tuple[int, float, float]]:
    """Which cut has the least period where between two bandwidths, in closed form.

    Two cuts change places only where their link times, or the link time of one and the computing of the other, are
    equal. Of equal cuts the first counts.

    Returns
    -------
    list of (int, float, float)
        Position in `lines` and the bandwidths it is best between, from `low` to `high` without holes.
    """
    places = {low, high}
    for one, other in itertools.permutations(lines, 2):
        for seconds, size in (
            (other.compute_s - one.coding_s, one.wire_bytes),
            (other.coding_s - one.coding_s, one.wire_bytes - other.wire_bytes),
        ):
            if seconds and low < size / seconds < high:
                places.add(size / seconds)
    found: list[tuple[int, float, float]] = []
    for start, end in itertools.pairwise(sorted(places)):
        middle = math.sqrt(start * end)
        best = min(range(len(lines)), key=lambda i: (lines[i].period_s(middle), i))
        if found and found[-1][0] == best:
            found[-1] = (best, found[-1][1], end)
        else:
            found.append((best, start, end))
    return found
