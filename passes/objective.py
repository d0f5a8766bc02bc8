"""Order of plans: what "better" means.

"exact" and "latency" are ours. "paper-eq6" is COACH's Eq. 6 as printed, kept to reproduce it: its bubbles fall when a
faster stage is slowed down, so it may prefer a plan with a longer period and a longer latency.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coachc.core.plan import Timeline

OBJECTIVES = ("exact", "latency", "paper-eq6")
#: Objectives that no stage's shorter time can harm: only for these may dominated partitions be dropped, and only for
#: these are the fewest bits a bound of every precision.
MONOTONE = frozenset({"exact", "latency"})


@dataclass(frozen=True, slots=True)
class Overlap:
    """Seconds of work inside one task that run beside another stage (COACH, section III-B).

    Attributes
    ----------
    link_s : float
        T_t^p: the link beside the device.
    cloud_s : float
        T_c^p: the cloud beside the device or the link.
    """

    link_s: float = 0.0
    cloud_s: float = 0.0


def key(timeline: Timeline, mask: int, objective: str = "exact", overlap: Overlap = Overlap()) -> tuple[float, ...]:
    """Sort key of a plan, the best first; ties go to fewer bytes, then to the earlier cut.

    Parameters
    ----------
    timeline : Timeline
    mask : int
    objective : str
        One of `OBJECTIVES`.
    overlap : Overlap
        Read by "paper-eq6" only; 0 where it is unknown.

    Returns
    -------
    tuple of float
        Seconds are rounded to nanoseconds, so that sums taken in another order do not decide.

    Raises
    ------
    ValueError
        Unknown objective.

    Notes
    -----
    Source of "paper-eq6": COACH, Eq. 6 subject to Eq. 4; what violates Eq. 4 ranks behind all that respects it, so
    that a graph always has a plan.
    """
    period_ns, latency_ns = round(timeline.period_s * 1e9), round(timeline.latency_s * 1e9)
    last = (timeline.payload_bytes, mask.bit_count(), mask)
    if objective == "exact":
        return (period_ns, latency_ns, *last)
    if objective == "latency":
        return (latency_ns, period_ns, *last)
    if objective == "paper-eq6":
        violated = 0 if respects_eq4(timeline, overlap) else 1
        return (violated, round(eq6_s(timeline, overlap) * 1e9), period_ns, latency_ns, *last)
    raise ValueError(f"unknown objective '{objective}', expected one of {', '.join(OBJECTIVES)}")


def hopeful_key(
    timelines: Iterable[Timeline], mask: int, objective: str = "exact", overlap: Overlap = Overlap()
) -> tuple[float, ...]:
    """The best key of one partition over several precisions: what no measured precision can beat.

    Under a monotone objective that is the key at the fewest bits. Under "paper-eq6" it may be any of them: where the
    link is not the slowest stage, Eq. 6 falls as the link takes longer.
    """
    return min(key(timeline, mask, objective, overlap) for timeline in timelines)


def bubbles(timeline: Timeline, overlap: Overlap = Overlap()) -> tuple[float, float]:
    """B_c and B_t of COACH's Eq. 5 in seconds, as printed: T_c is not divided by the number of workers."""
    device_s, link_s, cloud_s = timeline.device_s, timeline.link_s, timeline.cloud_s
    compute_s = abs(device_s - cloud_s)
    transmission_s = abs(link_s - max(device_s, link_s - overlap.link_s, cloud_s - overlap.cloud_s))
    return compute_s, transmission_s


def eq6_s(timeline: Timeline, overlap: Overlap = Overlap()) -> float:
    """B_c + B_t + max{T_e, T_t, T_c}, COACH's Eq. 6, in seconds."""
    return sum(bubbles(timeline, overlap)) + max(timeline.device_s, timeline.link_s, timeline.cloud_s)


def respects_eq4(timeline: Timeline, overlap: Overlap = Overlap()) -> bool:
    """T_t^p + T_c^p <= max{T_e, T_t, T_c}, COACH's Eq. 4."""
    return overlap.link_s + overlap.cloud_s <= max(timeline.device_s, timeline.link_s, timeline.cloud_s)
