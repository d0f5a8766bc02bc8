"""Bounds against SciPy's own, and what the tests err with, by simulation where the true loss is exactly the budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from coachc.calib.certificate import (
    LEVEL,
    UnitLosses,
    binomial_bound,
    by_unit,
    choose_test,
    expects_proof,
    paired_loss_bound,
    units_needed,
    units_to_certify,
)

BUDGET = 0.02
DRAWS = 2000
#: Three standard errors of a share of 5 % among so many draws.
ERROR = 3 * math.sqrt(LEVEL * (1 - LEVEL) / DRAWS)


def single(losses):
    """Units of one task each, whole where all losses are; one measure where no other are given."""
    losses = np.asarray(losses, float)
    whole = bool(np.isin(losses, (-1, 0, 1)).all())
    return UnitLosses(losses.reshape(len(losses), -1), np.ones(len(losses)), whole)


class TestBinomialBound:
    @pytest.mark.parametrize(("events", "units"), [(0, 598), (1, 948), (4, 2000), (17, 350), (348, 350)])
    @pytest.mark.parametrize("level", [0.05, 0.01])
    def test_is_clopper_and_pearsons(self, events, units, level):
        exact = stats.binomtest(events, units, alternative="less").proportion_ci(1 - level, method="exact")
        assert binomial_bound(events, units, level) == pytest.approx(exact.high, rel=1e-9)

    def test_of_many_at_once_and_of_events_that_are_not_whole(self):
        events = np.array([0, 0.5, 3, 9.75])
        expected = stats.beta.ppf(0.95, events + 1, 10 - events)
        assert binomial_bound(events, 10) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("events", [10, 11, 1000])
    def test_all_of_them_is_all(self, events):
        assert binomial_bound(events, 10) == 1.0


# What a unit loses at most 2,000 draws of it; the mean of each is the budget.


def wrong(rng, count):
    return (rng.random(count) < BUDGET).astype(float)


def signed(rng, count):
    return rng.choice([1.0, -1.0, 0.0], count, p=[BUDGET + 0.03, 0.03, 0.94 - BUDGET])


def fractions(rng, count):
    return rng.uniform(0, 20 * BUDGET, count) * (rng.random(count) < 0.1)


def mostly_small(rng, count):
    """Half of the budget in what every unit loses, the other half in few that lose all."""
    return np.where(rng.random(count) < BUDGET / 2, 1.0, BUDGET / (2 - BUDGET))


KINDS = [wrong, signed, fractions, mostly_small]


@pytest.mark.parametrize("draw", KINDS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize(("seen", "kept"), [(300, 300), (80, 160)])
def test_a_loss_at_the_budget_is_proven_to_be_below_it_once_in_20_cases(draw, seen, kept):
    rng = np.random.default_rng([seen, KINDS.index(draw)])
    assert draw(rng, 1_000_000).mean() == pytest.approx(BUDGET, abs=1e-3)
    proven = 0
    for _ in range(DRAWS):
        test = choose_test(single(draw(rng, seen)), kept, BUDGET)
        proven += test.proves(single(draw(rng, kept)), BUDGET)
    assert proven / DRAWS <= LEVEL + ERROR


def clips(rng, count):
    """Clips of 1 or 8 frames, of which the long ones are lost whole more often: the mean loss of a frame is the budget.

    Returns their frames' losses and units, as `by_unit` takes them.
    """
    lengths = rng.choice([1, 1, 1, 8], count)
    # E[lost] = c E[length^2] = budget E[length], for clips lost with probability c length.
    lost = rng.random(count) < BUDGET * (2.75 / 16.75) * lengths
    return np.repeat(lost, lengths)[:, None].astype(float), np.repeat(np.arange(count), lengths)


def test_clips_of_unequal_length_are_weighed_by_their_frames():
    rng = np.random.default_rng(5)
    frames, _ = clips(rng, 300_000)
    assert frames.mean() == pytest.approx(BUDGET, abs=1e-3)
    proven = by_clips = 0
    for _ in range(DRAWS):
        seen, kept = (by_unit(*clips(rng, 600), 8, whole=True) for _ in range(2))
        proven += choose_test(seen, kept.size, BUDGET).proves(kept, BUDGET)
        by_clips += binomial_bound((kept.lost > 0).sum(), 600) < BUDGET
    assert proven / DRAWS <= LEVEL + ERROR
    assert by_clips / DRAWS > 0.2, "counting clips alike would do as well here"


def test_the_worst_of_several_measures_decides():
    rng = np.random.default_rng(6)
    proven = 0
    for _ in range(DRAWS):
        seen, kept = (single(np.stack([np.zeros(300), wrong(rng, 300)], axis=1)) for _ in range(2))
        proven += choose_test(seen, 300, BUDGET).proves(kept, BUDGET)
    assert proven / DRAWS <= LEVEL + ERROR


@pytest.mark.parametrize("draw", KINDS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("budget", [0.5 * BUDGET, BUDGET, 3 * BUDGET])
def test_the_bound_covers_the_loss_in_19_of_20_cases(draw, budget):
    """Whatever budget the test was made for."""
    rng = np.random.default_rng([7, KINDS.index(draw)])
    missed, total = 0, 500
    for _ in range(total):
        bound = choose_test(single(draw(rng, 100)), 200, budget).bound(single(draw(rng, 200)))
        missed += bound < BUDGET
    assert missed / total <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / total)


@pytest.mark.parametrize("draw", [wrong, signed, fractions], ids=lambda draw: draw.__name__)
def test_what_loses_a_fifth_of_the_budget_is_proven_to_keep_it(draw):
    """Tests that never prove anything would err with nothing, too."""
    rng = np.random.default_rng(8)
    budget, proven = 5 * BUDGET, 0
    for _ in range(200):
        proven += choose_test(single(draw(rng, 200)), 400, budget).proves(single(draw(rng, 400)), budget)
    assert proven >= 190


@pytest.mark.parametrize("draw", KINDS, ids=lambda draw: draw.__name__)
def test_a_bound_is_the_least_budget_that_is_proven(draw):
    rng = np.random.default_rng(9)
    for _ in range(20):
        kept = single(draw(rng, 400))
        test = choose_test(single(draw(rng, 400)), 400, 3 * BUDGET)
        bound = test.bound(kept)
        assert test.proves(kept, bound + 1e-6)
        assert not test.proves(kept, bound - 1e-6)


@pytest.mark.parametrize(("budget", "units"), [(0.005, 598), (0.02, 149), (0.1, 29), (0.5, 5)])
def test_units_to_certify_is_the_fewest(budget, units):
    assert units_to_certify(budget) == units
    seen = single(np.zeros(units))
    assert choose_test(seen, units, budget).proves(seen, budget)
    assert not choose_test(seen, units, budget).proves(single(np.zeros(units - 1)), budget)
    assert not choose_test(seen, units, budget).proves(single(np.append(np.zeros(units - 1), 1)), budget)


@pytest.mark.parametrize(("budget", "units"), [(0.005, 602), (0.02, 152), (0.1, 32), (0.5, 8)])
def test_a_bet_takes_a_few_more(budget, units):
    def clips_without_loss(count):
        return UnitLosses(np.zeros((count, 1)), np.ones(count))

    assert units_to_certify(budget, whole=False) == units
    test = choose_test(clips_without_loss(units), units, budget)
    assert test.proves(clips_without_loss(units), budget)
    assert not test.proves(clips_without_loss(units - 1), budget)


@pytest.mark.parametrize("kept_clip", [False, True])
@pytest.mark.parametrize("budget", [0.005, 0.02, 0.08])
def test_a_long_clip_that_is_wrong_is_not_proven_away(kept_clip, budget):
    """100 wrong frames of one clip beside 1,000 right clips of one frame: 9 % are lost, whatever part it falls in."""
    right, clip = np.zeros(500), np.append(np.zeros(500), np.ones(100))
    own = np.arange(500), np.append(np.arange(500), np.full(100, 500))
    parts = [by_unit(losses[:, None], units, 100, whole=True) for losses, units in zip((right, clip), own, strict=True)]
    kept = parts.pop(kept_clip)
    test = choose_test(parts[0], kept.size, budget)
    assert not test.proves(kept, budget)
    assert not expects_proof(parts[0], kept.size, budget)
    assert test.bound(kept) > 0.09


@pytest.mark.parametrize("losses", [np.ones(50), np.full(50, 0.7), np.tile([1.0, 0.5], 25), np.repeat([1.0, -1], 25)])
@pytest.mark.parametrize("seen", [np.zeros(50), np.ones(50), np.full(50, 0.3), np.tile([1.0, -1], 25)])
def test_no_bound_is_more_than_everything(losses, seen):
    bound = choose_test(single(seen), 50, BUDGET).bound(single(losses))
    assert max(losses.mean(), 0) <= bound <= 1.0


class TestNeeded:
    @pytest.mark.parametrize("budget", [0.005, 0.02])
    @pytest.mark.parametrize(
        "losses",
        [
            np.zeros(500), np.append(np.ones(1), np.zeros(499)), np.append(np.ones(4), np.zeros(996)),
            np.linspace(0, 0.006, 500), np.append(np.linspace(0, 0.03, 100), np.zeros(400)),
            np.concatenate([np.ones(10), -np.ones(9), np.zeros(981)]),
        ],
        ids=["none", "one", "four", "little each", "some of some", "both ways"],
    )  # fmt: skip
    def test_about_so_many_units_promise_a_proof(self, losses, budget):
        needed = units_needed(single(losses), budget)
        assert needed >= units_to_certify(budget)
        assert expects_proof(single(losses), 1.15 * needed, budget)
        assert not expects_proof(single(losses), 0.45 * needed, budget)

    def test_fewer_are_needed_where_less_is_lost(self):
        needed = [units_needed(single(np.append(np.ones(lost), np.zeros(1000 - lost))), BUDGET) for lost in range(12)]
        assert needed == sorted(needed)
        assert needed[0] < needed[-1]

    def test_none_would_do_where_the_budget_is_lost_already(self):
        assert units_needed(single(np.append(np.ones(4), np.zeros(96))), BUDGET) is None
        worst = np.stack([np.zeros(100), np.append(np.ones(4), np.zeros(96))], axis=1)
        assert units_needed(single(worst), BUDGET) is None

    def test_units_that_weigh_less_count_for_less(self):
        weight = np.tile([1.0, 0.5, 0.1, 0.4], 100)
        seen = UnitLosses(np.zeros((400, 1)), weight)
        needed = units_needed(seen, BUDGET)
        assert needed == pytest.approx(units_to_certify(BUDGET), rel=0.05)
        assert expects_proof(seen, needed, BUDGET)
        assert not expects_proof(seen, 0.95 * needed, BUDGET)


@pytest.mark.parametrize(("worse", "better"), [(0.02, 0.02), (0.05, 0.01), (0.003, 0.0), (0.0, 0.03)])
@pytest.mark.parametrize("units", [100, 1000])
def test_a_bound_of_paired_answers_covers_what_is_lost(worse, better, units):
    rng = np.random.default_rng([units, int(worse * 1000)])
    counts = rng.multinomial(units, [worse, better, 1 - worse - better], DRAWS)
    missed = np.mean([paired_loss_bound(int(w), int(b), units) < worse - better for w, b, _ in counts])
    assert missed <= LEVEL + ERROR


def test_a_bound_of_paired_answers_by_hand():
    most = stats.beta.ppf(0.975, 8, 93)
    least = stats.beta.ppf(0.025, 3, 98)
    assert paired_loss_bound(7, 3, 100) == pytest.approx(most - least)
    assert paired_loss_bound(100, 0, 100) == pytest.approx(1.0)
    assert paired_loss_bound(0, 0, 598, level=0.1) == pytest.approx(0.005, rel=0.01)


def test_losses_are_gathered_by_unit():
    losses = np.array([[1, 0], [0, 1], [-1, 0], [0.5, 0], [0, 0], [1, 1]], float)
    found = by_unit(losses, np.array([7, 2, 7, 2, 9, 7]), 4, whole=True)
    assert found.lost.tolist() == [[0.125, 0.25], [0.25, 0.25], [0, 0]]
    assert found.weight.tolist() == [0.5, 0.75, 0.25]
    assert found.means.tolist() == pytest.approx([1.5 / 6, 2 / 6])
    assert (found.worst, found.size) == (1, 1.5)
    assert not found.whole


def test_units_of_two_parts_are_one():
    one, other = single(np.array([0.0, 1.0])), single(np.array([1.0]))
    both = one + other
    assert (both.lost[:, 0].tolist(), both.weight.tolist(), both.whole) == ([0, 1, 1], [1, 1, 1], True)
    assert not (one + UnitLosses(np.zeros((1, 1)), np.ones(1))).whole


@pytest.mark.parametrize("whole", [False, True])
def test_only_units_of_one_task_lose_all_or_nothing(whole):
    losses = np.array([[1.0], [0.0], [-1.0]])
    assert by_unit(losses, np.arange(3), 1, whole=whole).whole == whole
    assert not by_unit(losses, np.arange(3), 2, whole=whole).whole


class TestWhichTest:
    def stakes(self, losses, *, whole=True):
        losses = np.asarray(losses, float)[:, None]
        return choose_test(UnitLosses(losses, np.ones(len(losses)), whole), 500, BUDGET).stakes

    def test_losses_of_all_or_nothing_are_counted(self):
        for lost in range(20):
            assert self.stakes(np.append(np.ones(lost), np.zeros(500 - lost))) == (None,)

    def test_what_is_not_said_to_be_whole_is_bet_on(self):
        assert self.stakes(np.append(np.ones(3), np.zeros(497)), whole=False) != (None,)

    def test_many_gains_are_bet_on(self):
        assert self.stakes(np.concatenate([np.ones(10), -np.ones(30), np.zeros(460)])) != (None,)

    def test_a_gain_beside_no_loss_is_no_worse_than_counting(self):
        losses = np.append(-np.ones(1), np.zeros(499))
        seen = single(losses)
        assert expects_proof(seen, units_to_certify(BUDGET), BUDGET)
