"""How samples are divided: how many are kept back, that what belongs together stays together, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.certificate import UnitLosses, units_needed, units_to_certify
from coachc.calib.division import divide, undivided

BUDGET = 0.005


def clips_of(*lengths):
    """The clip of each row, for clips of these lengths."""
    return np.repeat(np.arange(len(lengths)), lengths)


@pytest.mark.parametrize(
    ("samples", "kept"), [(2000, 1000), (5000, 2500), (10_001, 5000), (1200, 800), (1000, 666), (897, 598)]
)
def test_how_many_are_kept_back(samples, kept):
    """Half; where that is below 807, up to two thirds; 598 at least, which prove half a percent if nothing is lost."""
    division = divide(samples, None, BUDGET)
    assert (division.kept.sum(), division.missing, division.proves) == (kept, 0, True)
    assert division.kept_size == kept
    assert (division.longest, division.budget_units) == (1, 598)


@pytest.mark.parametrize("samples", [1, 3, 598, 800, 896])
def test_too_few_are_all_seen(samples):
    division = divide(samples, None, BUDGET)
    assert not division.kept.any()
    assert not division.proves
    assert division.missing > 0
    assert divide(samples + division.missing, None, BUDGET).proves
    assert not divide(samples + division.missing - 1, None, BUDGET).proves


def test_what_800_samples_are_told():
    assert divide(800, None, BUDGET).missing == 97


@pytest.mark.parametrize("length", [2, 5, 30])
@pytest.mark.parametrize("clips", [40, 700, 896])
def test_frames_of_a_clip_count_once(length, clips):
    division = divide(clips * length, clips_of(*[length] * clips), BUDGET)
    assert not division.proves
    more = clips + division.missing
    enough = divide(more * length, clips_of(*[length] * more), BUDGET)
    assert enough.proves
    assert enough.kept.sum() == enough.kept_size * length >= 602 * length
    # Clips are bet on, which takes four more than counting samples does.
    assert enough.budget_units == 602
    assert (enough.longest, enough.units.tolist()) == (length, clips_of(*[length] * more).tolist())


def mixed_lengths(count, seed):
    return np.random.default_rng(seed).integers(1, 9, count)


@pytest.mark.parametrize("seed", range(5))
def test_no_clip_is_divided_and_the_kept_ones_weigh_enough(seed):
    clips = clips_of(*mixed_lengths(400, seed))
    shuffled = np.random.default_rng(seed).permutation(clips)
    division = divide(len(clips), shuffled, 0.05)
    kept_clips = set(shuffled[division.kept].tolist())
    assert kept_clips.isdisjoint(shuffled[~division.kept].tolist())
    assert division.longest == np.bincount(clips).max() == 8
    assert division.kept.sum() >= units_to_certify(0.05, whole=False) * 8
    assert division.kept.mean() <= 2 / 3


@pytest.mark.parametrize("budget", [0.005, 0.02, 0.1])
def test_so_many_more_of_the_longest_clips_do(budget):
    for seed in range(40):
        lengths = mixed_lengths(int(10 * (1 + seed)), seed)
        few = divide(lengths.sum(), clips_of(*lengths), budget)
        enough = np.append(lengths, np.full(few.missing, few.longest))
        assert divide(enough.sum(), clips_of(*enough), budget).proves, f"seed {seed}"


def test_one_long_clip_makes_the_short_ones_weigh_little():
    division = divide(1100, clips_of(*[1] * 1000, 100), BUDGET)
    assert (division.proves, division.longest) == (False, 100)
    assert division.missing > 598


class TestBatches:
    def test_rows_of_a_batch_are_one_unit(self):
        assert divide(3, np.array([0, 1, 2, 3, 4, 5]), BUDGET).units.tolist() == [0, 1, 2]

    def test_batches_that_share_a_clip_are_one_unit_directly_or_through_others(self):
        #             batch 0     1     2     3     4     5
        rows = np.array([9, 8, 1, 1, 5, 9, 2, 3, 5, 4, 7, 3])
        assert divide(6, rows, BUDGET).units.tolist() == [0, 1, 0, 2, 0, 2]

    def test_all_in_a_chain_are_one(self):
        rows = np.repeat(np.arange(11), 2)[1:-1]
        assert undivided(10, rows).units.tolist() == [0] * 10

    @pytest.mark.parametrize("rows", [1, 4])
    def test_they_agree_with_following_every_link(self, rows):
        rng = np.random.default_rng(rows)
        groups = rng.integers(0, 60, 40 * rows)
        of_sample = [set(groups[place * rows : (place + 1) * rows].tolist()) for place in range(40)]
        expected = list(range(40))
        for _ in range(40):
            expected = [min(expected[j] for j in range(40) if of_sample[i] & of_sample[j]) for i in range(40)]
        first = sorted(set(expected))
        assert divide(40, groups, 0.5).units.tolist() == [first.index(one) for one in expected]

    def test_rows_that_fill_no_batch_are_left_out(self):
        assert divide(2, np.array([0, 0, 1, 1, 0]), BUDGET).units.tolist() == [0, 1]


def test_the_seed_decides():
    first, again, other = (divide(2000, None, BUDGET, seed=seed).kept for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert abs(first[:1000].mean() - 0.5) < 0.05, "kept samples are not spread over all"


def test_a_smaller_budget_or_level_keeps_more_back():
    kept = [divide(1000, None, budget).kept.sum() for budget in (0.006, 0.02, 0.1)]
    assert kept[0] > kept[1] == kept[2] == 500
    assert divide(1000, None, BUDGET).proves
    assert not divide(1000, None, BUDGET, level=0.01).proves


@pytest.mark.parametrize(
    ("units", "length"),
    [(598, 1), (602, 4)] + [(units, length) for units in (640, 807, 808, 2000) for length in (1, 4)],
)
def test_samples_for_so_many_units(units, length):
    def kept(clips):
        return divide(clips * length, clips_of(*[length] * clips), BUDGET).kept_size

    samples = divide(20 * length, clips_of(*[length] * 20), BUDGET).samples_for(units)
    clips = -(-samples // length)
    assert kept(clips) >= units
    assert kept(clips - 3) < units


def test_undivided_samples_are_all_seen():
    division = undivided(12, clips_of(5, 4, 3))
    assert not division.kept.any()
    assert (division.proves, division.longest, division.kept_size) == (False, 5, 0.0)
    assert undivided(3, None).units.tolist() == [0, 1, 2]


def test_clips_that_gain_are_told_as_many_samples_as_divide():
    seen = UnitLosses(np.append(-np.ones(30), np.zeros(470))[:, None], np.ones(500))
    samples = divide(80, clips_of(*[4] * 20), BUDGET).samples_for(units_needed(seen, BUDGET))
    assert divide(samples, clips_of(*[4] * (samples // 4)), BUDGET).proves
