"""The two measures, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.models.canvases import SIZE, Scene
from coachc.models.scene_scores import box_ious, mean_ap50, mean_iou, suppress


def scene(boxes, classes, mask=None):
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8) if mask is None else mask
    return Scene(picture, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), mask)


def rows(*found):
    return np.array(found, np.float32).reshape(-1, 6)


def test_box_ious():
    a = np.array([[0, 0, 2, 2]], np.float32)
    b = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2]], np.float32)
    np.testing.assert_allclose(box_ious(a, b), [[1, 1 / 3, 0]])


def test_suppress_keeps_the_best_of_those_that_overlap():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]
    assert suppress(boxes, np.array([0.5, 0.9, 0.1]), 0.9).tolist() == [1, 0, 2]
    assert suppress(boxes[:0], np.zeros(0), 0.5).tolist() == []


def test_average_precision_of_one_digit():
    """Two threes, found with a false one between them: precision 1, 1/2, 2/3, made monotonic 1, 2/3, 2/3."""
    there = scene([[0, 0, 10, 10], [20, 0, 30, 10]], [3, 3])
    found = rows([0, 0, 10, 10, 0.9, 3], [50, 50, 60, 60, 0.8, 3], [20, 0, 30, 10, 0.7, 3])
    # The other nine digits are nowhere and count 0.
    assert mean_ap50([found], [there]) == pytest.approx((1 / 2 + 1 / 2 * 2 / 3) / 10)


def test_a_digit_is_found_once():
    there = scene([[0, 0, 10, 10]], [3])
    twice = rows([0, 0, 10, 10, 0.8, 3], [0, 0, 10, 9, 0.9, 3])
    assert mean_ap50([twice], [there]) == pytest.approx(0.1)
    # By another digit's name, or not closely enough, it is not found at all.
    assert mean_ap50([rows([0, 0, 10, 10, 0.8, 4])], [there]) == 0
    assert mean_ap50([rows([6, 0, 16, 10, 0.8, 3])], [there]) == 0
    assert mean_ap50([rows()], [there]) == 0


def test_mean_iou():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:2, :10] = np.arange(1, 11)
    there = scene([], [], mask)
    assert mean_iou(mask[np.newaxis].astype(np.int64), [there]) == 1
    # Half of each digit's pixels is taken for background: ten halves, and nearly all of the background.
    half = mask[np.newaxis].astype(np.int64)
    half[0, 1] = 0
    background = (SIZE**2 - 20) / (SIZE**2 - 10)
    assert mean_iou(half, [there]) == pytest.approx((10 * 0.5 + background) / 11)
