"""The choice of a precision, on losses that are made up for each number of bits: against going through all of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from coachc.calib.division import divide
from coachc.calib.judges import ClassJudge, OutputJudge
from coachc.calib.measurements import Measurements
from coachc.calib.precision_chooser import PrecisionChooser, measured_accuracy
from coachc.calib.ranges import DEFAULT_SCHEME, affine
from coachc.calib.reference_answers import Trial
from coachc.core.plan import MAX_BITS, MIN_BITS, Rejected

BITS = range(MIN_BITS, MAX_BITS + 1)
BUDGET = 0.02


class Scripted(PrecisionChooser):
    """Loses what a table says: bits -> losses of all samples, shape (samples, measures). Counts what is run."""

    def __init__(self, losses, trial, budget=BUDGET, store=None):
        super().__init__(("v", "w"), trial, budget, store)
        self._table = losses
        self.runs = 0

    def quantizers(self, bits, scheme=DEFAULT_SCHEME):
        return (affine("v", [-1], [1], bits), affine("w", [0], [3], bits))

    def rows(self, quantizers, *, kept):
        assert len({quantizer.bits for quantizer in quantizers}) == 1
        for place in self.trial.kept if kept else self.trial.seen:
            self.runs += 1
            yield self._table[quantizers[0].bits][place]


class Thorough(Scripted):
    """Without giving up early."""

    def _fails_early(self, quantizers):
        return False


def trial_of(samples, *, groups=None, budget=BUDGET, outputs=0):
    division = divide(samples, groups, budget)
    if outputs:
        judge = OutputJudge([[np.zeros((1, 2))] * outputs], [f"y{n}" for n in range(outputs)], np.ones(1), noise=False)
    else:
        judge = ClassJudge([[np.float32([[0, 1]])]] * samples, None, noise=False)
    return Trial(None, judge, division, "fingerprint")


def wrong_answers(samples, seed, *, half=4.5, clip=1):
    """Answers wrong at each number of bits: all with noise, few above `half` bits; never more with more bits."""
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.random(-(-samples // clip)), clip)[:samples]
    return {bits: (hard < 0.5 / (1 + 8.0 ** (bits - half)))[:, None].astype(float) for bits in BITS}


@pytest.mark.parametrize("seed", range(12))
def test_the_fewest_bits_that_promise_a_proof(seed):
    """By SciPy: so few wrong among as many samples as are kept back, at a loss of the whole budget."""
    losses, trial = wrong_answers(600, seed), trial_of(600)
    assert trial.division.kept.sum() == 300
    wrong = {bits: losses[bits][trial.seen].sum() for bits in BITS}
    passes = [bits for bits in BITS if stats.binom.cdf(wrong[bits], 300, BUDGET) <= 0.05]
    assert 2 < passes[0] <= 8
    assert passes == list(range(passes[0], 9))
    chooser = Scripted(losses, trial)
    found = chooser.lowest()
    assert [quantizer.bits for quantizer in found.quantizers] == [passes[0]] * 2
    assert found == chooser.at(passes[0])
    assert found.accuracy.loss == pytest.approx(wrong[passes[0]] / 300)
    assert (found.accuracy.whole, found.accuracy.samples, found.accuracy.kind) == (1.0, 300, "agreement")
    assert (found.accuracy.loss_bound, found.accuracy.certified) == (None, False)


@pytest.mark.parametrize("lossless", [{8}, {3, 8}, {4, 5, 8}, {2, 3, 4, 8}, {5, 7, 8}, {2, 4, 6, 8}], ids=str)
def test_where_more_bits_may_lose_more_one_ends_beside_a_number_that_fails(lossless):
    losses = {bits: np.full((600, 1), float(bits not in lossless)) for bits in BITS}
    bits = Scripted(losses, trial_of(600)).lowest().quantizers[0].bits
    assert bits in lossless
    assert bits - 1 not in lossless


@pytest.mark.parametrize("seed", range(12))
def test_with_too_few_samples_the_budget_is_kept_with_one_bit_less(seed):
    losses, trial = wrong_answers(150, seed), trial_of(150)
    assert not trial.division.proves
    lost = {bits: losses[bits].mean() for bits in BITS}
    expected = min(bits for bits in BITS if bits > 2 and lost[bits - 1] <= BUDGET)
    found = Scripted(losses, trial).lowest()
    assert [quantizer.bits for quantizer in found.quantizers] == [expected] * 2
    assert (found.accuracy.loss, found.accuracy.samples) == (pytest.approx(lost[expected]), 150)


@pytest.mark.parametrize(("samples", "clip"), [(600, 1), (150, 1), (2400, 4), (400, 4)])
@pytest.mark.parametrize("budget", [0.02, 0.1])
def test_giving_up_early_changes_nothing_but_what_is_run(samples, clip, budget):
    groups = None if clip == 1 else np.arange(samples) // clip
    trial, runs = trial_of(samples, groups=groups, budget=budget), np.zeros(2)
    for seed in range(15):
        losses = wrong_answers(samples, seed, clip=clip, half=3 + seed % 4)
        early, thorough = (kind(losses, trial, budget) for kind in (Scripted, Thorough))
        assert early.lowest() == thorough.lowest(), f"seed {seed}"
        for bits in BITS:
            assert early.passes(early.quantizers(bits)) == thorough.passes(early.quantizers(bits)), f"seed {seed}"
        runs += early.runs, thorough.runs
    assert runs[0] < 0.8 * runs[1]


def test_a_hopeless_precision_takes_few_samples():
    losses = {bits: np.ones((2000, 1)) for bits in BITS}
    chooser = Scripted(losses, trial_of(2000, budget=0.005), 0.005)
    assert not chooser.passes(chooser.quantizers(8))
    assert chooser.runs < 20


def test_more_budget_never_needs_more_bits():
    losses, bits = wrong_answers(3000, 1), []
    for budget in (0.004, 0.01, 0.03, 0.1, 0.6):
        found = Scripted(losses, trial_of(3000, budget=budget), budget).lowest()
        assert found.accuracy.loss <= budget
        bits.append(found.quantizers[0].bits)
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[-1] == 2


def test_8_bits_that_keep_the_budget_but_promise_no_proof_are_taken():
    losses = {bits: np.zeros((600, 1)) for bits in BITS}
    trial = trial_of(600)
    for bits in BITS:
        losses[bits][trial.seen[:5]] = 1.0
    assert BUDGET > 5 / 300
    assert stats.binom.cdf(5, 300, BUDGET) > 0.05
    found = Scripted(losses, trial).lowest()
    assert found.quantizers[0].bits == 8
    assert found.accuracy.loss == pytest.approx(5 / 300)


def test_too_much_is_lost_even_at_8_bits():
    found = Scripted({bits: np.ones((600, 1)) for bits in BITS}, trial_of(600)).lowest()
    assert isinstance(found, Rejected)
    assert found.what == "cut at v, w"
    assert found.reason == "more than 2.00% is lost at 8 bits"


def test_no_more_bits_than_are_asked_for():
    losses, trial = wrong_answers(600, 0), trial_of(600)
    needed = Scripted(losses, trial).lowest().quantizers[0].bits
    assert Scripted(losses, trial).lowest(needed).quantizers[0].bits == needed
    refused = Scripted(losses, trial).lowest(needed - 1)
    assert isinstance(refused, Rejected)
    assert refused.reason == f"a loss of 2.00% is not kept at {needed - 1} bits, and with more it would not win"


class TestSeveralOutputs:
    def losses(self):
        """The second output loses most, the first one nothing, the third a little."""
        shares = {bits: 0.4 / 4 ** (bits - 2) for bits in BITS}
        return {bits: np.tile([0.0, share, share / 3], (600, 1)) for bits, share in shares.items()}

    def test_the_worst_decides_and_is_named(self):
        chooser = Scripted(self.losses(), trial_of(600, outputs=3))
        found = chooser.lowest()
        # Within the budget are 0.4 / 64 of each sample, at 5 bits, and what the third output loses at 4.
        assert found.quantizers[0].bits == 5
        accuracy = found.accuracy
        assert (accuracy.kind, accuracy.worst, accuracy.whole) == ("outputs", "y1", 1.0)
        assert accuracy.loss == pytest.approx(0.4 / 64)
        assert accuracy.split == pytest.approx(1 - 0.4 / 64)
        assert not chooser.passes(chooser.quantizers(4))

    def test_an_output_that_is_lost_alone_is_enough_to_refuse(self):
        losses = {bits: np.zeros((600, 3)) for bits in BITS}
        for bits in range(2, 6):
            losses[bits][:, 2] = 1.0
        assert Scripted(losses, trial_of(600, outputs=3)).lowest().quantizers[0].bits == 6


class TestRunOnce:
    def test_losses_of_each_part_are_run_once(self):
        losses, trial = wrong_answers(600, 0), trial_of(600)
        chooser = Scripted(losses, trial)
        for _ in range(2):
            for kept, places in ((False, trial.seen), (True, trial.kept)):
                assert np.array_equal(chooser.losses(chooser.quantizers(4), kept=kept), losses[4][places])
        assert chooser.runs == 600
        found = chooser.at(4)
        assert chooser.runs == 600
        assert found.accuracy.loss == pytest.approx(losses[4][trial.seen].mean())

    def test_what_was_measured_before_is_not_run_again(self):
        losses, trial, store = wrong_answers(600, 0), trial_of(600), Measurements()
        first = Scripted(losses, trial, store=store)
        expected = first.lowest()
        again = Scripted(losses, trial, store=store)
        assert again.at(expected.quantizers[0].bits) == expected
        assert again.passes(expected.quantizers)
        assert again.runs == 0
        # Another budget is another question.
        other = Scripted(losses, trial, 0.5, store)
        assert other.at(expected.quantizers[0].bits) == expected
        assert other.runs == 300


def test_losses_are_gathered_by_the_clips_of_their_part():
    groups = np.arange(2400) // 4
    trial = trial_of(2400, groups=groups)
    losses = wrong_answers(2400, 3, clip=4)
    chooser = Scripted(losses, trial)
    for kept in (False, True):
        lost = chooser.by_unit(chooser.losses(chooser.quantizers(4), kept=kept), kept=kept)
        clips = [losses[4][groups == clip].mean() for clip in range(600) if trial.division.kept[4 * clip] == kept]
        assert lost.lost[:, 0].tolist() == clips
        assert (lost.weight == 1).all()
        accuracy = measured_accuracy(trial, lost, kept=kept)
        assert accuracy.loss == pytest.approx(np.mean(clips))
        assert accuracy.samples == 4 * len(clips)
