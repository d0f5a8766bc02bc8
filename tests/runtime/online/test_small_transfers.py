"""When a device sends too little to show its link's rate, and when that is worth a probe."""

import numpy as np
import pytest

from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.driver import IDLE_PROBE_S, LEAST_PROBE_S, PROBE_SHARE, SHIFT_SHARE, Driver
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.small_transfers import SmallTransfers

MBIT = 125000.0
PROBE = 20000


def transfer(now_s, duration_s, server_s=0.001):
    return Transfer(600, now_s - duration_s - server_s, now_s, server_s)


def saw(seen, size, transferred, believed=20 * MBIT, **more):
    return seen.saw(size, transferred, believed, **more)


def test_only_small_transfers_of_late_are_few():
    seen = SmallTransfers()
    assert not seen.few(0.0)
    saw(seen, 600, transfer(1.0, 0.002))
    assert seen.few(1.1)
    assert not seen.few(5.0)
    saw(seen, 60000, transfer(1.2, 0.02))
    saw(seen, 600, transfer(1.3, 0.002))
    assert not seen.few(1.4)
    saw(seen, 600, transfer(2.3, 0.002))
    assert seen.few(2.4)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_another_duration_shows_after_a_few(factor):
    seen = SmallTransfers()
    for task in range(60):
        saw(seen, 600, transfer(task * 0.01, 0.002 * (0.9 if task % 2 else 1.1)))
    assert not seen.shifted
    for task in range(60, 70):
        saw(seen, 600, transfer(task * 0.01, 0.002 * factor))
    assert seen.shifted
    seen.settle()
    saw(seen, 600, transfer(0.71, 0.002 * factor))
    assert not seen.shifted


def test_noise_is_no_change():
    """Durations that vary by a factor of two and more, for thousands of transfers."""
    random = np.random.RandomState(0)
    for seed in range(5):
        seen = SmallTransfers()
        now_s = 0.0
        for duration_s in 0.0004 * random.lognormal(0, 0.5, 3000):
            now_s += 0.003
            saw(seen, 600, transfer(now_s, duration_s))
        assert not seen.shifted, seed
        for duration_s in 0.002 * random.lognormal(0, 0.5, 40):
            now_s += 0.003
            saw(seen, 600, transfer(now_s, duration_s))
        assert seen.shifted, seed


@pytest.mark.parametrize(("size", "shows"), [(4500, False), (9000, False), (12000, True)])
def test_a_few_kilobytes_never_say_that_a_link_is_much_faster(size, shows):
    """Server and sender share the time, and what seemed to wait for the link has gone at once: a probe says whether."""
    seen = SmallTransfers()
    for task in range(10):
        # The link is busy: every transfer begins when the one before it has left.
        seen.saw(size, Transfer(size, task * 0.01, (task + 1) * 0.01, 0.0), size / 0.01)
    assert not seen.shifted
    assert seen.saw(size, Transfer(size, 0.1, 0.1002, 0.0), size / 0.01) == shows
    assert seen.shifted != shows
    assert seen.few(0.1002) != shows


def test_what_goes_beside_a_probe_is_no_change():
    """It waits for the probe, which would call for the next one for ever."""
    seen = SmallTransfers()
    for task in range(60):
        saw(seen, 600, transfer(task * 0.01, 0.002))
    for task in range(60, 70):
        saw(seen, 600, transfer(task * 0.01, 0.025), beside=True)
    assert not seen.shifted
    seen.settle()
    for task in range(70, 90):
        saw(seen, 600, transfer(task * 0.01, 0.002))
    assert not seen.shifted


def driver(rate, name="default"):
    policy = Policy(name, "cut", None, None, (Rung((4,), 300.0),), 0, (-float("inf"),), 0.01, 0.001)
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


def test_where_the_rate_decides_nothing_probes_are_rare_until_answers_change():
    one = driver(20 * MBIT, "none")
    now_s = feed(one, 0.0, 20, 0.001)
    assert one.wants_rate(now_s)
    one.asked_rate(now_s, 20 * MBIT, PROBE)
    now_s = feed(one, now_s, 700, 0.001)
    assert not one.wants_rate(now_s)
    changed = feed(one, now_s, 30, 0.004)
    assert one.wants_rate(changed)
    one.asked_rate(changed, 20 * MBIT, PROBE)
    now_s = feed(one, changed, 900, 0.004)
    assert not one.wants_rate(now_s)
    now_s = feed(one, now_s, 110, 0.004)
    assert now_s - changed > IDLE_PROBE_S
    assert one.wants_rate(now_s)


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
        if saw(seen, size, Transfer(size, now_s, now_s + duration_s)):
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
