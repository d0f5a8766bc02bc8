"""Boxes and masks judged by their metric: what a shift, a flip and a lost box cost, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.metric_judge import MetricJudge
from coachc.calib.metrics.box_metric import LEAST_SCORE, TRUE_SCORE, BoxMetric
from coachc.calib.metrics.mask_metric import MaskMetric
from coachc.calib.truths.box_truth import BoxTruth
from coachc.runtime.decode.decoder import decoder_of
from coachc.runtime.decode.detections import Placement

ROWS = 6
BOXES = {"kind": "boxes", "head": "nms", "form": "rows", "classes": ["cat", "dog"], "outputs": ["y"], "score": 0.25}
PLANES = {"kind": "mask", "head": "argmax", "classes": ["ground", "road", "car"], "outputs": ["y"]}


def nowhere(row):
    return None


def rows(*found):
    """An output (1, ROWS, 6): x1, y1, x2, y2, score, class of each box."""
    output = np.zeros((1, ROWS, 6), np.float32)
    output[0, : len(found)] = np.reshape(found, (-1, 6))
    return [output]


def box_judge(whole, truths=None, placement=nowhere):
    metric = BoxMetric(decoder_of(BOXES, {"y": (1, ROWS, 6)}, (64, 64)), ["y"], placement)
    return MetricJudge(whole, ["y"], metric, truths, np.ones(len(whole), bool), noise=False)


def lost(judge, sample, outputs):
    return judge.lost(sample, judge.answer(sample, outputs)).item()


CAT, DOG = (10, 10, 30, 30, 0.9, 0), (40, 10, 60, 30, 0.8, 1)
needs_matching = pytest.mark.needs("pycocotools")


@needs_matching
class TestBoxes:
    def test_the_whole_models_boxes_are_the_truth_where_nothing_else_is(self):
        judge = box_judge([rows(CAT, DOG), rows(CAT)])
        assert (judge.task, judge.kind, judge.measures, judge.whole_losses) == ("detect", "agreement", ("",), False)
        assert judge.whole(np.array([0, 1])) == pytest.approx(1.0)
        assert lost(judge, 0, rows(CAT, DOG)) == 0.0
        # Its order does not matter, and its scores only in which box counts first.
        assert lost(judge, 0, rows(DOG, CAT)) == 0.0

    @pytest.mark.parametrize(
        ("shift", "expected"),
        # 20 pixels wide: the overlap is (20 - d) / (20 + d) of the union, which 10 thresholds from 0.5 to 0.95 ask for.
        [(0.4, 0.0), (1.0, 0.1), (2.0, 0.3), (5.5, 0.8), (8.0, 1.0)],
    )
    def test_a_shift_costs_the_thresholds_that_it_misses(self, shift, expected):
        judge = box_judge([rows(CAT)])
        assert lost(judge, 0, rows((10 + shift, 10, 30 + shift, 30, 0.9, 0))) == pytest.approx(expected)

    def test_the_same_shift_costs_a_large_box_less(self):
        judge = box_judge([rows((0, 0, 60, 60, 0.9, 0))])
        assert lost(judge, 0, rows((2, 0, 62, 60, 0.9, 0))) == pytest.approx(0.1)  # 58 / 62 is 0.935

    def test_a_flip_costs_the_class_that_is_missed_and_the_one_that_is_not_there(self):
        judge = box_judge([rows(CAT, DOG)])
        # Nothing of cats is found, and of two dogs the false one scores more: half the precision, at every recall.
        assert lost(judge, 0, rows((*CAT[:5], 1), DOG)) == pytest.approx(1 - (0 + 0.5) / 2)

    def test_a_lost_box_costs_the_recall_that_is_not_reached(self):
        cats = [(x, 10, x + 10, 20, 0.9, 0) for x in (0, 15, 30, 45)]
        judge = box_judge([rows(*cats)])
        # 3 of 4 found: precision 1 at the 76 of 101 points of recall up to 0.75.
        assert lost(judge, 0, rows(*cats[:3])) == pytest.approx(25 / 101)
        assert lost(judge, 0, rows()) == 1.0

    def test_scores_below_what_is_shown_cost_nothing_but_count_for_map(self):
        judge = box_judge([rows(CAT)])
        faint = rows(CAT, (40, 40, 60, 60, 0.2, 0), (5, 40, 20, 60, 0.21, 1))
        assert lost(judge, 0, faint) == 0.0
        answer = judge.answer(0, faint)
        assert answer[0].scores.tolist() == pytest.approx([0.9, 0.2, 0.21])
        assert LEAST_SCORE < 0.2 < TRUE_SCORE

    def test_where_nothing_is_there_nothing_is_to_be_lost_but_a_false_alarm(self):
        judge = box_judge([rows()])
        assert judge.whole(np.array([0])) == pytest.approx(1.0)
        assert lost(judge, 0, rows()) == 0.0
        assert lost(judge, 0, rows(CAT)) == 1.0

    def test_annotations_are_in_the_source_pictures_pixels(self):
        """A picture twice as large as the input, moved by a letterbox: 8 rows above it."""
        truth = BoxTruth(np.float32([[20, 4, 60, 44]]), np.int32([0]), np.zeros(1, bool))
        place = Placement(0.5, 0.5, 0.0, 8.0, 128, 96)
        judge = box_judge([rows(CAT)], [truth], lambda row: place)
        assert judge.kind == "labels"
        assert judge.whole(np.array([0])) == pytest.approx(1.0)
        worse = box_judge([rows((10, 12, 30, 32, 0.9, 0))], [truth], lambda row: place)
        assert worse.whole(np.array([0])) == pytest.approx(0.7)
        # A split model may be better than the whole one.
        assert lost(worse, 0, rows(CAT)) == pytest.approx(-0.3)

    def test_rows_of_a_batch_have_truths_of_their_own(self):
        metric = BoxMetric(decoder_of({**BOXES, "batch": 1}, {"y": (2, ROWS, 6)}, (64, 64)), ["y"], nowhere)
        two = [np.concatenate([rows(CAT)[0], rows(DOG)[0]])]
        judge = MetricJudge([two, two], ["y"], metric, None, np.ones(2, bool), noise=False)
        half = [np.concatenate([rows(CAT)[0], rows()[0]])]
        assert lost(judge, 1, half) == pytest.approx(0.5)

    def test_what_is_said_of_all_together(self):
        """mAP by hand: cats are all found; of the two dogs one is lost in the split model."""
        judge = box_judge([rows(CAT), rows(DOG), rows(DOG), rows(CAT)])
        split = [rows(CAT), rows(DOG), rows(), rows(CAT)]
        answers = [judge.answer(place, outputs) for place, outputs in enumerate(split)]
        found = judge.together(np.arange(4), answers, np.arange(4), 0.05)
        assert found.whole == {"mAP": 1.0, "mAP50": 1.0}
        expected = (1 + 51 / 101) / 2
        assert found.split == {"mAP": pytest.approx(expected), "mAP50": pytest.approx(expected)}
        assert found.loss_bound > 1 - expected

    def test_how_far_outputs_move_is_told_by_the_outputs(self):
        judge = box_judge([rows(CAT), rows(DOG)])
        near, far = rows((10.1, 10, 30, 30, 0.9, 0)), rows((14, 10, 34, 30, 0.9, 0))
        assert 0 < judge.moved(0, rows(CAT), near) < judge.moved(0, rows(CAT), far)


def planes(classes):
    """Logits (1, 3, 4, 4) whose largest are these classes, shape (4, 4)."""
    return [np.eye(3, dtype=np.float32)[np.asarray(classes)].transpose(2, 0, 1)[None]]


def mask_judge(whole, truths=None, placement=nowhere):
    metric = MaskMetric(decoder_of(PLANES, {"y": (1, 3, 4, 4)}, (4, 4)), ["y"], (4, 4), placement)
    return MetricJudge(whole, ["y"], metric, truths, np.ones(len(whole), bool), noise=False)


HALVES = np.repeat([[0, 0, 1, 1]], 4, axis=0)


class TestMasks:
    def test_a_pixel_costs_both_of_its_classes(self):
        judge = mask_judge([planes(HALVES)])
        assert (judge.task, judge.kind) == ("segment", "agreement")
        moved = HALVES.copy()
        moved[0, 1] = 1
        # 7 of 8 pixels of one class, and 8 of 9 of the other.
        assert lost(judge, 0, planes(moved)) == pytest.approx(1 - (7 / 8 + 8 / 9) / 2)

    def test_a_class_that_is_not_there_counts_as_missed(self):
        judge = mask_judge([planes(HALVES)])
        moved = HALVES.copy()
        moved[0, 0] = 2
        assert lost(judge, 0, planes(moved)) == pytest.approx(1 - (7 / 8 + 1 + 0) / 3)

    def test_masks_given_are_read_when_they_are_asked_for_and_some_pixels_are_not_judged(self):
        truth = np.repeat(np.repeat(HALVES, 2, axis=0), 2, axis=1).astype(np.uint8)
        truth[:4] = 255
        judge = mask_judge([planes(HALVES)], [lambda: truth], lambda row: Placement(0.5, 0.5, 0.0, 0.0, 8, 8))
        assert (judge.kind, judge.whole(np.array([0]))) == ("labels", pytest.approx(1.0))
        moved = HALVES.copy()
        moved[0, 0] = 2  # among those nobody judges
        assert lost(judge, 0, planes(moved)) == 0.0

    def test_what_is_said_of_all_together(self):
        other = np.full((4, 4), 2)
        judge = mask_judge([planes(HALVES), planes(other)])
        worse = other.copy()
        worse[0] = 1
        answers = [judge.answer(0, planes(HALVES)), judge.answer(1, planes(worse))]
        found = judge.together(np.arange(2), answers, np.arange(2), 0.05)
        assert found.whole == {"mIoU": 1.0, "pixels": 1.0}
        assert found.split == {"mIoU": pytest.approx((1 + 8 / 12 + 12 / 16) / 3), "pixels": 28 / 32}
        # What is promised of the mean over pictures is proven, and this is no such mean.
        assert found.loss_bound is None

    def test_values_that_are_no_class_are_wrong_and_no_error(self):
        spec = {"kind": "mask", "head": "classes", "classes": 3, "outputs": ["y"]}
        metric = MaskMetric(decoder_of(spec, {"y": (1, 4, 4)}, (4, 4)), ["y"], (4, 4), nowhere)
        judge = MetricJudge([[HALVES[None]]], ["y"], metric, None, np.ones(1, bool), noise=False)
        assert lost(judge, 0, [np.full((1, 4, 4), 77)]) == 1.0


def test_noise_is_said_to_be_noise():
    metric = MaskMetric(decoder_of(PLANES, {"y": (1, 3, 4, 4)}, (4, 4)), ["y"], (4, 4), nowhere)
    assert MetricJudge([planes(HALVES)], ["y"], metric, None, np.ones(1, bool), noise=True).kind == "random"
