"""The link's rate from a body of the probe, on a server that takes as long as a link of that rate would."""

import time

import pytest

from coachc.runtime.device.rate_probe import BODY_BYTES, PROBE_BYTES, RateProbe
from coachc.runtime.link.probe import PATH, TAIL_FROM_BYTES, ProbeAnswer, encode_answer
from coachc.runtime.online.precision import GOODPUT
from tests.helpers.scripted_http import Serving, head_of


def a_link(bytes_per_s, burst_bytes=5000, latency_s=0.002, collects=False, said=None):
    """Talks as a server behind a link does: a body takes its time, but for what the link lets through at once.

    `collects`: and behind a proxy, which hands bodies on in one piece.
    """

    def talk(peer):
        while True:
            head = head_of(peer)
            if not head:
                return
            size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) if b"Content-Length" in head else 0
            left = size
            while left:
                left -= len(peer.recv(left))
            time.sleep(latency_s + max(0.0, size - burst_bytes) / bytes_per_s)
            if said is not None:
                peer.sendall(said)
                continue
            tail_s = max(0, size - TAIL_FROM_BYTES) / bytes_per_s
            answer(peer, size, 60 if collects else int(1e6 * tail_s))

    return talk


def answer(peer, size, tail_us):
    body = encode_answer(ProbeAnswer(size, 1 << 20, 1 << 20, max(0, size - TAIL_FROM_BYTES), tail_us if size else 0))
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.parametrize("mbit", [2, 5, 50])
def test_latency_and_burst_are_no_part_of_the_rate(mbit):
    with Serving(a_link(mbit * 125000.0)) as server:
        probe = RateProbe(server.address, lambda: 0.0)
        found = [probe.measure(mbit * 125000.0).bytes_per_s for _ in range(3)]
        probe.close()
    assert sorted(found)[1] == pytest.approx(mbit * 125000.0 / GOODPUT, rel=0.1)


def test_a_proxy_that_collects_bodies_is_no_fast_link():
    with Serving(a_link(125000.0, collects=True)) as server:
        probe = RateProbe(server.address, lambda: 0.0)
        found = probe.measure(125000.0)
        probe.close()
    assert found.bytes_per_s < 2 * 125000.0 / GOODPUT


def test_a_question_that_waited_and_an_end_that_came_at_once_are_no_fast_link():
    """The question before the body waits 40 ms behind a task; the server is held up, and sees the whole end at once."""

    def held_up(peer):
        for waits_s in (0.0, 0.04):
            head_of(peer)
            time.sleep(waits_s)
            answer(peer, 0, 0)
        while True:
            head = head_of(peer)
            if not head:
                return
            left = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            while left:
                left -= len(peer.recv(left))
            time.sleep(0.03)
            answer(peer, BODY_BYTES, 60)

    with Serving(held_up) as server:
        probe = RateProbe(server.address, lambda: 0.0)
        found = probe.measure(500000.0)
        probe.close()
    assert found.bytes_per_s < 1.2 * BODY_BYTES / 0.03 / GOODPUT


def test_another_rate_than_was_believed_is_asked_for_again():
    with Serving(a_link(625000.0)) as server:
        probe = RateProbe(server.address, lambda: 0.0)
        near, far = (probe.measure(believed).spent_bytes for believed in (625000.0, 62500.0))
        probe.close()
    assert (near, far) == (PROBE_BYTES, 3 * PROBE_BYTES)


def test_where_tasks_shared_the_link_the_fastest_counts():
    """A link that takes turns is slower for each."""
    sent, rates = [0.0], (150000.0, 180000.0)

    def shared(peer):
        while head_of(peer):
            sent[0] += 500.0
            answer(peer, 0, 0)
            head_of(peer)
            answer(peer, 0, 0)
            for rate in rates:
                left = int(head_of(peer).split(b"Content-Length: ")[1].split(b"\r\n")[0])
                while left:
                    left -= len(peer.recv(left))
                answer(peer, BODY_BYTES, int(1e6 * (BODY_BYTES - TAIL_FROM_BYTES) / rate))

    with Serving(shared) as server:
        probe = RateProbe(server.address, lambda: sent[0])
        found = probe.measure(150000.0 / GOODPUT)
        probe.close()
    assert found == (pytest.approx(180000.0 / GOODPUT, rel=0.01), 2 * PROBE_BYTES)


@pytest.mark.parametrize(
    ("said", "possible"),
    [
        (b"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.1 429 X\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"nonsense\r\n\r\n", True),
    ],
)
def test_a_server_that_does_not_measure(said, possible):
    with Serving(a_link(1e6, said=said)) as server:
        probe = RateProbe(server.address, lambda: 0.0)
        assert probe.measure(1e6).bytes_per_s is None
        assert probe.possible == possible
        probe.close()


def test_nobody_there_is_no_rate():
    probe = RateProbe("127.0.0.1:1", lambda: 0.0)
    assert probe.measure(1e6).bytes_per_s is None
    assert PROBE_BYTES < 1 << 16
    assert PATH.startswith("/")
