"""When a device sends too little to show its link's rate, and when that is worth a probe."""

import pytest

from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.driver import LEAST_PROBE_S, PROBE_SHARE, SHIFT_SHARE, Driver
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.small_transfers import SmallTransfers

MBIT = 125000.0
PROBE = 20000


def transfer(now_s, duration_s, server_s=0.001):
    return Transfer(600, now_s - duration_s - server_s, now_s, server_s)


def test_only_small_transfers_of_late_are_few():
    seen = SmallTransfers()
    assert not seen.few(0.0)
    seen.saw(600, transfer(1.0, 0.002))
    assert seen.few(1.1)
    assert not seen.few(5.0)
    seen.saw(60000, transfer(1.2, 0.02))
    seen.saw(600, transfer(1.3, 0.002))
    assert not seen.few(1.4)
    seen.saw(600, transfer(2.3, 0.002))
    assert seen.few(2.4)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_another_duration_shows_after_a_few(factor):
    seen = SmallTransfers()
    for task in range(60):
        seen.saw(600, transfer(task * 0.01, 0.002 * (0.9 if task % 2 else 1.1)))
    assert not seen.shifted
    for task in range(60, 70):
        seen.saw(600, transfer(task * 0.01, 0.002 * factor))
    assert seen.shifted
    seen.settle()
    seen.saw(600, transfer(0.71, 0.002 * factor))
    assert not seen.shifted


def driver(rate):
    policy = Policy("none", "cut", None, None, (Rung((4,), 300.0),), 0, (-float("inf"),), 0.01, 0.001)
    return Driver({"cut": policy}, "cut", None, rate, "accuracy", lambda: 1.0)


def feed(one, begin_s, tasks, duration_s):
    for task in range(tasks):
        now_s = begin_s + 0.01 * task
        one.next_cut(now_s, False)
        one.decide(task, "cut", None, now_s)
        one.sending(task, now_s)
        one.answered(task, "cut", transfer(now_s + duration_s, duration_s))
    return begin_s + 0.01 * tasks


@pytest.mark.parametrize("mbit", [5, 20, 100])
def test_probes_take_a_small_share_of_the_link(mbit):
    one = driver(mbit * MBIT)
    now_s = feed(one, 0.0, 20, 0.001)
    assert one.wants_rate(now_s)
    one.asked_rate(now_s, mbit * MBIT, PROBE)
    every_s = max(LEAST_PROBE_S, PROBE / (PROBE_SHARE * mbit * MBIT))
    now_s = feed(one, now_s, 10, 0.001)
    assert one.wants_rate(now_s) == (now_s - 0.2 >= every_s)
    while now_s < 0.2 + every_s:
        assert not one.wants_rate(now_s)
        now_s = feed(one, now_s, 10, 0.001)
    assert one.wants_rate(now_s + 0.01)


def test_answers_that_take_longer_are_followed_up_sooner():
    one = driver(5 * MBIT)
    now_s = feed(one, 0.0, 30, 0.001)
    one.asked_rate(now_s, 5 * MBIT, PROBE)
    assert one.bandwidth_bytes_per_s == pytest.approx(5 * MBIT)
    begin_s = now_s = feed(one, now_s, 30, 0.001)
    assert not one.wants_rate(now_s)
    while not one.wants_rate(now_s):
        now_s = feed(one, now_s, 1, 0.0019)
    assert now_s - begin_s < max(0.1, PROBE / (SHIFT_SHARE * 5 * MBIT))
    one.asked_rate(now_s, 2.5 * MBIT, PROBE)
    assert one.bandwidth_bytes_per_s == pytest.approx(2.5 * MBIT)


def test_a_probe_near_what_was_known_moves_it_half_way():
    one = driver(20 * MBIT)
    one.asked_rate(0.0, 5 * MBIT, PROBE)
    one.asked_rate(1.0, 6 * MBIT, PROBE)
    assert one.bandwidth_bytes_per_s == pytest.approx(5.5 * MBIT)
    one.asked_rate(2.0, None, PROBE)
    assert one.bandwidth_bytes_per_s == pytest.approx(5.5 * MBIT)
    one.asked_rate(60.0, 6 * MBIT, PROBE)
    assert one.bandwidth_bytes_per_s == pytest.approx(6 * MBIT)


@pytest.mark.parametrize("size", [300, 3000, 6000, 12000, 30000, 100000])
@pytest.mark.parametrize("every_s", [0.0, 0.033])
def test_what_a_token_bucket_lets_through_is_not_the_rate(size, every_s):
    """A link of 20 Mbit/s whose bucket holds 5 kB: what shows a rate at all is within a fifth of it."""
    rate, burst = 20 * MBIT, 5000.0
    seen, tokens, now_s, shown = SmallTransfers(), burst, 0.0, []
    for _ in range(40):
        duration_s = 0.0002 + max(0.0, size - tokens) / rate
        tokens = max(0.0, tokens - size)
        if seen.saw(size, Transfer(size, now_s, now_s + duration_s)):
            shown.append(size / (duration_s - 0.0002) / rate)
        begin_s = max(now_s + duration_s, now_s + every_s)
        tokens = min(burst, tokens + (begin_s - now_s - duration_s) * rate)
        now_s = begin_s
    assert shown == pytest.approx([1.0] * len(shown), rel=0.2)
    assert bool(shown) == (size > 30000 or (size >= 3000 and every_s == 0.0))


def test_small_transfers_that_end_together_are_no_fast_link():
    """Eight answers that are noticed within a few microseconds of each other."""
    one = driver(20 * MBIT)
    for round_ in range(50):
        begin_s = round_ * 0.02
        for task in range(8):
            number = 8 * round_ + task
            one.next_cut(begin_s, False)
            one.decide(number, "cut", None, begin_s)
            one.sending(number, begin_s)
        for task in range(8):
            end_s = begin_s + 0.008 + 5e-6 * task
            one.answered(8 * round_ + task, "cut", Transfer(600, begin_s, end_s, 0.001))
    assert one.bandwidth_bytes_per_s < 25 * MBIT
