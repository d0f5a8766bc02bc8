"""What a driver knows, with times made up: backlog, precision, outages, and where the next task goes."""

import numpy as np
import pytest

from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.controller import Answer
from coachc.runtime.online.driver import Driver, wire_bytes
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import GOODPUT, Rung, link_s
from tests.helpers.online import feature_with_margin, memory_of, rule_of

#: 10, 20, 40 and 80 ms at 1 MB/s, headers included.
RUNGS = tuple(Rung((bits,), 1e3 * ms * GOODPUT - 420) for bits, ms in ((2, 10), (3, 20), (4, 40), (8, 80)))
RATE = 1e6
FEATURE = feature_with_margin(0.05)


def policy(name="default", exits=None, memory=None, device_s=0.1, cut="cut"):
    return Policy(name, cut, exits, memory, RUNGS, 1, (0.6,) + (-float("inf"),) * 3, device_s, 0.01)


def driver_of(*policies, **options):
    known = {each.cut: each for each in policies or (policy(),)}
    options.setdefault("alone", None)
    cut = options.pop("cut", next(iter(known)))
    return Driver(
        known,
        cut,
        options["alone"],
        RATE,
        options.get("prefer", "accuracy"),
        options.get("draw", lambda: 1.0),
        options.get("interval_s", 0.0),
    )


def test_the_link_times_of_the_test():
    assert [round(1e3 * link_s(rung, RATE)) for rung in RUNGS] == [10, 20, 40, 80]
    assert wire_bytes(RUNGS[0]) == pytest.approx(1e4)


def test_a_backlog_lowers_the_precision_until_answers_come():
    """95 ms of room for one task: 80 ms fit, then nothing but the lowest admitted, until the link is free again."""
    driver = driver_of()
    rungs = [driver.decide(task, "cut", FEATURE, 1.0).rung for task in range(3)]
    # From base to the top needs 10 % to spare: 80 of 85 ms.
    assert rungs == [3, 1, 1]
    # 80 + 20 + 20 ms are waiting; 50 ms later the first is on its way since the beginning.
    for task in range(3):
        driver.sending(task, 1.0)
    assert driver.decide(3, "cut", FEATURE, 1.05).rung == 1
    driver.sending(3, 1.05)
    # In 130 ms all four have left, as far as the link is believed.
    assert driver.decide(4, "cut", FEATURE, 1.2).rung == 3
    for task, end_s in enumerate((1.08, 1.1, 1.12)):
        driver.answered(task, "cut", Transfer(1000, 1.0, end_s, 0.0))
    driver.lost(3)
    driver.lost(4)
    assert driver.decide(5, "cut", FEATURE, 1.3).rung == 3


@pytest.mark.parametrize(
    ("name", "prefer", "tunable", "expected"),
    [
        ("default", "accuracy", True, 3),
        ("default", "bytes", True, 1),
        ("default", "accuracy", False, 1),
        ("paper", "accuracy", True, 3),
        ("none", "accuracy", True, 1),
    ],
)
def test_the_precision_of_a_half_in_one_piece(name, prefer, tunable, expected):
    driver = driver_of(policy(name), prefer=prefer)
    rung = driver.rung_ahead("cut", 0.0, tunable, False)
    assert rung == expected
    sure = feature_with_margin(0.9)
    # The score would admit fewer bits; they have been computed already.
    assert driver.decide(0, "cut", sure, 0.0, rung).rung == expected


@pytest.mark.parametrize("name", ["default", "paper"])
@pytest.mark.parametrize("adjustable", [True, False])
def test_what_the_link_has_time_for_includes_the_time_to_the_next_task(name, adjustable):
    """15 ms of other stages leave room for 2 bits; between tasks that come every 150 ms there is room for all 8."""
    found = []
    for interval_s in (0.0, 0.15):
        driver = driver_of(policy(name, device_s=0.015), interval_s=interval_s)
        ahead = driver.rung_ahead("cut", 0.0, True, adjustable)
        decision = driver.decide(0, "cut", FEATURE, 0.0, None if adjustable else ahead)
        found.append((1 if adjustable else ahead, decision.rung))
    assert found == [(1, 1), (1 if adjustable else 3, 3)]


def test_an_exit_decided_elsewhere_counts_for_its_cut():
    """40 ms of link for each task against 30 ms of device elsewhere; none where all of them exit."""
    first = policy(cut="first", device_s=0.03)
    second = policy(cut="second", device_s=0.01)._replace(rungs=RUNGS[2:], base=0, adjust=(-float("inf"),) * 2)
    for exited, expected in ((False, "first"), (True, "second")):
        driver = driver_of(first, second, cut="second")
        for _ in range(200):
            driver.was_alone("second", exited)
        assert driver.next_cut(0.0, False) == expected


def test_what_can_be_quantized_again_begins_where_the_last_one_was():
    driver = driver_of()
    assert driver.rung_ahead("cut", 0.0, True, True) == 1
    assert driver.decide(0, "cut", FEATURE, 0.0).rung == 3
    assert driver.rung_ahead("cut", 0.0, True, True) == 3


def test_the_wire_takes_more_than_the_socket():
    """Bytes of the socket over the share of the rate that is left to them; server and round trip are not the link's."""
    driver = driver_of()
    driver.reached(0.03)
    for task in range(20):
        driver.decide(task, "cut", FEATURE, float(task))
        size = int(20000 * GOODPUT)
        # 20 kB on the wire in 40 ms: 0.5 MB/s; the server says 50 ms.
        driver.answered(task, "cut", Transfer(size, float(task), task + 0.12, 0.05))
    assert driver.bandwidth_bytes_per_s == pytest.approx(0.5e6, rel=0.01)
    silent = driver_of()
    silent.reached(0.03)
    for task in range(20):
        # Says nothing: the plan's 10 ms.
        silent.answered(task, "cut", Transfer(size, float(task), task + 0.08, -1.0))
    assert silent.bandwidth_bytes_per_s == pytest.approx(0.5e6, rel=0.01)


def test_an_outage_is_gone_around_where_there_is_a_way():
    for alone in (None, "alone"):
        driver = driver_of(alone=alone)
        assert driver.next_cut(0.0, False) == "cut"
        driver.decide(0, "cut", FEATURE, 0.0)
        assert not driver.outage(10.0)  # waits for a connection
        driver.sending(0, 10.0)
        assert not driver.outage(10.5)
        assert driver.outage(11.5) == (alone is not None)
        assert driver.next_cut(11.5, False) == (alone or "cut")
        driver.answered(0, "cut", Transfer(9000, 10.0, 11.6, 0.0))
        assert not driver.outage(20.0)
        assert driver.next_cut(20.0, False) == "cut"
        assert driver.next_cut(20.0, True) == (alone or "cut")
        assert driver.moves == (3 if alone else 0)


def test_a_bundle_of_several_cuts_moves():
    first = policy(cut="first", device_s=0.01)
    alone = Policy("default", "alone", None, None, (), 0, (), 0.05, 0.0)
    driver = driver_of(first, alone, alone="alone", cut="alone")
    assert driver.next_cut(0.0, False) == "first"  # 20 ms of link against 50
    assert driver.next_cut(0.0, True) == "alone"
    assert driver.next_cut(0.0, False) == "first"
    assert driver.moves == 3


def test_answers_teach():
    """Memory: the second of two like tasks is an exit once the server has answered the first."""
    driver = driver_of(policy(exits=rule_of(), memory=memory_of()))
    decision = driver.decide(0, "cut", FEATURE, 0.0)
    assert decision.exit == ""
    assert driver.decide(1, "cut", FEATURE, 0.0).exit == ""
    driver.answered(0, "cut", Transfer(9000, 0.0, 0.1, 0.0), Answer(7, 0.9), FEATURE, decision)
    again = driver.decide(2, "cut", FEATURE, 0.2)
    assert (again.exit, again.label) == ("memory", 7)


def test_audits_are_drawn():
    draws = iter([0.5, 0.0])
    driver = driver_of(policy(exits=rule_of()), draw=lambda: next(draws))
    sure = feature_with_margin(0.8)
    assert driver.decide(0, "cut", sure, 0.0).exit == "score"
    audited = driver.decide(1, "cut", sure, 0.0)
    assert (audited.exit, audited.audit) == ("", "score")
    with pytest.raises(StopIteration):
        driver.decide(2, "cut", np.zeros(4, np.float32), 0.0)


@pytest.mark.parametrize(
    ("rtt_s", "interval_s", "expected"),
    [(0.0, 0.0, 2), (0.005, 0.0, 2), (0.05, 0.0, 4), (0.05, 0.1, 2), (10.0, 0.0, 32)],
)
def test_as_many_requests_are_under_way_as_keep_the_slowest_stage_busy(rtt_s, interval_s, expected):
    """20 ms on the device, 2 ms on the server, 4.5 ms on the link: a period of 20 ms."""
    policy = Policy("none", "cut", None, None, (Rung((4,), 4000.0, 0.0, 300.0),), 0, (-float("inf"),), 0.02, 0.002)
    one = Driver({"cut": policy}, "cut", None, 1e6, "accuracy", lambda: 1.0, interval_s)
    one.reached(rtt_s)
    assert one.window() == expected
    alone = Driver({"cut": policy._replace(rungs=())}, "cut", None, 1e6, "accuracy", lambda: 1.0)
    assert alone.window() == 1
