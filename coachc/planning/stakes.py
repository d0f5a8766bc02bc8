"""What a plan wins and costs beside the next way to run the model, and how wrong its figures may be.

Profiles are estimates more often than not. A plan that wins by little, or only while the link keeps its rate, has to
say so: these are the speeds at which the other way would give as many results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coachc.core.plan import Plan, Timeline, Way
from coachc.passes.objective import rank
from coachc.passes.partition import Found
from coachc.passes.timeline import Costs

#: How far a speed is looked at either way: beyond it nobody's profile is wrong.
FARTHEST = 1000.0
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Stakes:
    """The plan beside the best other way.

    Attributes
    ----------
    other : Way
        Of the ways not to split for a split; the best split, if there is one, for the others.
    frames : float
        Results of the plan for each of the other's, in steady state.
    latency : float
        Latency of the plan, in that of the other.
    device_factor : float or None
        Times as fast as its profile, or as slow where that is below 1, at which a device gives as many results in
        the other way; None where no such speed changes it.
    least_bytes_per_s, most_bytes_per_s : float or None
        The link below, or above, which the other way gives as many.
    """

    other: Way
    frames: float
    latency: float
    device_factor: float | None
    least_bytes_per_s: float | None
    most_bytes_per_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Units in the names."""
        return {
            "against": self.other.mode,
            "frames_ratio": self.frames,
            "latency_ratio": self.latency,
            "device_factor": self.device_factor,
            "least_bandwidth_bytes_per_s": self.least_bytes_per_s,
            "most_bandwidth_bytes_per_s": self.most_bytes_per_s,
        }


def stakes(plan: Plan, found: Found, costs: Costs) -> Stakes | None:
    """The plan beside the best way that it was chosen over; None where there is no other.

    Parameters
    ----------
    plan : Plan
    found : Found
        With the best split.
    costs : Costs
    """
    others = [a.way for a in plan.alternatives.values() if a.emittable and a.way.mode != plan.way.mode]
    if plan.way.mode != "split" and found.best is not None and found.best.mode != plan.way.mode:
        others.append(found.best)
    # The raw cut at the inputs is found by the search where it may be chosen.
    others = [way for way in others if way.mode != "cloud-raw" or way is found.best]
    if not others:
        return None
    other = min(others, key=rank)
    ours, theirs = plan.way.timeline, other.timeline
    bandwidth = costs.link.bandwidth_bytes_per_s

    def device(factor: float) -> float:
        return _period_s(ours, costs, device=factor) - _period_s(theirs, costs, device=factor)

    def link(factor: float) -> float:
        return _period_s(ours, costs, link=factor) - _period_s(theirs, costs, link=factor)

    faster, slower = _turn(device, FARTHEST), _turn(device, 1 / FARTHEST)
    least, most = _turn(link, 1 / FARTHEST), _turn(link, FARTHEST)
    return Stakes(
        other=other,
        frames=theirs.period_s / ours.period_s,
        latency=ours.latency_s / theirs.latency_s,
        device_factor=faster if faster is not None else slower,
        least_bytes_per_s=None if least is None else least * bandwidth,
        most_bytes_per_s=None if most is None else most * bandwidth,
    )


def _period_s(timeline: Timeline, costs: Costs, *, device: float = 1.0, link: float = 1.0) -> float:
    """The period with a device, or a link, so many times as fast."""
    return max(timeline.device_s / device, timeline.link_s / link, timeline.cloud_s / costs.server_share)


def _turn(lead: Callable[[float], float], farthest: float) -> float | None:
    """The factor nearest to 1 on the way to `farthest` at which the other way is as fast; None where it never is.

    `lead` is how much longer our period is. It rises to 0 once at most on that way: each period is the longest of a
    part that changes in proportion and one that does not.
    """
    if lead(1.0) >= 0 or lead(farthest) < 0:
        return None
    near, far = 1.0, farthest
    for _ in range(_HALVINGS):
        middle = (near * far) ** 0.5
        if lead(middle) < 0:
            near = middle
        else:
            far = middle
    return far
