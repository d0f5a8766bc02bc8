"""At which bandwidth the best cut changes: the lower envelope of periods over all bandwidths, in closed form.

A cut takes max(c, a / B) between results, where c is its slower computing stage and a the bytes it has the link carry.
Only cuts that no other beats in both c and a are ever best. In ascending order of c (descending a) each of them is best
between the bandwidths at which its bytes take as long as the next one computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coachc.core.plan import Timeline
from coachc.passes.timeline import Costs


@dataclass(frozen=True, slots=True)
class Range:
    """Bandwidths at which one option has the least period.

    Attributes
    ----------
    option : int
        Position in the list that was given.
    low_bytes_per_s, high_bytes_per_s : float
        On the wire; 0 and infinity at the ends.
    """

    option: int
    low_bytes_per_s: float
    high_bytes_per_s: float


def best_ranges(timelines: Sequence[Timeline], costs: Costs) -> list[Range]:
    """Which option has the least period at which bandwidth.

    Parameters
    ----------
    timelines : sequence of Timeline
        Under `costs`. Of equal options the first counts.
    costs : Costs

    Returns
    -------
    list of Range
        From the highest bandwidth to the lowest, without holes.
    """
    compute_s = [max(t.device_s, t.cloud_s / costs.server_share) for t in timelines]
    wire = [t.link_s * costs.link.bandwidth_bytes_per_s for t in timelines]
    front: list[int] = []
    for option in sorted(range(len(timelines)), key=lambda i: (compute_s[i], wire[i], i)):
        if not front or wire[option] < wire[front[-1]]:
            front.append(option)
    found = []
    high = float("inf")
    for place, option in enumerate(front):
        later = front[place + 1] if place + 1 < len(front) else None
        low = 0.0 if later is None else wire[option] / compute_s[later]
        found.append(Range(option, low, high))
        high = low
    return found
