"""Thresholds against going through all of them by hand, and what they promise on fresh samples."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.exit_bound import joint
from coachc.calib.exit_rules import LEAST_SHARE, WRONG_EXITS, Scores, exit_threshold, precision_threshold


def trial(count=1500, seed=0, easy=0.5, changed=0.001, clips=0):
    """Scores in [0, 1]; the lower the score, the more often its label is wrong."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(0, 1, count).astype(np.float32)
    wrong = rng.uniform(0, 1, count) > np.minimum(score / easy, 1) ** 0.1
    units = np.arange(count) // clips if clips else np.arange(count)
    return Scores(score, wrong, rng.uniform(0, 1, count) < changed, units)


def by_hand(trials, budget):
    """The lowest threshold before the first that fails, going down one sample at a time."""
    candidates = np.sort(np.concatenate([t.score for t in trials]))[::-1]
    exits = [[t.score >= candidate for candidate in candidates] for t in trials]
    bounds = [
        joint(
            np.array([np.unique(t.units[e & t.wrong]).size for e in each]),
            np.array([np.unique(t.units[~e & t.changed]).size for e in each]),
            len(set(t.units)),
        )
        for t, each in zip(trials, exits, strict=True)
    ]
    best = np.inf
    for place, candidate in enumerate(candidates):
        if max(bound[place] for bound in bounds) > budget:
            break
        here = [each[place] for each in exits]
        few = all((e & t.wrong).sum() <= WRONG_EXITS * e.sum() for t, e in zip(trials, here, strict=True))
        if few and here[-1].mean() >= LEAST_SHARE:
            best = candidate
    return best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("clips", [0, 2])
def test_the_threshold_is_the_one_found_by_hand(seed, clips):
    count = 1500 * max(clips, 1)
    trials = [trial(count, seed, clips=clips), trial(count, seed + 100, easy=0.6, clips=clips)]
    found = exit_threshold(trials, 0.005)
    expected = by_hand(trials, 0.005)
    assert found.units_missing == 0
    assert np.isfinite(expected)
    assert (trials[1].score > found.score).sum() == (trials[1].score >= expected).sum()
    assert found.bound <= 0.005
    assert found.share == pytest.approx(float((trials[1].score >= expected).mean()))


def test_a_budget_that_the_link_has_used_up_leaves_no_exits():
    assert exit_threshold([trial(changed=0.05)], 0.005).score == np.inf


def test_a_handful_of_exits_that_are_mostly_wrong_are_none():
    """Four wrong of five exits are within the budget of 2,000 tasks, and no exits to have."""
    score = np.linspace(0, 1, 2000).astype(np.float32)
    wrong = np.ones(2000, bool)
    found = exit_threshold([Scores(score, wrong, np.zeros(2000, bool), np.arange(2000))], 0.005)
    assert found.score == np.inf


def test_too_few_samples_to_certify_anything_give_no_exits():
    found = exit_threshold([trial(count=200)], 0.005)
    assert found.score == np.inf
    assert found.units_missing == 598 - 200


def test_frames_of_one_clip_count_once():
    """200 frames of 20 clips certify what 20 samples do: nothing."""
    assert exit_threshold([trial(count=2000, clips=100)], 0.005).units_missing == 598 - 20


@pytest.mark.parametrize("easy", [0.3, 0.6])
def test_the_budget_holds_on_fresh_samples(easy):
    """Over 60 calibration sets, as few thresholds lose more than the budget on what comes as the bound says."""
    fresh = trial(count=400_000, seed=999, easy=easy, changed=0.0)
    losses = []
    for seed in range(60):
        found = exit_threshold([trial(count=2000, seed=seed, easy=easy, changed=0.0)], 0.005)
        losses.append(float(np.mean(fresh.wrong & (fresh.score > found.score))))
    assert np.mean(np.array(losses) > 0.005) <= 0.1
    assert np.mean(losses) > 0.001


def test_lower_precision_counts_beside_the_exits():
    scores = trial(changed=0.0)
    rng = np.random.default_rng(3)
    lower = (rng.uniform(0, 1, len(scores.score)) < 0.02) & (scores.score < 0.5)
    exits = exit_threshold([scores], 0.0025)
    found = precision_threshold([scores], [lower], exits.score, 0.005)
    inside = (scores.score > found.score) & (scores.score <= exits.score)
    gone = (scores.wrong & (scores.score > exits.score)).sum()
    assert np.isfinite(found.score)
    assert found.score < exits.score
    assert joint(np.array(gone + (lower & inside).sum()), np.array(0), 1500) <= 0.005
