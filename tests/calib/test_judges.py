"""What counts as lost: answers beside labels or the whole model's, and every output in its own scale."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.judges import ClassJudge, OutputJudge, losses_of, top1


def logits(*answers, classes=4):
    """One output of shape (rows, classes) whose largest entries are at `answers`."""
    return [np.eye(classes, dtype=np.float32)[list(answers)]]


class TestTop1:
    @pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1)], ids=str)
    def test_shapes_that_classify(self, shape):
        assert top1(np.float32([[0, 2, 1], [5, 4, 3]]).reshape(shape)).tolist() == [1, 0]

    @pytest.mark.parametrize("shape", [(2,), (), (2, 1), (2, 3, 1), (2, 3, 2, 1), (1, 3, 8, 8), (2, 3, 0)], ids=str)
    def test_shapes_that_do_not(self, shape):
        assert top1(np.zeros(shape, np.float32)) is None

    def test_a_row_that_holds_no_number_says_nothing(self):
        rows = np.float32([[0, np.nan, 1], [0, np.inf, 1], [-np.inf, 1, 2], [np.nan] * 3])
        assert top1(rows).tolist() == [-1, 1, 2, -1]
        assert top1(rows.reshape(4, 3, 1, 1)).tolist() == [-1, 1, 2, -1]


def losses(judge, *outputs):
    """Losses of some samples' outputs, given one by one from the first on."""
    return losses_of(judge, enumerate(outputs)).tolist()


class TestClassJudge:
    def test_labels_count_what_gets_worse_and_what_gets_better(self):
        judge = ClassJudge([logits(0), logits(1), logits(2), logits(3)], np.array([0, 1, 1, 2]), noise=False)
        assert (judge.task, judge.kind, judge.measures) == ("classify", "labels", ("",))
        assert judge.right.tolist() == [True, True, False, False]
        # Right to wrong, right to right, wrong to right, wrong to wrong.
        assert losses(judge, logits(1), logits(1), logits(1), logits(0)) == [[1], [0], [-1], [0]]
        assert judge.whole(np.array([0, 1, 2])) == pytest.approx(2 / 3)
        assert (judge.answers.tolist(), judge.labels.tolist()) == ([0, 1, 2, 3], [0, 1, 1, 2])

    def test_without_labels_every_change_is_a_loss(self):
        judge = ClassJudge([logits(0), logits(1), logits(2)], None, noise=False)
        assert (judge.kind, judge.labels, judge.right.tolist()) == ("agreement", None, [True] * 3)
        assert losses(judge, logits(0), logits(2), logits(1)) == [[0], [1], [1]]
        assert judge.whole(np.array([1])) == 1.0

    def test_a_batch_loses_the_mean_of_its_rows(self):
        labels = np.array([0, 1, 2, 2, 0, 3])
        judge = ClassJudge([logits(0, 1, 2), logits(3, 0, 3)], labels, noise=False)
        assert losses(judge, logits(0, 0, 0), logits(2, 0, 1)) == [[pytest.approx(2 / 3)], [0.0]]
        assert judge.whole(np.array([1])) == pytest.approx(2 / 3)
        assert judge.answers.tolist() == [0, 1, 2, 3, 0, 3]

    @pytest.mark.parametrize("labelled", [False, True])
    def test_a_sample_of_one_row_loses_all_or_nothing(self, labelled):
        for rows in (1, 2):
            answers = [logits(*range(rows))] * 3
            judge = ClassJudge(answers, np.zeros(3 * rows, int) if labelled else None, noise=False)
            assert judge.whole_losses == (rows == 1)

    def test_labels_beyond_the_last_whole_batch_are_left_out(self):
        judge = ClassJudge([logits(0, 1)], np.array([0, 2, 3]), noise=False)
        assert judge.right.tolist() == [True, False]

    @pytest.mark.parametrize("labels", [None, np.array([0, 1])])
    def test_an_answer_that_is_no_number_is_lost(self, labels):
        judge = ClassJudge([logits(0), logits(1)], labels, noise=False)
        broken = [np.full((1, 4), np.nan, np.float32)]
        assert losses(judge, broken, logits(1)) == [[1], [0]]

    def test_where_the_whole_models_is_none_only_labels_can_be_missed(self):
        broken = [np.full((1, 4), np.nan, np.float32)]
        labelled = ClassJudge([broken], np.array([0]), noise=False)
        assert losses(labelled, broken) == [[0]]
        assert losses(labelled, logits(0)) == [[-1]]
        assert losses(ClassJudge([broken], None, noise=False), broken) == [[0]]

    def test_only_the_first_output_is_the_answer(self):
        judge = ClassJudge([[*logits(0), np.zeros((1, 5))]], None, noise=False)
        assert losses(judge, [*logits(0), np.full((1, 5), np.nan)]) == [[0]]

    def test_noise_is_said_to_be_noise(self):
        assert ClassJudge([logits(0)], None, noise=True).kind == "random"

    def test_answers_of_many_samples_at_once(self):
        rng = np.random.default_rng(0)
        whole, labels, split = (rng.integers(0, 4, (50, 2)) for _ in range(3))
        judge = ClassJudge([logits(*row) for row in whole], labels.ravel(), noise=False)
        places = rng.permutation(50)[:20]
        expected = [
            [int(w == t) - int(s == t) for w, t, s in zip(*rows, strict=True)]
            for rows in zip(whole[places], labels[places], split[places], strict=True)
        ]
        assert judge.losses_of_answers(places, split[places]).tolist() == expected


NAMES = ("boxes", "count", "map")


def detections(count=40, seed=0):
    """Samples of three outputs: rows of numbers of different units, an integer, and a map."""
    rng = np.random.default_rng(seed)
    return [
        [
            rng.uniform(0, [640, 640, 640, 640, 1], (1, 20, 5)).astype(np.float32),
            rng.integers(0, 5, (1, 8)),
            rng.standard_normal((1, 4, 6, 6)).astype(np.float32),
        ]
        for _ in range(count)
    ]


class TestOutputJudge:
    @pytest.fixture
    def judge(self):
        return OutputJudge(detections(), NAMES, np.arange(40) < 25, noise=False)

    def test_nothing_is_lost_by_the_whole_models_own_outputs(self, judge):
        assert (judge.task, judge.kind, judge.measures) == ("outputs", "outputs", NAMES)
        assert losses(judge, *detections()) == [[0, 0, 0]] * 40
        assert judge.whole(np.array([3])) == 1.0

    @pytest.mark.parametrize("spoilt", range(3))
    def test_each_output_is_judged_by_itself(self, judge, spoilt):
        split = detections()
        for sample, other in zip(split, detections(seed=9), strict=True):
            sample[spoilt] = other[spoilt]
        means = np.array(losses(judge, *split)).mean(axis=0)
        assert means[spoilt] > 0.75
        assert means[[place for place in range(3) if place != spoilt]].tolist() == [0, 0]

    def test_no_sample_loses_more_than_all(self, judge):
        split = [[one * 1000 for one in sample] for sample in detections()]
        found = np.array(losses(judge, *split))
        assert found[:, [0, 2]].tolist() == [[1, 1]] * 40
        assert judge.answer(0, split[0])[0] > 100

    def test_another_shape_or_no_number_is_all(self, judge):
        boxes, count, plane = detections()[0]
        assert judge.lost(0, judge.answer(0, [boxes[:, :19], count[:, :1], plane * np.nan])).tolist() == [1, 1, 1]

    def test_the_scales_are_of_the_samples_that_are_seen(self):
        samples = [[np.full((1, 1), value)] for value in (-1.0, 1.0, 1000.0, -1000.0)]
        seen = OutputJudge(samples, ["y"], np.array([True, True, False, False]), noise=False)
        every = OutputJudge(samples, ["y"], np.ones(4, bool), noise=False)
        moved = [np.full((1, 1), 1.5)]
        assert seen.lost(1, seen.answer(1, moved)).tolist() == [pytest.approx(0.5)]
        expected = 0.5 / (0.1 * np.sqrt((2 + 2e6) / 4))
        assert every.lost(1, every.answer(1, moved)).tolist() == [pytest.approx(expected, rel=1e-6)]

    def test_noise_is_said_to_be_noise(self):
        assert OutputJudge(detections(3), NAMES, np.ones(3, bool), noise=True).kind == "random"


def test_losses_of_no_sample_have_a_place_for_every_measure():
    judge = OutputJudge(detections(2), NAMES, np.ones(2, bool), noise=False)
    assert losses_of(judge, []).shape == (0, 3)
