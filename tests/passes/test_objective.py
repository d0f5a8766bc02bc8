"""Order of plans, and COACH's Eqs. 4 to 6 with the two cases that speak against them."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.passes.objective import MONOTONE, OBJECTIVES, Overlap, bubbles, eq6_s, key, least_key, respects_eq4
from coachc.passes.timeline import from_stages
from tests.helpers.graphs import costs_of


def stages(device_s, link_s, cloud_s, payload=100):
    return from_stages(device_s, link_s, cloud_s, payload, costs_of([], []))


class TestCounterExamples:
    def test_more_overlap_raises_the_transmission_bubble(self):
        # T_e = 5, T_t = 8, T_c = 3: the link is busy all the time, whether it overlaps with the device or not.
        timeline = stages(5, 8, 3)
        assert bubbles(timeline) == (2, 0)
        assert bubbles(timeline, Overlap(link_s=2)) == (2, 2)
        assert eq6_s(timeline) == 2 + 0 + 8
        assert eq6_s(timeline, Overlap(link_s=2)) == 2 + 2 + 8
        assert timeline.period_s == 8

    def test_device_only_costs_three_times_its_own_time(self):
        alone, split = stages(10, 0, 0), stages(2, 20, 2)
        assert bubbles(alone) == (10, 10)
        assert eq6_s(alone) == 30
        assert bubbles(split) == (0, 0)
        assert eq6_s(split) == 20
        # So Eq. 6 prefers a plan with twice the period and 2.4 times the latency.
        assert key(split, 1, "paper-eq6") < key(alone, 1, "paper-eq6")
        assert (split.period_s, split.latency_s) == (2 * alone.period_s, 2.4 * alone.latency_s)
        for objective in MONOTONE:
            assert key(alone, 1, objective) < key(split, 1, objective)


def test_a_slower_link_may_please_eq6():
    # The device is the slowest stage: 5, 6 or 7 s on the link change nothing, yet the score falls.
    scores = [eq6_s(stages(8, link_s, 3)) for link_s in (5, 6, 7, 8, 9)]
    assert scores == [16, 15, 14, 13, 14]
    # So the bound from the fewest bits counts no bubble of the link at all.
    assert least_key(stages(8, 5, 3), 1, "paper-eq6", 0.0) == (0, 13e9)


def test_cloud_overlap_counts_where_the_cloud_is_the_slowest():
    timeline = stages(3, 4, 9)
    assert bubbles(timeline) == (6, 5)
    assert bubbles(timeline, Overlap(cloud_s=4)) == (6, 1)
    assert bubbles(timeline, Overlap(cloud_s=6)) == (6, 0)


def test_several_workers_do_not_enter_eq6():
    timeline = from_stages(3, 4, 9, 0, costs_of([], [], workers=3))
    assert timeline.period_s == 4
    assert eq6_s(timeline) == 6 + 5 + 9


def test_what_violates_eq4_ranks_last():
    good, bad = stages(30, 30, 30), stages(5, 8, 3)
    assert respects_eq4(bad, Overlap(5, 3))
    assert not respects_eq4(bad, Overlap(5, 3.5))
    assert key(bad, 1, "paper-eq6") < key(good, 1, "paper-eq6")
    assert key(bad, 1, "paper-eq6", Overlap(5, 3.5)) > key(good, 1, "paper-eq6")
    # No other objective reads what overlaps; "exact" reads what that saves, "latency" is what the runtime attains.
    for objective in MONOTONE:
        assert key(bad, 1, objective, Overlap(5, 3.5)) == key(bad, 1, objective)
    assert key(bad, 1, "exact", Overlap(5, 3, saved_s=4)) < key(bad, 1, "exact")
    assert key(bad, 1, "latency", Overlap(5, 3, saved_s=4)) == key(bad, 1, "latency")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(30))
def test_no_overlap_and_no_more_bits_get_below_the_least_key(seed, objective):
    rng = np.random.default_rng([seed, 5])
    device_s, link_s, cloud_s = rng.uniform(0, 1, 3)
    rtt_s = float(rng.choice([0.0, 0.3]))
    costs = costs_of([], [], rtt_s=rtt_s)
    bound = least_key(from_stages(device_s, link_s, cloud_s, 100, costs), 1, objective, rtt_s)
    for longer_s in (0.0, *rng.uniform(0, 2, 5)):
        timeline = from_stages(device_s, link_s + longer_s, cloud_s, 100, costs)
        longest_s = max(device_s, link_s + longer_s + rtt_s, cloud_s + rtt_s)
        saved_s = float(rng.uniform(0, timeline.latency_s - longest_s))
        overlap = Overlap(*rng.uniform(0, min(device_s, link_s, cloud_s), 2), saved_s)
        assert bound <= key(timeline, 1, objective, overlap)


def test_ties_go_to_fewer_bytes_then_the_earlier_cut():
    for objective in OBJECTIVES:
        base = stages(1.0, 0.5, 0.25)
        assert key(base, 0b1, objective) < key(stages(1.0, 0.5, 0.25, 101), 0b1, objective)
        assert key(base, 0b1, objective) < key(base, 0b11, objective)
        assert key(base, 0b01, objective) < key(base, 0b10, objective)
        # A tenth of a nanosecond is rounding.
        assert key(stages(1.0 + 1e-10, 0.5, 0.25, 99), 0b1, objective) < key(base, 0b1, objective)


@pytest.mark.parametrize("objective", sorted(MONOTONE))
@pytest.mark.parametrize("seed", range(20))
def test_no_stage_that_shrinks_can_harm_a_monotone_objective(seed, objective):
    rng = np.random.default_rng(seed)
    times = rng.uniform(0, 1, 3)
    shorter = times - np.eye(3)[rng.integers(3)] * times.min() / 2
    assert key(stages(*shorter), 1, objective) <= key(stages(*times), 1, objective)


def test_an_unknown_objective():
    with pytest.raises(ValueError, match="unknown objective 'fast', expected one of exact, latency, paper-eq6"):
        key(stages(1, 1, 1), 0, "fast")
