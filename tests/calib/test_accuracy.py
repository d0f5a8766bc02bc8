"""What counts as right, and how sure a difference is: bounds by hand, and their coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.calib.accuracy import (
    CHANGED_LOSS,
    FIDELITY_TOLERANCE,
    Judge,
    most_changed,
    paired_loss_bound,
    samples_needed,
    samples_to_certify,
    top1,
)
from coachc.core.plan import Accuracy


def logits(*answers, classes=4):
    """One output of shape (batch, classes) whose largest entries are at `answers`."""
    return [np.eye(classes, dtype=np.float32)[list(answers)]]


class TestTop1:
    @pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1)], ids=str)
    def test_shapes_that_classify(self, shape):
        assert top1(np.float32([[0, 2, 1], [5, 4, 3]]).reshape(shape)).tolist() == [1, 0]

    @pytest.mark.parametrize("shape", [(2,), (), (2, 1), (2, 3, 1), (2, 3, 2, 1), (1, 3, 8, 8), (2, 3, 0)], ids=str)
    def test_shapes_that_do_not(self, shape):
        assert top1(np.zeros(shape, np.float32)) is None


def test_of_several_outputs_only_labels_say_that_the_first_is_the_answer():
    """A detector's first output may have the form of classes: what it puts out besides must not go unseen."""
    rng = np.random.default_rng(0)
    samples = [[*logits(index % 4), rng.standard_normal((1, 8, 4)).astype(np.float32)] for index in range(20)]
    moved = [[scores, boxes + np.float32(0.5)] for scores, boxes in samples]
    judged = Judge(samples, None, noise=False)
    assert (judged.kind, judged.answers) == ("fidelity", None)
    assert all(judged.same(index, sample) for index, sample in enumerate(samples))
    assert not any(judged.right(index, sample) for index, sample in enumerate(moved))
    labelled = Judge(samples, np.arange(20) % 4, noise=False)
    assert labelled.kind == "labels"
    assert all(labelled.right(index, sample) for index, sample in enumerate(moved))
    assert Judge([sample[:1] for sample in samples], None, noise=False).kind == "agreement"


class TestBound:
    @pytest.mark.parametrize(
        ("worse", "better", "samples", "bound"),
        [
            (0, 0, 98, 1.645 / 100),
            # Agresti and Min: (w - b) / (n + 2) + z sqrt(w + b + 1 - (w - b)^2 / (n + 2)) / (n + 2).
            (8, 0, 98, 0.08 + 1.645 * math.sqrt(9 - 0.64) / 100),
            (10, 6, 398, 4 / 400 + 1.645 * math.sqrt(17 - 16 / 400) / 400),
            (0, 5, 98, -0.05 + 1.645 * math.sqrt(6 - 0.25) / 100),
        ],
    )
    def test_by_hand(self, worse, better, samples, bound):
        assert paired_loss_bound(worse, better, samples) == pytest.approx(bound, rel=1e-12)

    def test_a_lower_bound_mirrors_the_upper(self):
        assert paired_loss_bound(7, 3, 500, z=-1.645) == pytest.approx(-paired_loss_bound(3, 7, 500))

    @pytest.mark.parametrize("samples", [100, 500, 2000])
    @pytest.mark.parametrize(
        ("worse", "better"), [(0.01, 0.01), (0.02, 0.005), (0.05, 0.05), (0.1, 0.02), (0.003, 0.0)]
    )
    def test_holds_in_19_of_20_cases(self, samples, worse, better):
        rng = np.random.default_rng([samples, int(worse * 1e4), int(better * 1e4)])
        counts = rng.multinomial(samples, [worse, better, 1 - worse - better], size=8000)
        held = np.mean([paired_loss_bound(int(w), int(b), samples) >= worse - better for w, b, _ in counts])
        # Discrete counts: the interval's real coverage swings around 95 %; it must not fall far below.
        assert held > 0.93, f"{held:.4f} of 8000 draws, seed {[samples, worse, better]}"

    @pytest.mark.parametrize("samples", [100, 2000])
    def test_is_not_sure_of_everything(self, samples):
        """A bound that always holds would say nothing: at a one-sided 95 % it fails now and then."""
        counts = np.random.default_rng(samples).multinomial(samples, [0.1, 0.05, 0.85], size=8000)
        held = np.mean([paired_loss_bound(int(w), int(b), samples) >= 0.05 for w, b, _ in counts])
        assert held < 0.97

    @pytest.mark.parametrize("budget", [0.001, 0.005, 0.01, 0.02, 0.1, 0.5, 0.99])
    def test_samples_to_certify_is_the_fewest(self, budget):
        needed = samples_to_certify(budget)
        assert paired_loss_bound(0, 0, needed) <= budget * (1 + 1e-12)
        assert needed == 1 or paired_loss_bound(0, 0, needed - 1) > budget

    def test_half_a_percent_takes_327(self):
        assert samples_to_certify(0.005) == 327


class TestJudge:
    def test_labels(self):
        judge = Judge([logits(0), logits(1), logits(2)], np.array([0, 1, 1]), noise=False)
        assert judge.kind == "labels"
        assert judge.float_right.tolist() == [True, True, False]
        assert [judge.right(i, logits(1)) for i in range(3)] == [False, True, True]

    def test_agreement_without_labels(self):
        judge = Judge([logits(0), logits(1)], None, noise=False)
        assert judge.kind == "agreement"
        assert judge.float_right.all()
        assert [judge.right(i, logits(1)) for i in range(2)] == [False, True]

    def test_a_batch_is_right_when_all_of_it_is(self):
        judge = Judge([logits(0, 1), logits(2, 3)], np.array([0, 1, 2, 0]), noise=False)
        assert judge.float_right.tolist() == [True, False]
        assert judge.right(1, logits(2, 0))
        assert not judge.right(0, logits(0, 0))

    def test_noise_is_never_certified(self):
        judge = Judge([logits(0)] * 5000, None, noise=True)
        accuracy = judge.compare(judge.float_right, 0.5)
        assert (judge.kind, accuracy.kind, accuracy.loss, accuracy.certified) == ("random", "random", 0.0, False)

    def test_models_that_do_not_classify_are_judged_by_fidelity(self):
        rng = np.random.default_rng(0)
        whole = [[rng.standard_normal((1, 3, 8, 8)), rng.standard_normal((1, 7))] for _ in range(2)]
        judge = Judge(whole, np.array([0, 1]), noise=False)
        assert judge.kind == "fidelity"
        assert judge.float_right.all()
        scaled = lambda factor: [whole[0][0], whole[0][1] * factor]  # noqa: E731
        assert judge.right(0, scaled(1 + 0.9 * FIDELITY_TOLERANCE))
        assert not judge.right(0, scaled(1 + 1.1 * FIDELITY_TOLERANCE))
        assert not judge.right(1, whole[0])

    def test_an_output_of_zeros_must_stay_zero(self):
        judge = Judge([[np.zeros((1, 3, 2, 2))]], None, noise=False)
        assert judge.right(0, [np.zeros((1, 3, 2, 2))])
        assert not judge.right(0, [np.full((1, 3, 2, 2), 1e-3)])

    def test_compare_counts_pairs(self):
        judge = Judge([logits(0)] * 10, np.array([0] * 8 + [1] * 2), noise=False)
        split = np.array([False] * 3 + [True] * 5 + [True, False])
        found = judge.compare(split, 0.3)
        assert (found.kind, found.whole, found.split, found.samples) == ("labels", 0.8, 0.6, 10)
        assert found.loss == pytest.approx(0.2)
        assert found.loss_bound == paired_loss_bound(3, 1, 10)
        assert not found.certified
        assert judge.compare(split, 0.9).certified

    def test_answers_that_change_count_though_the_lucky_ones_cancel_the_others(self):
        judge = Judge([logits(0)] * 1000, np.array([0] * 500 + [1] * 500), noise=False)
        split = judge.float_right.copy()
        split[490:510] = ~split[490:510]
        assert judge.compare(split, 0.02).loss == 0.0
        found = judge.compare(split, 0.02, changed=20)
        assert found.loss == pytest.approx(CHANGED_LOSS * 0.02)
        assert found.loss_bound == pytest.approx(CHANGED_LOSS * paired_loss_bound(20, 0, 1000))
        assert judge.compare(split, 0.02).certified
        assert not judge.compare(split, 0.01, changed=20).certified

    def test_same_is_about_the_whole_model_not_the_label(self):
        judge = Judge([logits(0), logits(2)], np.array([1, 2]), noise=False)
        assert [judge.same(0, logits(i)) for i in range(3)] == [True, False, False]
        assert [judge.right(0, logits(i)) for i in range(3)] == [False, True, False]

    def test_too_few_samples_are_judged_by_the_measured_loss(self):
        judge = Judge([logits(0)] * 100, None, noise=False)
        one_wrong = np.array([False] + [True] * 99)
        assert judge.keeps(judge.compare(one_wrong, 0.01), 0.01)
        assert not judge.keeps(judge.compare(one_wrong, 0.009), 0.009)

    def test_enough_samples_are_judged_by_the_bound(self):
        judge = Judge([logits(0)] * 400, None, noise=False)
        one_wrong = np.array([False] + [True] * 399)
        accuracy = judge.compare(one_wrong, 0.005)
        assert accuracy.loss == pytest.approx(0.0025)
        assert accuracy.loss_bound > 0.005
        assert not judge.keeps(accuracy, 0.005)
        assert judge.keeps(judge.compare(judge.float_right, 0.005), 0.005)


@pytest.mark.parametrize("samples", [10, 100, 400, 2000, 5000])
@pytest.mark.parametrize("budget", [0.001, 0.005, 0.05])
def test_one_more_changed_answer_than_allowed_cannot_be_kept(samples, budget):
    judge = Judge([[np.eye(3)[:1]]] * samples, None, noise=False)
    allowed = most_changed(samples, budget)
    for changed in range(max(allowed - 3, 0), min(allowed + 5, samples)):
        # Nothing is lost otherwise: the changed answers alone decide.
        keeps = judge.keeps(judge.compare(np.ones(samples, bool), budget, changed=changed), budget)
        assert keeps == (changed <= allowed)


@pytest.mark.parametrize(("worse", "samples"), [(0, 50), (1, 300), (3, 800), (6, 2000)])
def test_as_many_samples_as_needed_do_certify(worse, samples):
    budget = 0.005

    def of(count, lost):
        bound = paired_loss_bound(lost, 0, count)
        return Accuracy("labels", 1.0, 1 - lost / count, count, lost / count, bound, certified=bound <= budget)

    few = of(samples, worse)
    needed = samples_needed(few, budget)
    assert not few.certified
    assert needed > samples
    # The bound adds half an observation to each cell, which weighs less among more samples.
    assert paired_loss_bound(round(worse * needed / samples), 0, needed) <= 1.1 * budget
    assert samples_needed(of(100, 2), budget) is None
