"""Counts and overlaps of masks, by hand and beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coachc.calib.metrics.overlap import class_iou, confusion, mean_iou, picture_iou, pixel_accuracy


def random_masks(seed, classes, pictures=3):
    """Truths with ignored pixels and answers that are often right; some classes are missing."""
    rng = np.random.default_rng(seed)
    for _ in range(pictures):
        truth = rng.choice(rng.permutation(classes)[: max(classes - 1, 1)], (9, 7)).astype(np.uint8)
        answer = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, classes, truth.shape))
        truth[rng.random(truth.shape) < 0.2] = 255
        yield truth, answer


def test_by_hand():
    truth = np.uint8([[0, 0, 1, 1], [0, 0, 255, 2]])
    answer = np.array([[0, 1, 1, 1], [0, 0, 3, 1]])
    counts = confusion(truth, answer, 4)
    assert counts.tolist() == [[3, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(class_iou(counts), [3 / 4, 2 / 4, 0, np.nan])
    assert picture_iou(counts) == pytest.approx((3 / 4 + 2 / 4) / 3)
    assert pixel_accuracy(counts) == pytest.approx(5 / 7)


def test_pixels_of_no_class():
    counts = confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), int), 3)
    assert not counts.any()
    assert picture_iou(counts) == 1.0
    assert np.isnan(mean_iou([counts]))
    assert np.isnan(pixel_accuracy(counts))
    assert np.isnan(mean_iou(counts[None], np.zeros(1)))


def test_many_pictures_are_one_large_one_and_weights_repeat_them():
    parts = [confusion(*one, 5) for one in random_masks(1, 5)]
    assert mean_iou(parts) == pytest.approx(picture_iou(np.sum(parts, axis=0)))
    assert mean_iou(parts, np.array([2, 0, 1])) == pytest.approx(mean_iou([parts[0], parts[0], parts[2]]))
    assert pixel_accuracy(parts, np.array([2, 0, 1])) == pytest.approx(pixel_accuracy([parts[0], parts[0], parts[2]]))


@pytest.mark.needs("sklearn")
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_beside_scikit_learn(seed, classes):
    from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

    masks = list(random_masks(seed, classes))
    truth, answer = (np.concatenate([one[place].ravel() for one in masks]) for place in (0, 1))
    known = truth != 255
    truth, answer = truth[known], answer[known]
    counts = np.array([confusion(*one, classes) for one in masks])
    np.testing.assert_array_equal(counts.sum(axis=0), confusion_matrix(truth, answer, labels=range(classes)))
    # Without labels scikit-learn takes those of the truth and the answer, as is done here.
    assert mean_iou(counts) == pytest.approx(jaccard_score(truth, answer, average="macro"))
    assert pixel_accuracy(counts) == pytest.approx(accuracy_score(truth, answer))
    for one, part in zip(masks, counts, strict=True):
        seen = one[0] != 255
        assert picture_iou(part) == pytest.approx(jaccard_score(one[0][seen], one[1][seen], average="macro"))


@pytest.mark.parametrize(
    ("truth", "answer", "said"),
    [
        ([[0, 1]], [[0], [1]], r"a truth of shape \(1, 2\) and an answer of shape \(2, 1\)"),
        ([[0, 3]], [[0, 1]], "values from 0 to 3, and 3 classes"),
        ([[0, 1]], [[-1, 1]], "values from -1 to 1, and 3 classes"),
    ],
)
def test_what_does_not_fit(truth, answer, said):
    with pytest.raises(ValueError, match=said):
        confusion(np.array(truth), np.array(answer), 3)
