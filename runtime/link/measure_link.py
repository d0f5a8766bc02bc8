"""The link to a server, measured as the device sees it: over one kept-alive connection, as a run uses it.

Round trip: requests for the server's health, which have no body and nor have their answers, one after the other on a
warm connection, before anything fills a queue; the median of all of it, with nothing taken off, because a task waits
for the server's part of it too. Jitter is the 95th percentile less that median.

Rate: bodies of random bytes, one after the other on the same connection, each from before its first byte is written
until the answer says that all have arrived. They start small and grow until one keeps the link busy for half a second
and four round trips, or the server takes none larger; what was sent until then is left out, so whatever the congestion
control (the kernel's: cubic, BBR) makes of a new connection is over. From there on all bodies have one size, and the
rate is the median of size / (time - round trip), divided by `GOODPUT`, the share of the wire that TCP/IP leaves to
bodies. The round trip is taken off because the link stands idle in it: in a pipeline the next task's bytes would
follow. Where bodies do not keep the link busy for three round trips, or the time was too short for them to grow, it may
never have been full, and the rate is said to be a lower bound.

Loss: of the measurement's TCP segments, those that the kernel sent again. What the bodies themselves drove out of a
full queue counts, so on a clean link with short queues it is above zero.

Header bytes: a request as `cloud_half` makes them, of the tensors that the server's first model takes, really sent,
to the probe; less the tensors' bytes. It is not deflated, and so a little longer than one that is.
"""

import json
import os
import time
from typing import Any, Callable, List, Mapping, Optional, Tuple

import numpy as np

from ..bundle.link_file import MeasuredLink
from ..errors import CoachRuntimeError, RemoteProtocolError, ServerBusy, WrongBundleError
from ..online.precision import GOODPUT
from .connection import Connection
from .probe import ANSWER_LIMIT_BYTES, PATH, ProbeAnswer, decode_answer
from .protocol import encode_request
from .tcp_segments import lost_share
from .tensors import Tensor

#: Small requests, and the share of the time that they may take; some are always made.
ROUND_TRIPS, LEAST_ROUND_TRIPS, ROUND_TRIP_SHARE = 40, 5, 0.25
#: The first body, and how much larger the next one may be: a slow link is not filled for minutes by a guess.
FIRST_BYTES, GROWTH = 16 << 10, 4
#: How long a body is to keep the link busy: long against the clock and the scheduler, and still ten bodies in the time;
#: and in round trips, so that slow start is a small part of it. `ENOUGH` of that is near enough.
BUSY_S, BUSY_ROUND_TRIPS, ENOUGH = 0.5, 4, 0.8
#: Round trips that a body has to keep the link busy for, or it tells a lower bound.
FULL_ROUND_TRIPS = 3
#: Share of the time after which bodies grow no more. One step takes no longer than a body of the final size.
GROWING_SHARE = 0.6
#: Bodies of the final size. Fewer than three have no median; more than fifty tell no more.
LEAST_REPEATS, MOST_REPEATS = 3, 50
#: All bodies until the least repeats are made come to so many of the final size at most.
BODIES = 6
#: Of what the server takes at once, that is left to whoever measures next.
LEFT_SHARE = 0.25
METADATA_LIMIT_BYTES = 1 << 20
#: Of a tensor in the example request; only the number of its digits counts.
EXAMPLE_BYTES = 4096

Progress = Callable[[str, int, int], None]


def measure_link(
    connection: Connection,
    seconds: float,
    coachc: Optional[str] = None,
    progress: Progress = lambda step, done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> MeasuredLink:
    """Measure the link to a `coachc serve`.

    Parameters
    ----------
    connection : Connection
    seconds : float
        What it may take, about: it ends with the body that is under way then. A link so slow that the least repeats
        of the smallest body take longer gets those.
    coachc : str, optional
        Version to note.
    progress : callable
        Told (step, done, total).
    clock : callable
        Seconds.

    Raises
    ------
    WrongBundleError
        The server has no probe.
    ServerBusy
        It takes no more bytes for now.
    ConnectionFailed, EngineError, RemoteProtocolError
        As `Connection.post`; or it answers nonsense.
    """
    start_s = clock()
    probe = _Probe(connection, clock)
    first = probe.ask()
    before = connection.segments
    trips = _round_trips(connection, clock, start_s + ROUND_TRIP_SHARE * seconds, progress)
    rtt_s = float(np.median(trips))
    header_bytes = _header_bytes(connection, probe)
    size, took_s, grown = _grow(probe, first, rtt_s, start_s + GROWING_SHARE * seconds)
    busy_s = [_busy_s(one, rtt_s) for one in _repeat(probe, first, size, took_s, start_s + seconds, progress)]
    low_s, middle_s, high_s = [float(one) for one in np.percentile(busy_s, (25, 50, 75))]
    return MeasuredLink(
        bandwidth_bytes_per_s=size / middle_s / GOODPUT,
        at_least=not grown or middle_s < FULL_ROUND_TRIPS * rtt_s,
        spread=(high_s - low_s) / middle_s,
        rtt_s=rtt_s,
        jitter_s=float(np.percentile(trips, 95)) - rtt_s,
        loss=lost_share(before, connection.segments),
        header_bytes=header_bytes,
        server=connection.address,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        coachc=coachc,
        repeats=len(busy_s),
        round_trips=len(trips),
        seconds=clock() - start_s,
    )


class _Probe:
    """The server's probe: what it answers, and how long that takes."""

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self.clock = clock

    def ask(self) -> ProbeAnswer:
        """What it takes now. The first request connects."""
        address = self._connection.address
        try:
            reply = self._connection.get(PATH, ANSWER_LIMIT_BYTES)
        except WrongBundleError as exc:
            raise WrongBundleError(
                f"the server at {address} has no probe to measure the link with: {PATH} is not there",
                hint="coachc serve of this version has one; of another server give --bandwidth and --rtt by hand",
            ) from exc
        return decode_answer(reply.body, address, 0)

    def send(self, size: int) -> Tuple[float, ProbeAnswer]:
        """Seconds that a body of so many bytes and its answer took, and that answer."""
        # Random: what compresses on the way (a VPN, a modem) would be sent faster than codes are.
        body = os.urandom(size)
        start_s = self.clock()
        answer = self.post({}, body)
        return self.clock() - start_s, answer

    def post(self, headers: Mapping[str, str], body: bytes) -> ProbeAnswer:
        """What it answers to a body."""
        try:
            reply = self._connection.post(PATH, headers, body, ANSWER_LIMIT_BYTES)
        except ServerBusy as exc:
            raise _busy(exc.message) from exc
        return decode_answer(reply.body, self._connection.address, len(body))

    def too_little(self, answer: ProbeAnswer) -> CoachRuntimeError:
        """What to say where it takes too little for a measurement."""
        left = f"its probe takes {answer.left_bytes} bytes at the moment, at most {answer.body_bytes} in one body"
        return _busy(f"the server at {self._connection.address} has no room for a measurement: {left}")


def _busy(message: str) -> ServerBusy:
    return ServerBusy(message, hint="another device may be measuring; try again in ten seconds")


def _round_trips(
    connection: Connection, clock: Callable[[], float], deadline_s: float, progress: Progress
) -> List[float]:
    times = []  # type: List[float]
    while len(times) < ROUND_TRIPS and (len(times) < LEAST_ROUND_TRIPS or clock() < deadline_s):
        start_s = clock()
        connection.get("/v2/health/live", ANSWER_LIMIT_BYTES)
        times.append(clock() - start_s)
        progress("round trips", len(times), ROUND_TRIPS)
    return times


def _grow(probe: _Probe, first: ProbeAnswer, rtt_s: float, deadline_s: float) -> Tuple[int, float, bool]:
    """Bytes of a body that keeps the link busy long enough, the seconds it took, and whether there was time for it."""
    most_bytes = min(first.body_bytes, first.left_bytes // BODIES)
    if most_bytes < FIRST_BYTES:
        raise probe.too_little(first)
    wanted_s, size = max(BUSY_S, BUSY_ROUND_TRIPS * rtt_s), FIRST_BYTES
    while True:
        took_s, _ = probe.send(size)
        busy_s = _busy_s(took_s, rtt_s)
        larger = min(most_bytes, GROWTH * size, int(size / busy_s * wanted_s))
        grown = busy_s >= ENOUGH * wanted_s or larger <= size
        if grown or probe.clock() >= deadline_s:
            return size, took_s, grown
        size = larger


def _repeat(
    probe: _Probe, first: ProbeAnswer, size: int, took_s: float, deadline_s: float, progress: Progress
) -> List[float]:
    """Seconds that each of the repeats took, answer included."""
    reserve_bytes, left_bytes = int(LEFT_SHARE * first.left_bytes), first.left_bytes
    times = []  # type: List[float]
    while len(times) < MOST_REPEATS:
        over = probe.clock() + took_s > deadline_s or left_bytes < reserve_bytes + size
        if over and len(times) >= LEAST_REPEATS:
            break
        try:
            took_s, answer = probe.send(size)
        except ServerBusy:
            if len(times) < LEAST_REPEATS:
                raise
            break  # somebody else measures too; what there is will do
        left_bytes = answer.left_bytes
        times.append(took_s)
        progress("transfers", len(times), 0)
    return times


def _busy_s(took_s: float, rtt_s: float) -> float:
    """How long a body kept the link busy: a quarter of its time at least, where most of that was the round trip."""
    return max(took_s - rtt_s, took_s / 4)


def _header_bytes(connection: Connection, probe: _Probe) -> int:
    """Of a request for the server's first model, without the bytes of its tensors."""
    index = _json(connection, "/v2/repository/index")
    try:
        path = "/v2/models/" + index[0]["name"]
        metadata = _json(connection, path)
        tensors = [
            Tensor(one["name"], one["datatype"], tuple(abs(int(size)) for size in one["shape"]), bytes(EXAMPLE_BYTES))
            for one in metadata["inputs"]
        ]
        message = encode_request(tensors, [one["name"] for one in metadata["outputs"]])
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        raise RemoteProtocolError(
            f"the server at {connection.address} does not say what its model takes", hint="is it coachc serve?"
        ) from exc
    before = connection.sent_bytes
    probe.post(message.headers, message.body)
    sent_bytes = connection.sent_bytes - before - message.payload_bytes
    return sent_bytes + len(path + "/infer") - len(PATH)


def _json(connection: Connection, path: str) -> Any:
    reply = connection.get(path, METADATA_LIMIT_BYTES)
    try:
        return json.loads(reply.body.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(
            f"the server at {connection.address} answers {path} with something that is not JSON"
        ) from exc
