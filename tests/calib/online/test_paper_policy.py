"""The paper's own policy: thresholds by the loss measured on the samples themselves, against going through them."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.online.exit_scores import apply, fit
from coachc.calib.online.paper_policy import LOWER_RUNGS, paper_policy
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung

INF = float("inf")
BUDGET = 0.01
COUNT = 300
PLAIN = Policy(
    "none", "cut", None, None, tuple(Rung((bits,), 100.0 * bits, 0.0) for bits in range(2, 7)), 3,
    (INF, INF, INF, -INF, -INF), 0.02, 0.01, 1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def samples():
    """Features around one centre per class; the model is right for nine of ten, behind the link for fewer."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, COUNT)
    features = np.maximum(rng.uniform(0, 2, (4, 12))[truth] + 1.1 * rng.standard_normal((COUNT, 12)), 0)
    whole = rng.random(COUNT) < 0.9
    right = {rung: whole & (rng.random(COUNT) < 1 - 0.05 * (3 - rung)) for rung in range(4)}
    return features.astype(np.float32), whole, truth, right


def by_hand(score, whole, right, budget):
    """Most tasks of the highest scores that lose no more than the budget of all."""
    order = sorted(range(COUNT), key=lambda task: -score[task])
    allowed = [
        count
        for count in range(1, COUNT + 1)
        if sum(int(whole[task]) - int(right[task]) for task in order[:count]) <= budget * COUNT
    ]
    return set(order[: max(allowed)]) if allowed else set()


@pytest.mark.parametrize("swapped", [False, True], ids=["falling", "the lowest rung is the better one"])
def test_thresholds_are_those_found_by_hand(samples, swapped):
    features, whole, truth, right = samples
    if swapped:
        right = {**right, 1: right[2], 2: right[1]}
    fitted = fit("separability", features, truth)
    found = paper_policy(features, whole, truth, fitted, PLAIN, right.__getitem__, BUDGET)
    best, score = apply(fitted, features)
    exits = by_hand(score, whole, best == truth, BUDGET)
    assert 0 < len(exits) < COUNT
    assert len(found.exits.thresholds) == 1
    assert set(np.flatnonzero(score > found.exits.thresholds[0])) == exits
    lower = by_hand(score, whole, right[2], BUDGET)
    assert set(np.flatnonzero(score > found.adjust[2])) == lower
    assert 0 < len(lower) < COUNT
    second = by_hand(score, whole, right[1], BUDGET)
    assert (len(second) > len(lower)) == swapped
    assert set(np.flatnonzero(score > found.adjust[1])) == min(second, lower, key=len)
    # No further down, and from the base on everything is admitted.
    assert LOWER_RUNGS == 2
    assert (found.adjust[0], found.adjust[3:]) == (INF, (-INF, -INF))
    assert (found.name, found.base, found.rungs, found.memory) == ("paper", 3, PLAIN.rungs, None)
    # Nothing is watched for drift.
    assert (found.exits.wrong_share, found.exits.band_wrong_share) == (1.0, 1.0)


def test_where_the_surest_label_loses_the_budget_nothing_exits(samples):
    features, _, truth, right = samples
    fitted = fit("separability", features, truth)
    # Labels that are none of the centres': all exits would be wrong.
    found = paper_policy(features, np.ones(COUNT, bool), truth + 10, fitted, PLAIN, right.__getitem__, 0.001)
    assert found.exits.thresholds == ()


def test_one_label_is_no_score_and_leaves_the_precision(samples):
    features, whole, truth, right = samples
    assert paper_policy(features, whole, truth, None, PLAIN, right.__getitem__, BUDGET) == PLAIN._replace(name="paper")
