import numpy as np
import pytest

from coachc.runtime.online.drift import LEVEL, SUSPICIOUS, Drift, observe

CHECKS, STREAMS = 2000, 200


def first_alarm(promised, answers):
    """How many checks until the alarm, or infinity."""
    test = Drift(promised)
    for place, wrong in enumerate(answers):
        test = observe(test, wrong)
        if test.alarmed:
            return place + 1
    return float("inf")


def alarms(promised, share, checks, streams, seed, good=0):
    random = np.random.RandomState(seed)
    found = []
    for _ in range(streams):
        answers = random.uniform(size=good + checks) < np.where(np.arange(good + checks) < good, promised, share)
        found.append(first_alarm(promised, answers.tolist()) - good)
    return np.array([alarm for alarm in found if alarm > 0])


@pytest.mark.parametrize("promised", [0.002, 0.005, 0.05, 0.3])
def test_a_promise_kept_seldom_alarms(promised):
    """Of thousands of streams 2 to 4 % alarm; the level says 5 % at most."""
    assert np.mean(alarms(promised, promised, CHECKS, STREAMS, seed=1) <= CHECKS) <= LEVEL


@pytest.mark.parametrize(("promised", "median"), [(0.005, 160), (0.02, 40), (0.05, 18)])
def test_five_times_the_promise_alarms(promised, median):
    found = alarms(promised, 5 * promised, CHECKS, STREAMS, seed=2)
    assert np.median(found) <= median
    assert np.quantile(found, 0.95) <= 4 * median


def test_a_long_good_time_delays_the_alarm_but_does_not_hide_the_bad_one():
    """Three times as long as from the beginning, about."""
    found = alarms(0.02, 0.1, CHECKS, STREAMS, seed=3, good=1000)
    assert np.median(found) <= 120
    assert np.quantile(found, 0.95) <= 260


def test_always_wrong():
    assert first_alarm(0.005, [True] * 9) == 3
    assert first_alarm(0.0, [True] * 9) == 3
    assert first_alarm(0.3, [True] * 20) <= 7
    after = [False] * 1000 + [True] * 20
    assert first_alarm(0.005, after) - 1000 <= 8


@pytest.mark.parametrize("promised", [0.0, 0.005, 0.25, 0.5, 0.99, 1.0])
def test_always_right_is_no_reason_for_either(promised):
    test = Drift(promised)
    for _ in range(5000):
        test = observe(test, False)
        assert 0 < test.stake <= 1
        assert not test.suspicious


def test_everything_may_be_wrong_where_nothing_was_promised():
    assert first_alarm(1.0, [True] * 5000) == float("inf")


def test_suspicion_comes_at_once_and_goes():
    test = observe(Drift(0.005), True)
    assert test.suspicious
    assert not test.alarmed
    right = 0
    while test.suspicious:
        test = observe(test, False)
        right += 1
    assert right == 26  # 4.98 * 0.98^26 < 3
    for _ in range(1000):
        test = observe(test, False)
    assert observe(observe(test, True), True).suspicious


def test_suspicion_is_not_constant_where_the_promise_is_kept():
    random = np.random.RandomState(4)
    for promised in (0.005, 0.05, 0.3):
        test, seen = Drift(promised), 0
        for wrong in (random.uniform(size=20000) < promised).tolist():
            test = observe(test, wrong)
            seen += test.recent >= SUSPICIOUS
        assert seen / 20000 < 0.2


@pytest.mark.parametrize("promised", [0.0, 0.002, 0.02, 0.1, 0.3, 0.7, 1.0])
def test_money_is_neither_made_nor_lost_on_average(promised):
    """Ville's inequality needs it: by the promise the next stake is this one's mean, from any state."""
    random = np.random.RandomState(6)
    test = Drift(promised)
    for _ in range(300):
        mean = promised * observe(test, True).stake + (1 - promised) * observe(test, False).stake
        assert mean == pytest.approx(test.stake, rel=1e-9)
        test = observe(test, bool(random.uniform() < promised))


def test_a_stream_that_goes_on_after_the_alarm_does_not_overflow():
    test = Drift(0.005)
    for _ in range(2000):
        test = observe(test, True)
    assert test.alarmed
    assert observe(test, False).alarmed
