"""Which cut the next task takes."""

import pytest

from coachc.runtime.online.cut_choice import GAIN, PROBE_TASKS, CutState, after_task, choose_cut, expected_period_s
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung, link_s

INF = float("inf")
MBIT = 125000.0


def policy(name, device_s, size_bytes, cloud_s=1e-3):
    return Policy(name, name, None, None, (Rung((4,), size_bytes),), 0, (-INF,), device_s, cloud_s)


def alone(device_s=0.03):
    return Policy("none", "alone", None, None, (), 0, (), device_s, 0.0)


POLICIES = {"early": policy("early", 2e-3, 40000.0), "late": policy("late", 12e-3, 3000.0), "alone": alone()}


@pytest.mark.parametrize("mbit", [1, 2, 5, 10, 20, 50, 100, 400])
def test_the_best_cut_is_the_one_with_the_shortest_period(mbit):
    """From nowhere in particular, so that no gain has to be had."""
    chosen = choose_cut(CutState("none of them"), POLICIES, mbit * MBIT, False).cut
    periods = {name: expected_period_s(one, mbit * MBIT) for name, one in POLICIES.items()}
    assert periods[chosen] == min(periods.values())


def test_the_period_is_that_of_the_slowest_stage():
    one = POLICIES["early"]
    assert expected_period_s(one, 20 * MBIT) == pytest.approx(link_s(one.rungs[0], 20 * MBIT))
    assert expected_period_s(one, 20 * MBIT, 0.5) == pytest.approx(0.5 * link_s(one.rungs[0], 20 * MBIT))
    assert expected_period_s(one, 20 * MBIT, 1.0) == pytest.approx(one.device_s)
    assert expected_period_s(alone(), 20 * MBIT) == 0.03


def test_moving_has_to_gain():
    """Two cuts that are nearly as good: whichever is in use stays."""
    near = {"a": policy("a", 10e-3, 100.0), "b": policy("b", 10e-3 * (1 - GAIN / 2), 100.0), "alone": alone()}
    assert choose_cut(CutState("a"), near, 50 * MBIT, False).cut == "a"
    near["b"] = policy("b", 10e-3 * (1 - 2 * GAIN), 100.0)
    assert choose_cut(CutState("a"), near, 50 * MBIT, False).cut == "b"


def test_an_outage_goes_to_the_device():
    assert choose_cut(CutState("late"), POLICIES, 50 * MBIT, True).cut == "alone"


def test_without_a_cut_that_sends_nothing_an_outage_changes_nothing():
    policies = {name: one for name, one in POLICIES.items() if name != "alone"}
    assert choose_cut(CutState("early"), policies, 100 * MBIT, True).cut == "early"


def test_one_cut_that_sends_is_kept():
    policies = {"late": POLICIES["late"], "alone": alone(1e-3)}
    assert choose_cut(CutState("late"), policies, 0.1 * MBIT, False).cut == "late"
    assert choose_cut(CutState("alone"), policies, 0.1 * MBIT, False).cut == "late"


def test_silence_is_broken_by_a_probe():
    state = CutState("alone")
    for _ in range(PROBE_TASKS):
        state = choose_cut(state, POLICIES, 0.1 * MBIT, False)
        assert state.cut == "alone"
        state = after_task(state, "alone", exited=False, sent=False)
    probe = choose_cut(state, POLICIES, 0.1 * MBIT, False)
    assert probe.cut == "late"
    assert choose_cut(after_task(probe, "late", False, True), POLICIES, 0.1 * MBIT, False).cut == "alone"


def test_exits_make_a_cut_cheaper():
    """At 6 Mbit/s the early cut loses, unless nearly everything exits there."""
    assert choose_cut(CutState("late"), POLICIES, 6 * MBIT, False).cut == "late"
    state = CutState("late")
    for _ in range(300):
        state = after_task(state, "early", exited=True, sent=False)
    assert dict(state.exit_shares)["early"] > 0.95
    assert choose_cut(state._replace(silent_tasks=0), POLICIES, 6 * MBIT, False).cut == "early"
