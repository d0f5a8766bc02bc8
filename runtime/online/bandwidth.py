"""The rate of the uplink, from the requests that the device sends anyway, and whether the link is down.

Decides how fast the link is and when it has stopped. What to do about either, and how long the cloud takes
(`Transfer.server_s`), is for the caller, which also gives every time and holds the state behind its lock.

The estimate is a harmonic mean (bytes over busy seconds, as FESTIVE takes it) whose memory halves every 0.3 s. What is
far off waits for the transfers after it, which drop it as an outlier or confirm it as a step, and a step starts the
mean anew. Chosen by replaying ten 4G and 5G traces: with 20 kB back to back, and times that vary by 30 %, it is 4 % off
the mean of the last second (median), the mean or median of five transfers about 15 %, the slower of two moving averages
(2 s and 5 s) 20 %, the last transfer 25 %; a plain mean over the last second takes that second to follow a step.

Sources: Jiang, Sekar and Zhang, "Improving Fairness, Efficiency, and Stability in HTTP-based Adaptive Video Streaming
with FESTIVE", CoNEXT 2012 (harmonic mean); shaka-player, lib/abr/ewma_bandwidth_estimator.js (half-lives, small
transfers left out). Differs: half-lives are of time on the clock rather than of samples, and outliers wait.
"""

from typing import NamedTuple, Optional, Tuple

MIN_BYTES_PER_S, MAX_BYTES_PER_S = 1e2, 1e10
FLOOR_BYTES = 1500  # one Ethernet packet: what is smaller takes a latency, whatever the rate
SMALL_KEPT = 8  # transfers below that whose fastest stands for all of them
SMALL_S = 2e-3  # a latency that scheduling alone may cost; a slow link costs more
HALF_LIFE_S = 0.3
KEPT_BYTES = 4096.0  # what the prior, or an estimate however old, weighs at least
SUSPECT = 1.6  # times slower or faster than expected: waits. Safely below a step to half or double the rate
OUTLIER = 4.0  # times slower than expected, and not confirmed: dropped
CONFIRMED = 3  # transfers in a row, all slower or all faster, make a step
IDLE_S = 1.0  # after a pause this long a transfer is believed up to OUTLIER at once
OUTAGE_MIN_S = 0.5  # above the 0.2 s after which Linux first sends a lost packet again
OUTAGE_FACTOR = 3.0
_LIMIT = 1e12  # no size or time is larger; a float still tells 0.2 ms apart there


class Transfer(NamedTuple):
    """One request and its answer.

    Attributes
    ----------
    size_bytes : int
        Of the request, on the wire.
    start_s, end_s : float
        When sending began and when the answer was there, on one clock.
    server_s : float
        The part of that time that is not the link's: cloud compute and round trip, known or estimated. An error here
        is an error of the transfer's time: 2 ms of it are 40 % of 20 kB at 32 Mbit/s.
    work_s : float
        How long the server worked, without the wait for a worker; negative where that is not known.
    """

    size_bytes: int
    start_s: float
    end_s: float
    server_s: float = 0.0
    work_s: float = -1.0


class BandwidthState(NamedTuple):
    """What is known of the link.

    Attributes
    ----------
    s_per_byte : float
        Mean over the remembered bytes.
    weight_bytes : float
        Bytes remembered, at `free_s`.
    free_s : float
        When the last transfer left the link; minus infinity before the first.
    suspects : tuple of (int, float)
        Bytes and seconds per byte of the latest transfers, all too slow or all too fast to be believed yet.
    small : tuple of (float, float)
        Seconds per byte and seconds of the latest transfers below `FLOOR_BYTES`.
    """

    s_per_byte: float
    weight_bytes: float
    free_s: float
    suspects: Tuple[Tuple[int, float], ...]
    small: Tuple[Tuple[float, float], ...] = ()


def initial(bandwidth_bytes_per_s: float) -> BandwidthState:
    """Before the first transfer: the rate that the bundle was compiled for, bounded as an estimate is.

    It weighs `KEPT_BYTES`, and a first transfer up to `OUTLIER` off is believed at once. NaN counts as the lower bound.
    """
    return BandwidthState(1 / _bounded(bandwidth_bytes_per_s), KEPT_BYTES, float("-inf"), ())


def observe(state: BandwidthState, transfer: Transfer) -> BandwidthState:
    """The state after one more transfer; call in the order of the answers.

    A transfer has the link from when it started, or from when the one before it left if that is later, until it left
    itself: `end_s - server_s`. So requests in flight together count the time they share once, whether the link sends
    them one after the other or, up to three of them, all at once.

    A step of the rate by `SUSPECT` or more is followed with the third transfer after it (the fourth, if the step
    falls into one), a smaller one within a second; after a pause of `IDLE_S`, steps up to `OUTLIER` with the first.

    Never raises. A transfer changes nothing if its size is zero or less, if a number in it is NaN or infinite, if
    `server_s` is negative, or if it was shorter than `server_s`. `SMALL_KEPT` below `FLOOR_BYTES` bound the rate from
    below; if the fastest of them took longer than any latency, it is the rate. One that ended before an earlier one
    left means that the clock went back, and only sets `free_s`. One that took over `OUTLIER` times too long,
    unconfirmed, is left out; one that was too fast counts by its bytes.
    """
    size, start_s, end_s, server_s, _ = transfer
    if not (0 < size <= _LIMIT and abs(start_s) <= _LIMIT and abs(end_s) <= _LIMIT and 0 <= server_s <= _LIMIT):
        return state
    left_s = end_s - server_s
    if left_s <= start_s:
        return state
    if end_s < state.free_s:
        return state._replace(free_s=left_s)
    begin_s, left_s = max(start_s, state.free_s), max(left_s, state.free_s)
    if size < FLOOR_BYTES:
        return _bound(state._replace(free_s=left_s), size, max(left_s - begin_s, 1e-300))
    tolerance = OUTLIER if begin_s - state.free_s >= IDLE_S else SUSPECT
    weight_bytes = max(KEPT_BYTES, state.weight_bytes * 0.5 ** ((left_s - state.free_s) / HALF_LIFE_S))
    state = state._replace(weight_bytes=weight_bytes, free_s=left_s)
    s_per_byte = min(1 / MIN_BYTES_PER_S, max(1 / MAX_BYTES_PER_S, (left_s - begin_s) / size))
    return _judge(state, size, s_per_byte, tolerance)


def ended(state: BandwidthState, transfer: Transfer) -> BandwidthState:
    """The state after a transfer that says nothing of the rate; when it left the link counts for those behind it."""
    left_s = transfer.end_s - max(transfer.server_s, 0.0)
    if not (abs(left_s) <= _LIMIT and left_s >= transfer.start_s):
        return state
    return state._replace(free_s=max(left_s, state.free_s) if transfer.end_s >= state.free_s else left_s)


def measured(state: BandwidthState, bytes_per_s: float) -> BandwidthState:
    """The state after a measurement on purpose, which is believed: what small transfers said before is forgotten."""
    return state._replace(s_per_byte=1 / _bounded(bytes_per_s), weight_bytes=KEPT_BYTES, suspects=(), small=())


def estimate(state: BandwidthState) -> float:
    """Bytes per second, within [1e2, 1e10]; without transfers for a while it stays, and weighs less."""
    return _bounded(1 / state.s_per_byte)


def in_outage(
    state: BandwidthState,
    now_s: float,
    oldest_unanswered_s: Optional[float],
    unanswered_bytes: float,
    server_s: float = 0.0,
) -> bool:
    """True if an answer is overdue, so that the link must be taken for down.

    Overdue is `OUTAGE_MIN_S` plus `OUTAGE_FACTOR` times what all unanswered requests should take, `server_s` included,
    since the oldest of them was sent or the last answered one left the link, whichever is later.

    Parameters
    ----------
    state : BandwidthState
    now_s : float
        On the clock of the transfers.
    oldest_unanswered_s : float, optional
        When the oldest request without an answer was sent; None if all are answered, which is never an outage.
    unanswered_bytes : float
        Of all requests without an answer, on the wire.
    server_s : float
        As in `Transfer`, for one request.

    Returns
    -------
    bool
        False where a number is NaN.
    """
    if oldest_unanswered_s is None:
        return False
    since_s = max(oldest_unanswered_s, state.free_s) if state.free_s <= now_s else oldest_unanswered_s
    expected_s = unanswered_bytes / estimate(state) + server_s
    return now_s - since_s > OUTAGE_MIN_S + OUTAGE_FACTOR * expected_s


def _bounded(bytes_per_s: float) -> float:
    return min(MAX_BYTES_PER_S, max(MIN_BYTES_PER_S, bytes_per_s))  # in this order NaN becomes the lower bound


def _bound(state: BandwidthState, size: float, duration_s: float) -> BandwidthState:
    """What a small transfer says: the link is no slower than that; and no faster than the fastest of several slow ones.

    A device whose cut sends a few hundred bytes learns nothing else of its link.
    """
    s_per_byte = 1 / _bounded(size / duration_s)
    small = (state.small + ((s_per_byte, duration_s),))[-SMALL_KEPT:]
    # Answers that are noticed together seem to follow each other at once; all of them took the time of all.
    together = sum(seconds for _, seconds in small) / sum(seconds / each for each, seconds in small)
    if len(small) == SMALL_KEPT and together < state.s_per_byte / SUSPECT:
        return state._replace(s_per_byte=together, weight_bytes=KEPT_BYTES, suspects=(), small=())
    fastest, taken_s = min(small)
    if len(small) == SMALL_KEPT and taken_s > SMALL_S and fastest > state.s_per_byte * SUSPECT:
        return state._replace(s_per_byte=fastest, weight_bytes=KEPT_BYTES, suspects=(), small=())
    return state._replace(small=small)


def _judge(state: BandwidthState, size: int, s_per_byte: float, tolerance: float) -> BandwidthState:
    """Believe a transfer, let it wait, or start anew from it and the one before it."""
    expected, suspects = state.s_per_byte, state.suspects
    slower, believed = s_per_byte > expected, expected / tolerance <= s_per_byte <= expected * tolerance
    if not believed and all((other > expected) == slower for _, other in suspects):
        suspects = suspects + ((size, s_per_byte),)
        if len(suspects) < CONFIRMED:
            return state._replace(suspects=suspects)
        last_two = suspects[-2:]  # the milder of them, since the first may span an outage or the step itself
        milder = min if slower else max
        return state._replace(
            s_per_byte=milder(other for _, other in last_two),
            weight_bytes=float(sum(other for other, _ in last_two)),
            suspects=(),
        )
    # No step: what waited joins after all, as requests that shared the link seem too slow and too fast in turn.
    joining = [suspect for suspect in suspects if suspect[1] <= expected * OUTLIER]
    if not believed and not joining:
        return state._replace(suspects=((size, s_per_byte),))
    for other_size, other in joining + [(size, s_per_byte)]:
        weight_bytes = state.weight_bytes + other_size
        mean = state.s_per_byte + (other - state.s_per_byte) * other_size / weight_bytes
        state = state._replace(s_per_byte=mean, weight_bytes=weight_bytes)
    return state._replace(suspects=())
