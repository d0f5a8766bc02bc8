"""Stage times as measured, and what they say of cuts that were never taken."""

import pytest

from coachc.runtime.online.believed_stages import (
    EXCESS_HALF_S,
    KEPT,
    LOOK_EVERY_S,
    MOST_EXCESS,
    WARM_UP,
    STALE_S,
    BelievedStages,
)
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung


def policy(name, device_s, cloud_s=0.004):
    return Policy("none", name, None, None, (Rung((4,), 100.0),), 0, (0.0,), device_s, cloud_s)


PLANNED = {"early": policy("early", 0.010), "late": policy("late", 0.020), "alone": policy("alone", 0.050, 0.0)}


def device_of(stages):
    return {name: found.device_s for name, found in stages.policies.items()}


def test_before_anything_is_measured_the_plan_is_believed():
    stages = BelievedStages(PLANNED)
    assert dict(stages.policies) == PLANNED
    assert stages.worth_a_look(1e9, {"early": 1.0, "late": 1.0}) is None


def test_what_was_measured_corrects_what_was_not():
    stages = BelievedStages(PLANNED)
    for task in range(5):
        stages.saw_device("early", 0.030, float(task))
        stages.saw_cloud("early", 0.002)
    assert device_of(stages) == pytest.approx({"early": 0.03, "late": 0.06, "alone": 0.15})
    assert stages.policies["late"].cloud_s == pytest.approx(0.002)
    assert stages.policies["alone"].cloud_s == 0
    # What has been measured of its own is not what others say.
    stages.saw_device("late", 0.9, 6.0)  # the first task of a cut meets cold caches
    assert stages.policies["late"].device_s == pytest.approx(0.06)
    stages.saw_device("late", 0.021, 6.1)
    assert stages.policies["late"].device_s == pytest.approx(0.021)
    assert stages.policies["alone"].device_s == pytest.approx(0.05 * (3.0 + 1.05) / 2)


def test_one_stall_moves_nothing():
    stages = BelievedStages(PLANNED)
    for task in range(KEPT):
        stages.saw_device("early", 0.010, float(task))
    stages.saw_device("early", 5.0, 10.0)
    assert dict(stages.policies) == PLANNED
    for task in range(KEPT):
        stages.saw_device("early", 0.040, 11.0 + task)
    assert stages.policies["early"].device_s == pytest.approx(0.04)


def test_small_differences_are_not_followed():
    stages = BelievedStages(PLANNED)
    stages.saw_device("early", 0.0102, 0.0)
    assert dict(stages.policies) == PLANNED


def test_a_cut_that_nobody_has_taken_is_looked_at_where_the_plan_is_off():
    stages, periods = BelievedStages(PLANNED), {"early": 0.03, "late": 0.04, "alone": 0.2}
    stages.saw_device("early", 0.0101, 0.0)
    assert stages.worth_a_look(100.0, periods) is None
    stages.saw_device("early", 0.030, 100.0)
    stages.saw_device("early", 0.030, 100.0)
    assert stages.worth_a_look(100.0, periods) == "late"
    # Not all at once, and what promises too little not at all.
    assert stages.worth_a_look(100.1, periods) is None
    stages.saw_device("late", 0.060, 100.2)
    assert stages.worth_a_look(100.1 + LOOK_EVERY_S, periods) is None
    stages.saw_device("early", 0.030, 100.0 + STALE_S)
    assert stages.worth_a_look(100.3 + STALE_S, periods) == "late"


def test_cuts_that_are_not_known_are_left_alone():
    stages = BelievedStages(PLANNED)
    stages.saw_device("another", 1.0, 0.0)
    assert dict(stages.policies) == PLANNED


def test_periods_that_are_longer_than_their_stages():
    stages = BelievedStages(PLANNED)
    assert stages.excess("early", 0.0) == 1.0
    for task in range(WARM_UP + KEPT):
        stages.saw_period("early", 1.5, 0.1 * task)
    now_s = 0.1 * (WARM_UP + KEPT - 1)
    assert stages.excess("early", now_s) == pytest.approx(1.5)
    # Others are as those that were seen, if they send as well, until they are seen themselves.
    assert stages.excess("late", now_s) == pytest.approx(1.5)
    stages.saw_period("late", 0.9, now_s)
    assert stages.excess("late", now_s) == 1.0


def test_first_periods_say_nothing():
    stages = BelievedStages(PLANNED)
    for task in range(WARM_UP + KEPT - 1):
        stages.saw_period("early", 4.0, 0.1 * task)
        assert stages.excess("early", 0.1 * task) == 1.0


def test_a_cut_that_was_left_in_a_bad_moment_is_tried_for_more_than_one_task():
    stages = BelievedStages(PLANNED)
    for task in range(WARM_UP + KEPT):
        stages.saw_period("early", 3.0, 0.01 * task)
    now_s = 0.01 * (WARM_UP + KEPT) + 3.0
    for task in range(KEPT - 1):
        stages.saw_period("early", 1.0, now_s + 0.01 * task)
        assert stages.excess("early", now_s + 0.01 * task) == 1.0
    stages.saw_period("early", 1.0, now_s + 0.01 * KEPT)
    assert stages.excess("early", now_s + 0.01 * KEPT) == 1.0


def test_what_was_long_ago_counts_less():
    stages = BelievedStages(PLANNED)
    for _ in range(WARM_UP + KEPT):
        stages.saw_period("early", 3.0, 0.0)
    assert stages.excess("early", EXCESS_HALF_S) == pytest.approx(2.0)
    assert stages.excess("early", 20 * EXCESS_HALF_S) == pytest.approx(1.0, abs=1e-5)


def test_one_stall_is_no_period():
    stages = BelievedStages(PLANNED)
    first = WARM_UP + KEPT
    for task in range(first - 1):
        stages.saw_period("early", 1.0, 0.1 * task)
    stages.saw_period("early", 1000.0, 0.1 * first)
    assert stages.excess("early", 0.1 * first) == 1.0
    for task in range(KEPT):
        stages.saw_period("early", 1000.0, 0.1 * (first + task + 1))
    assert stages.excess("early", 0.1 * (first + KEPT)) == pytest.approx(MOST_EXCESS)
