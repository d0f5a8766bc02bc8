"""Settings tested in a fixed order: where the walk stops, what it then says, and how often it errs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.calib.certificate import LEVEL, UnitLosses, binomial_bound
from coachc.calib.proof import Step, walk

BUDGET = 0.02


def units(wrong, count=400):
    return UnitLosses(np.append(np.ones(wrong), np.zeros(count - wrong))[:, None], np.ones(count), True)


class Steps:
    """Steps of which so many units are wrong among those kept back; remembers which of them were looked at."""

    def __init__(self, *wrong, seen=0):
        self.looked_at = []
        self.steps = [self._step(place, one, seen) for place, one in enumerate(wrong)]

    def _step(self, place, wrong, seen):
        def kept():
            self.looked_at.append(place)
            return units(wrong)

        return Step(lambda: units(seen), kept)


def bound(wrong):
    return float(binomial_bound(wrong, 400))


# Where 8 of 400 are to be expected, 3 or fewer wrong are seen in 4 cases of 100, 4 or fewer in 10.
assert bound(3) <= BUDGET < bound(4)


def test_all_are_proven_and_the_last_ones_bound_is_told():
    steps = Steps(0, 3, 1)
    found = walk(steps.steps, BUDGET, LEVEL)
    assert (found.steps, steps.looked_at) == (3, [0, 1, 2])
    assert found.bound == pytest.approx(bound(1))


def test_it_stops_at_the_first_that_is_not_proven():
    """What comes after is not looked at, though it could be proven: that would be one more chance to be lucky."""
    steps = Steps(1, 2, 4, 0)
    found = walk(steps.steps, BUDGET, LEVEL)
    assert (found.steps, steps.looked_at) == (2, [0, 1, 2])
    assert found.bound == BUDGET


def test_where_nothing_is_proven_the_first_ones_bound_is_told():
    steps = Steps(9, 0)
    found = walk(steps.steps, BUDGET, LEVEL)
    assert (found.steps, steps.looked_at) == (0, [0])
    assert found.bound == pytest.approx(bound(9))
    assert found.bound > BUDGET


def test_one_step_alone():
    assert walk(Steps(2).steps, BUDGET, LEVEL).bound == pytest.approx(bound(2))
    found = walk(Steps(4).steps, BUDGET, LEVEL)
    assert (found.steps, found.bound) == (0, pytest.approx(bound(4)))


@pytest.mark.parametrize("level", [0.01, 0.2])
def test_the_level_is_the_one_given(level):
    found = walk(Steps(0, 2).steps, 0.5, level)
    assert found.bound == pytest.approx(float(binomial_bound(2, 400, level)))


def test_a_bet_that_fails_is_told_to_lose_the_budget_at_least():
    """Losses of fractions are bet on: the bound of what is not proven is no less than the budget."""
    seen = UnitLosses(np.full((300, 1), 0.001), np.ones(300))
    kept = UnitLosses(np.append(np.full(299, 0.001), 1.0)[:, None], np.ones(300))
    found = walk([Step(lambda: seen, lambda: kept)], BUDGET, LEVEL)
    assert found.steps == 0
    assert BUDGET < found.bound < 1


def test_any_wrong_promise_is_made_once_in_20_cases():
    """Ever bolder settings, of which those from the third on lose the budget or more: over 1,000 sets of samples."""
    rng = np.random.default_rng(1)
    rates = np.array([0.2, 0.6, 1.0, 1.1, 1.5]) * BUDGET
    broken = too_low = walked = 0
    for _ in range(1000):
        draws = rng.random((2, 300))

        def step(rate, draws=draws):
            seen, kept = (UnitLosses((part < rate)[:, None].astype(float), np.ones(300), True) for part in draws)
            return Step(lambda: seen, lambda: kept)

        found = walk([step(rate) for rate in rates], BUDGET, LEVEL)
        broken += found.steps > 2
        walked += found.steps > 0
        too_low += found.bound < rates[max(found.steps - 1, 0)]
    limit = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 1000)
    assert broken / 1000 <= limit
    assert too_low / 1000 <= limit
    assert walked > 500
