"""Order of plans: what "better" means.

"exact" and "latency" are ours. "paper-eq6" is COACH's Eq. 6 as printed, kept to reproduce it: its bubbles fall when a
faster stage is slowed down, so it may prefer a plan with a longer period and a longer latency.
"""

from __future__ import annotations

from coachc.core.plan import NO_OVERLAP, Overlap, Timeline, Way

OBJECTIVES = ("exact", "latency", "paper-eq6")
#: Objectives whose first term no stage's shorter time can harm: only for these may dominated partitions be dropped, and
#: only for these are the fewest bits a bound of every precision.
MONOTONE = frozenset({"exact", "latency"})


def key(timeline: Timeline, mask: int, objective: str = "exact", overlap: Overlap = NO_OVERLAP) -> tuple[float, ...]:
    """Sort key of a plan, the best first; ties go to fewer bytes, then to the earlier cut.

    Parameters
    ----------
    timeline : Timeline
    mask : int
    objective : str
        One of `OBJECTIVES`.
    overlap : Overlap
        None at all where it is unknown. "latency" does not read it: both halves are emitted as one engine each, which
        run one after the other, so it takes what they really attain.

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
        return (period_ns, round((timeline.latency_s - overlap.saved_s) * 1e9), *last)
    if objective == "latency":
        return (latency_ns, period_ns, *last)
    if objective == "paper-eq6":
        violated = 0 if respects_eq4(timeline, overlap) else 1
        return (violated, round(eq6_s(timeline, overlap) * 1e9), period_ns, latency_ns, *last)
    raise ValueError(f"unknown objective '{objective}', expected one of {', '.join(OBJECTIVES)}")


def rank(way: Way, objective: str = "exact") -> tuple[float, ...]:
    """The sort key of a way to run the model."""
    return key(way.timeline, way.mask, objective, way.overlap)


def least_key(timeline: Timeline, mask: int, objective: str, rtt_s: float) -> tuple[float, ...]:
    """A bound of `key` over every overlap and every precision, from the timeline at the fewest bits alone.

    No stage can take less than its own time, whatever overlaps: the scheduled latency is at least that of the longest.
    More bits lengthen the link only, and B_t of COACH's Eq. 5 is at least 0.
    """
    stages_s = (timeline.device_s, timeline.link_s, timeline.cloud_s)
    if objective == "paper-eq6":
        compute_s = abs(timeline.device_s - timeline.cloud_s)
        return (0, round((compute_s + max(stages_s)) * 1e9))
    longest_s = max(stages_s[0], max(stages_s[1:]) + rtt_s if timeline.link_s else 0.0)
    return key(timeline, mask, objective, Overlap(saved_s=max(timeline.latency_s - longest_s, 0.0)))


def bubbles(timeline: Timeline, overlap: Overlap = NO_OVERLAP) -> tuple[float, float]:
    """B_c and B_t of COACH's Eq. 5 in seconds, as printed: T_c is not divided by the number of workers."""
    device_s, link_s, cloud_s = timeline.device_s, timeline.link_s, timeline.cloud_s
    compute_s = abs(device_s - cloud_s)
    transmission_s = abs(link_s - max(device_s, link_s - overlap.link_s, cloud_s - overlap.cloud_s))
    return compute_s, transmission_s


def eq6_s(timeline: Timeline, overlap: Overlap = NO_OVERLAP) -> float:
    """B_c + B_t + max{T_e, T_t, T_c}, COACH's Eq. 6, in seconds."""
    return sum(bubbles(timeline, overlap)) + max(timeline.device_s, timeline.link_s, timeline.cloud_s)


def respects_eq4(timeline: Timeline, overlap: Overlap = NO_OVERLAP) -> bool:
    """T_t^p + T_c^p <= max{T_e, T_t, T_c}, COACH's Eq. 4."""
    return overlap.link_s + overlap.cloud_s <= max(timeline.device_s, timeline.link_s, timeline.cloud_s)
