"""Thresholds against going down the scores by hand, and the setting they make against what it loses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from coachc.calib.online.exit_rules import (
    LEAST_SHARE,
    THRESHOLDS,
    WRONG_EXITS,
    cautious_to,
    exit_threshold,
    lower_threshold,
    with_lower,
)
from coachc.calib.online.policy_losses import ScoredTasks, Sent, Setting

BUDGET = 0.02
INF = float("inf")


def tasks_of(count=1500, seed=0, *, easy=0.5, changed=(0.02, 0.004, 0.001), clip=1, levels=60):
    """Scores of so many levels; the lower the score, the more often its label is wrong.

    `changed`: at each rung the share of answers that are wrong when sent, mostly at low scores.
    """
    rng = np.random.default_rng(seed)
    units = np.arange(count) // clip
    score = rng.integers(0, levels, count) / np.float32(levels)
    wrong = rng.uniform(0, 1, count) > np.minimum((score + 0.01) / easy, 1) ** 0.1
    hard = rng.uniform(0, 1, count) * (0.3 + score)
    table = [(hard < share).astype(float) for share in changed]
    sent = Sent(lambda rung: table[rung], len(table), units, clip)
    return ScoredTasks(sent, score.astype(np.float32), wrong.astype(float), wrong)


def promised(lost, units, kept, budget=BUDGET):
    """Clopper and Pearson, for units that lose all or nothing: as many wrong ones among those kept back."""
    lost_units = np.bincount(units, lost) > 0
    events = lost_units.sum() * kept / len(lost_units)
    return stats.beta.cdf(1 - budget, kept - events, events + 1) <= 0.05


def by_hand(tasks, above, kept, lost_at, lost_above, budget=BUDGET):
    """The lowest score worth having before the first that promises no proof, going down one level at a time.

    `lost_at` makes what is lost of those that are let through; `above` says which tasks may be.
    """
    best = INF
    for level in sorted(set(tasks.score[above].tolist()), reverse=True):
        inside = (tasks.score >= level) & above
        if not promised(lost_at(inside), tasks.sent.units, kept, budget):
            break
        if inside.mean() >= LEAST_SHARE and lost_above[inside].mean() <= WRONG_EXITS:
            best = level
    return best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("count", "kept"), [(1500, 1500), (700, 1000)])
def test_the_threshold_is_the_one_found_by_hand(seed, count, kept):
    tasks = tasks_of(count, seed)
    found = exit_threshold(tasks, 2, kept, BUDGET)
    everyone = np.ones(count, bool)
    expected = by_hand(
        tasks, everyone, kept, lambda exits: np.where(exits, tasks.exit_loss, tasks.sent.at(2)), tasks.exit_loss
    )
    assert np.isfinite(expected)
    assert np.array_equal(tasks.score > found, tasks.score >= expected)
    assert 0.1 < (tasks.score > found).mean() < 0.95


def test_thresholds_of_many_scores_are_at_even_shares_of_them():
    tasks = tasks_of(levels=100_000)
    found = exit_threshold(tasks, 2, 1500, BUDGET)
    ordered = np.unique(tasks.score)[::-1]
    over = (ordered > found).sum() - 1
    assert over in np.linspace(0, len(ordered) - 1, THRESHOLDS).astype(int)
    everyone = np.ones(1500, bool)
    finest = by_hand(
        tasks, everyone, 1500, lambda exits: np.where(exits, tasks.exit_loss, tasks.sent.at(2)), tasks.exit_loss
    )
    assert 0 <= (tasks.score >= finest).mean() - (tasks.score > found).mean() < 1.1 / THRESHOLDS + 0.001


def test_frames_of_a_clip_count_once():
    """The same share of wrong answers in 150 clips of 10 frames: what 1,500 tasks would promise, these do not."""
    alone = exit_threshold(tasks_of(levels=20), 2, 1500, BUDGET)
    clips = exit_threshold(tasks_of(levels=20, clip=10), 2, 150, BUDGET)
    assert np.isfinite(alone)
    assert clips > alone


def test_a_budget_that_the_link_has_used_up_leaves_no_exits():
    assert exit_threshold(tasks_of(changed=(0.05, 0.05, 0.05)), 2, 1500, BUDGET) == INF


def test_a_handful_of_exits_that_are_mostly_wrong_are_none():
    """Every exit is wrong: the first few are within the budget, and no exits to have."""
    score = np.linspace(0, 1, 2000).astype(np.float32)
    sent = Sent(lambda rung: np.zeros(2000), 1, np.arange(2000), 1)
    assert exit_threshold(ScoredTasks(sent, score, np.ones(2000), np.ones(2000, bool)), 0, 2000, BUDGET) == INF


def test_few_exits_are_not_worth_having():
    score = np.append(np.zeros(1996), np.ones(4)).astype(np.float32)
    lost = np.append(np.ones(1996), np.zeros(4))
    sent = Sent(lambda rung: np.zeros(2000), 1, np.arange(2000), 1)
    assert exit_threshold(ScoredTasks(sent, score, lost, lost > 0), 0, 2000, BUDGET) == INF


def test_scores_that_are_no_numbers_never_exit():
    tasks = tasks_of()
    none = ScoredTasks(tasks.sent, np.full(1500, -INF, np.float32), tasks.exit_loss, tasks.differs)
    assert exit_threshold(none, 2, 1500, BUDGET) == INF


@pytest.mark.parametrize("seed", range(4))
def test_a_lower_precision_beside_the_exits(seed):
    tasks = tasks_of(seed=seed, easy=0.4)
    exits = exit_threshold(tasks, 2, 1500, BUDGET / 2)
    assert np.isfinite(exits)
    setting = Setting(2, exits)
    found = lower_threshold(tasks, setting, 0, 1500, BUDGET)

    def lost(inside):
        sent = np.where(inside, tasks.sent.worst(0), tasks.sent.worst(2))
        return np.where(tasks.score > exits, tasks.exit_loss, sent)

    expected = by_hand(tasks, tasks.score <= exits, 1500, lost, tasks.sent.worst(0))
    inside = (tasks.score > found) & (tasks.score <= exits)
    assert np.isfinite(expected)
    assert np.array_equal(inside, (tasks.score >= expected) & (tasks.score <= exits))
    assert inside.any()


def test_each_lower_precision_asks_for_higher_scores_than_the_one_above_it():
    tasks = tasks_of(changed=(0.02, 0.01, 0.0))
    first = with_lower(Setting(2), 1, lower_threshold(tasks, Setting(2), 1, 1500, BUDGET))
    second = lower_threshold(tasks, first, 0, 1500, BUDGET)
    assert first.lower[0][0] == 1
    assert np.isfinite(first.lower[0][1])
    assert second >= first.lower[0][1]
    assert with_lower(first, 0, second).lower == ((1, first.lower[0][1]), (0, second))


@pytest.mark.parametrize("steps", [1, 8, 16])
def test_steps_from_cautious_to_bold(steps):
    scores = np.random.default_rng(0).uniform(0, 1, 1000).astype(np.float32)
    found = cautious_to(scores, 0.4, steps)
    assert len(found) == steps
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.4
    shares = np.array([(scores > score).sum() for score in found]) / (scores > 0.4).sum()
    assert shares == pytest.approx(np.arange(1, steps + 1) / steps, abs=0.01)


def test_steps_to_nothing_are_none():
    scores = np.linspace(0, 1, 10)
    assert cautious_to(scores, INF, 8) == []
    assert cautious_to(scores, 1.0, 8) == []
    assert cautious_to(np.full(5, INF), 0.5, 8) == []
    # All of one score: one step takes them all.
    assert cautious_to(np.full(50, 0.7, np.float32), 0.5, 8)[-1] == 0.5
