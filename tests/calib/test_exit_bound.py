"""Bounds of what exits and lowered precision lose, against tables, simulation and each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from coachc.calib.accuracy import CHANGED_LOSS
from coachc.calib.exit_bound import joint, units_to_certify, upper


@pytest.mark.parametrize(("events", "units"), [(0, 598), (1, 948), (4, 2000), (17, 350)])
def test_upper_is_where_seeing_so_few_gets_unlikely(events, units):
    """Clopper and Pearson's definition: at the bound, `events` or fewer have a chance of 5 %."""
    assert binom.cdf(events, units, float(upper(events, units))) == pytest.approx(0.05, rel=1e-6)


def test_nothing_wrong_on_598_samples_certifies_half_a_percent():
    assert units_to_certify(0.005) == 598
    assert upper(0, 598) <= 0.005 < upper(0, 597)


def test_all_wrong_is_all():
    assert upper(10, 10) == 1.0


def test_exits_alone_and_changes_alone_are_what_they_were():
    assert joint(np.array(3), np.array(0), 2000) == pytest.approx(float(upper(3, 2000)))
    assert joint(np.array(0), np.array(12), 2000) == pytest.approx(CHANGED_LOSS * float(upper(12, 2000)))


def test_both_together_are_no_less_than_either():
    exits, changed = np.meshgrid(np.arange(8), np.arange(20))
    bound = joint(exits, changed, 2000)
    assert (bound >= upper(exits, 2000) - 1e-12).all()
    assert (bound >= CHANGED_LOSS * upper(changed, 2000) - 1e-12).all()
    assert (np.diff(bound, axis=1) >= -1e-12).all()
    assert (np.diff(bound, axis=0) >= -1e-12).all()


@pytest.mark.parametrize(("exit_rate", "change_rate"), [(0.001, 0.004), (0.002, 0.002), (0.0005, 0.008), (0.003, 0.0)])
def test_the_bound_holds_in_95_of_100_cases(exit_rate, change_rate):
    """What is really lost: every wrong exit, and half of the changed answers. 4,000 calibration sets of 2,000."""
    rng = np.random.default_rng(7)
    exits = rng.binomial(2000, exit_rate, 4000)
    changed = rng.binomial(2000, change_rate, 4000)
    truth = exit_rate + CHANGED_LOSS * change_rate
    covered = float(np.mean(joint(exits, changed, 2000) >= truth))
    # 4,000 draws tell 95 % from 94 %.
    assert covered >= 0.94
