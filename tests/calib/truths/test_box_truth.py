"""The whole model's own answer as the truth."""

from __future__ import annotations

import numpy as np

from coachc.calib.truths.box_truth import as_truth, no_boxes
from coachc.runtime.decode.detections import Detections


def test_what_scores_enough_is_there():
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    boxes[2, 3] = np.nan
    found = Detections(boxes, np.float32([0.9, 0.5, 0.5, 0.4]), np.int32([3, 1, 2, 0]))
    truth = as_truth(found, 0.5)
    np.testing.assert_array_equal(truth.boxes, boxes[:2])
    assert (truth.classes.tolist(), truth.crowd.tolist()) == ([3, 1], [False, False])
    assert [part.dtype for part in truth] == [np.float32, np.int32, bool]
    assert len(as_truth(found, 0.95).boxes) == 0


def test_boxes_without_area_are_not_there():
    boxes = np.float32([[0, 0, 5, 0], [5, 0, 4, 9], [0, 0, 1, 1]])
    found = Detections(boxes, np.ones(3, np.float32), np.int32([0, 1, 2]))
    assert as_truth(found, 0.5).classes.tolist() == [2]


def test_a_score_that_is_no_number_is_not_there():
    found = Detections(np.ones((1, 4), np.float32), np.float32([np.nan]), np.int32([0]))
    assert len(as_truth(found, 0.0).boxes) == 0


def test_nothing():
    assert [(part.shape, part.dtype) for part in no_boxes()] == [((0, 4), np.float32), ((0,), np.int32), ((0,), bool)]
