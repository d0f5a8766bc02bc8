"""The measurement on links that are simulated, to the second, and against servers that limit, lie and drop."""

import json

import pytest

from coachc.runtime.cloud.probe_budget import ProbeBudget, ProbeRequest
from coachc.runtime.errors import ConnectionFailed, RemoteProtocolError, ServerBusy, WrongBundleError
from coachc.runtime.link.connection import Connection, Reply
from coachc.runtime.link.measure_link import FIRST_BYTES, GOODPUT, LEAST_REPEATS, measure_link
from coachc.runtime.link.probe import PATH
from coachc.runtime.link.protocol import decode_request, request_limits
from coachc.runtime.link.tcp_segments import Segments
from tests.helpers.probe_server import MODEL, ProbeServer
from tests.helpers.runtime_bundles import make_bundle

MBIT = 1e6 / 8


class Simulated:
    """A connection over a link with a rate and a round trip, whose clock goes on by what requests take.

    A new connection sends ten segments in its first round trip, twice as many in each that follows, and remembers.
    """

    address = "10.0.0.2:8700"
    sent_bytes = 0

    def __init__(self, mbit, rtt_s, jitter=lambda number: 0.0, budget=None, slow_start=True, lost=0.0):
        self.now_s, self.sizes, self.trips = 50.0, [], 0
        self._rate, self._rtt_s, self._jitter, self._lost = mbit * MBIT * GOODPUT, rtt_s, jitter, lost
        self._window = 14480.0 if slow_start else 1e12
        self._budget = budget or ProbeBudget(lambda: self.now_s)

    def clock(self):
        return self.now_s

    @property
    def segments(self):
        sent = int(sum(self.sizes) / 1448)
        return Segments(sent, int(sent * self._lost))

    def get(self, path, limit):
        self.trips += 1
        self.now_s += self._rtt_s + self._jitter(self.trips)
        if path == PATH:
            return Reply({}, ProbeRequest(self._budget, "GET", 0).answer().body)
        said = {"/v2/health/live": "", "/v2/repository/index": [{"name": "tiny"}], "/v2/models/tiny": MODEL}[path]
        return Reply({}, json.dumps(said).encode())

    def post(self, path, headers, body, limit):
        left = len(body)
        while left > self._window and self._window < self._rate * self._rtt_s:
            left -= self._window
            self._window *= 2
            self.now_s += self._rtt_s
        self.now_s += left / self._rate + self._rtt_s
        self.sizes.append(len(body))
        self.sent_bytes += len(body) + 130
        request = ProbeRequest(self._budget, "POST", len(body))
        request.receive(body)
        assert request.refusal is None
        return Reply({}, request.answer().body)


@pytest.mark.parametrize("rtt_ms", [0.3, 5, 40, 90])
@pytest.mark.parametrize("mbit", [0.2, 2, 20, 100])
def test_rate_and_round_trip_are_those_of_the_link(mbit, rtt_ms):
    link = Simulated(mbit, rtt_ms / 1e3)
    found = measure_link(link, 10.0, clock=link.clock)
    assert found.bandwidth_bytes_per_s == pytest.approx(mbit * MBIT, rel=0.01)
    assert found.rtt_s == pytest.approx(rtt_ms / 1e3)
    assert (found.jitter_s, found.loss) == (pytest.approx(0, abs=1e-9), 0.0)
    assert found.spread < 0.02
    assert found.repeats >= LEAST_REPEATS
    assert found.seconds < 10.0 + 1.0 + 4 * rtt_ms / 1e3
    assert not found.at_least


def test_bodies_grow_from_a_small_one_and_then_stay():
    link = Simulated(20, 0.01)
    measure_link(link, 10.0, clock=link.clock)
    assert link.sizes[1] == FIRST_BYTES  # the first is the example request
    growing = link.sizes[1:-LEAST_REPEATS]
    assert all(later <= 4 * earlier for earlier, later in zip(growing, growing[1:]))
    assert len(set(link.sizes[-10:])) == 1


def test_the_time_is_kept_and_what_it_was_too_short_for_is_said():
    link = Simulated(20, 0.3)
    found = measure_link(link, 2.0, clock=link.clock)
    assert found.at_least
    assert found.bandwidth_bytes_per_s < 20 * MBIT
    link = Simulated(50_000, 0.1)  # 4 MiB take 0.7 ms
    assert measure_link(link, 10.0, clock=link.clock).at_least


def test_a_very_slow_link_gets_its_least_repeats():
    link = Simulated(0.05, 0.1)
    found = measure_link(link, 2.0, clock=link.clock)
    assert found.repeats == LEAST_REPEATS
    assert set(link.sizes[1:]) == {FIRST_BYTES}
    assert found.bandwidth_bytes_per_s == pytest.approx(0.05 * MBIT, rel=0.05)


def test_jitter_loss_and_outliers():
    link = Simulated(20, 0.01, jitter=lambda number: 0.004 * (number % 10 == 0), lost=0.02)
    found = measure_link(link, 10.0, "0.1.0", clock=link.clock)
    assert found.rtt_s == pytest.approx(0.01)
    assert found.jitter_s == pytest.approx(0.004, rel=0.1)
    assert found.loss == pytest.approx(0.02, abs=0.002)
    assert (found.server, found.coachc) == ("10.0.0.2:8700", "0.1.0")


def test_some_of_what_the_server_takes_is_left_for_others():
    link = Simulated(900, 0.001)
    budget = link._budget
    measure_link(link, 10.0, clock=link.clock)
    assert budget.left_bytes() >= 16 << 20
    assert max(link.sizes) == 4 << 20


def test_headers_are_those_of_a_request(tmp_path):
    """Counted on a socket, for the tensors of the server's model; one that `cloud_half` makes is as long."""
    with ProbeServer() as server:
        connection = Connection(server.address, 5.0)
        found = measure_link(connection, 1.0)
        before = connection.sent_bytes
        bundle = make_bundle(tmp_path / "b")
        tensor = {"name": "features/codes", "datatype": "UINT8", "shape": [1], "parameters": {"binary_data_size": 4096}}
        header = {"inputs": [tensor], "outputs": [{"name": "scores", "parameters": {"binary_data": True}}]}
        text = json.dumps(header, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
        body = text + bytes(4096)
        decode_request(headers, body, request_limits(bundle.manifest.cut())._replace(body_bytes=9999))
        with pytest.raises(WrongBundleError):
            connection.post("/v2/models/tiny/infer", headers, body, 100)
        assert found.header_bytes == connection.sent_bytes - before - 4096
        connection.close()


def measured(server, seconds=1.0):
    connection = Connection(server.address, 2.0)
    try:
        return measure_link(connection, seconds)
    finally:
        connection.close()


def test_a_real_connection_is_measured():
    with ProbeServer() as server:
        found = measured(server)
    assert found.bandwidth_bytes_per_s > 1e6
    assert 0 < found.rtt_s < 1
    assert found.repeats >= LEAST_REPEATS


def test_a_server_without_a_probe():
    with ProbeServer(probe=False) as server, pytest.raises(WrongBundleError, match="has no probe") as caught:
        measured(server)
    assert "give --bandwidth and --rtt by hand" in caught.value.hint


def test_nobody_there():
    with ProbeServer() as server:
        address = server.address
    with pytest.raises(ConnectionFailed, match=f"no server at {address}"):
        measure_link(Connection(address, 2.0), 1.0)


def test_a_server_that_is_used_up():
    budget = ProbeBudget(lambda: 0.0)
    budget.take(budget.left_bytes() - 1000)
    with ProbeServer(budget) as server, pytest.raises(ServerBusy) as caught:
        measured(server)
    assert caught.value.hint == "another device may be measuring; try again in ten seconds"


BUSY = json.dumps({"error": "wait"}).encode()


@pytest.mark.parametrize("number", [3, 5])
def test_a_limit_reached_too_early_is_an_error(number):
    def change(asked, status, said):
        return (429, BUSY) if asked >= number else (status, said)

    with ProbeServer(change=change) as server, pytest.raises(ServerBusy, match="answers 429: wait") as caught:
        measured(server)
    assert "try again" in caught.value.hint


def test_a_limit_reached_later_ends_the_measurement():
    reached = []

    def change(asked, status, said):
        if asked > 10:
            reached.append(asked)
            return 429, BUSY
        return status, said

    with ProbeServer(change=change) as server:
        found = measured(server)
    assert reached == [11]
    assert LEAST_REPEATS <= found.repeats < 9


@pytest.mark.parametrize(
    ("number", "answer"), [(1, b"hello"), (1, b"{}"), (2, b"null"), (4, b'{"probe":1,"received_bytes":5}')]
)
def test_nonsense(number, answer):
    def change(asked, status, said):
        return (200, answer) if asked == number else (status, said)

    with ProbeServer(change=change) as server, pytest.raises(RemoteProtocolError, match="no answer to it"):
        measured(server)


def test_a_server_that_swallows_bytes():
    def change(asked, status, said):
        found = json.loads(said.decode())
        return status, json.dumps(dict(found, received_bytes=found["received_bytes"] // 2)).encode()

    with ProbeServer(change=change) as server, pytest.raises(RemoteProtocolError) as caught:
        measured(server)
    assert caught.value.context[1].startswith("arrived   ")


def test_a_server_that_drops_every_connection():
    with ProbeServer(change=lambda asked, status, said: None if asked > 2 else (status, said)) as server:
        with pytest.raises(ConnectionFailed, match="no server at"):
            measured(server)


@pytest.mark.parametrize("model", [{}, [], {"inputs": [{"name": 3}], "outputs": []}, {"inputs": "x", "outputs": []}])
def test_a_model_that_does_not_say_what_it_takes(model):
    with ProbeServer(model=model) as server, pytest.raises(RemoteProtocolError, match="does not say what its model"):
        measured(server)
