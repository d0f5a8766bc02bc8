"""How precisely a task is sent: the lowest precision its score allows, and the highest the link has time for.

The stage times are the compiler's (`passes.timeline`); a test holds the two together.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

#: Share of the period kept free on the link: a bandwidth is an estimate.
SLACK = 0.05
#: A precision above the last one has to fit with this share of the period to spare, or two would take turns.
HYSTERESIS = 0.1

#: As in `coachc.cost.link`: share of the wire rate left to HTTP bodies.
GOODPUT = 0.955
#: Headers of a request and of one more tensor, where they were not counted.
REQUEST_HEADER_BYTES = 330
TENSOR_HEADER_BYTES = 90


class Rung(NamedTuple):
    """One precision of a whole cut.

    Attributes
    ----------
    bits : tuple of int
        By value of the cut; entries of values that are not packed mean nothing.
    size_bytes : float
        Mean of a task's values on the wire, entropy coding included.
    coding_s : float
        Time entropy coding takes on the device, part of the link's stage.
    header_bytes : float, optional
        What a request takes besides; some middling number where it was not counted.
    """

    bits: Tuple[int, ...]
    size_bytes: float
    coding_s: float = 0.0
    header_bytes: Optional[float] = None


class Choice(NamedTuple):
    """Position of the rung, and whether even the lowest admissible one keeps the link busy longer than the rest."""

    rung: int
    link_bound: bool


def body_bytes(rung: Rung, values_bytes: float) -> float:
    """Bytes of one request, headers included, whose values take `values_bytes`."""
    if rung.header_bytes is not None:
        return values_bytes + rung.header_bytes
    return values_bytes + REQUEST_HEADER_BYTES + len(rung.bits) * TENSOR_HEADER_BYTES


def link_s(rung: Rung, bandwidth_bytes_per_s: float) -> float:
    """Seconds one task keeps the link busy: `passes.timeline.stage_times`; for ever without a positive bandwidth."""
    if not bandwidth_bytes_per_s > 0:
        return float("inf")
    body = body_bytes(rung, rung.size_bytes)
    return body / (bandwidth_bytes_per_s * GOODPUT) + rung.coding_s


def period_s(device_s: float, link_time_s: float, cloud_s: float, server_share: float = 1.0) -> float:
    """Time between tasks of a saturated pipeline: `passes.timeline.from_stages`."""
    return max(device_s, link_time_s, cloud_s / server_share)


def lowest(thresholds: Sequence[float], score: float) -> int:
    """Q_r: the lowest rung whose threshold the score reaches.

    Parameters
    ----------
    thresholds : sequence of float
        By rung, falling; -inf from the rung on that every task is admitted at.
    """
    for rung, threshold in enumerate(thresholds):
        if threshold == float("-inf") or score >= threshold:
            return rung
    return len(thresholds) - 1


def without_bubble(
    rungs: Sequence[Rung], least: int, last: int, bandwidth_bytes_per_s: float, backlog_s: float, rest_s: float
) -> Choice:
    """Q_c of the default policy: the highest rung from `least` on that makes the link no bottleneck.

    Eq. 11 corrected: as printed every precision beyond the bottleneck is as good as any other.

    Parameters
    ----------
    rungs : sequence of Rung
        By rising size.
    least, last : int
        The lowest admissible one, and the one before.
    bandwidth_bytes_per_s : float
    backlog_s : float
        How long the link will still be busy with earlier tasks when this one is ready.
    rest_s : float
        Period of all other stages, or of the tasks' arrivals if that is longer.
    """
    for rung in range(len(rungs) - 1, least - 1, -1):
        room_s = rest_s * (1 - SLACK - (HYSTERESIS if rung > max(last, least) else 0.0))
        if link_s(rungs[rung], bandwidth_bytes_per_s) + backlog_s <= room_s:
            return Choice(rung, False)
    return Choice(least, True)


def as_printed(rungs: Sequence[Rung], least: int, bandwidth_bytes_per_s: float, rest_s: float) -> Choice:
    """Q_c by Eq. 11: the least \\|T' - max(T_e, T', T_c)\\| among all from `least` on, the smallest of equals."""
    gaps = []
    for rung in range(least, len(rungs)):
        # The same as |T' - max(rest, T')|, and a number also where T' is infinite.
        gaps.append((max(rest_s - link_s(rungs[rung], bandwidth_bytes_per_s), 0.0), rung))
    gap, rung = min(gaps)
    return Choice(rung, gap == 0 and rung == least)


def throughput(rungs: Sequence[Rung], bandwidth_bytes_per_s: float, rest_s: float) -> Choice:
    """QuantPipe's way: the highest rung the link has time for, whatever accuracy says; else the lowest."""
    return without_bubble(rungs, 0, len(rungs) - 1, bandwidth_bytes_per_s, 0.0, rest_s)
