"""Average precision beside the API's own accumulation, weights beside repeated pictures, one picture by hand."""

from __future__ import annotations

import contextlib
import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coachc.calib.metrics.average_precision import RankedPictures, average_precision, picture_ap
from coachc.calib.metrics.matching import THRESHOLDS, PictureMatches, match
from coachc.calib.truths.box_truth import BoxTruth, as_truth, no_boxes
from coachc.runtime.decode.detections import Detections

pytestmark = pytest.mark.needs("pycocotools")


def random_picture(rng, classes=4, ties=False, most=12):
    """Truths, some of them crowds, and detections near them or anywhere; possibly none of either."""
    truths = int(rng.integers(0, 6)) * int(rng.random() > 0.15)
    corner = rng.uniform(0, 80, (truths, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 40, (truths, 2))], axis=1).astype(np.float32)
    labels = rng.integers(0, classes, truths).astype(np.int32)
    truth = BoxTruth(boxes, labels, rng.random(truths) < 0.15)
    count = int(rng.integers(0, most)) * int(rng.random() > 0.15)
    if truths:
        near = rng.integers(0, truths, count)
        moved = boxes[near] + rng.normal(0, 2.5, (count, 4)).astype(np.float32)
        found_labels = np.where(rng.random(count) < 0.8, labels[near], rng.integers(0, classes, count))
    else:
        start = rng.uniform(0, 80, (count, 2))
        moved = np.concatenate([start, start + rng.uniform(4, 40, (count, 2))], axis=1)
        found_labels = rng.integers(0, classes, count)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
    scores = rng.integers(1, 5, count) / 4 if ties else rng.random(count)
    order = np.argsort(-scores, kind="stable")
    found = Detections(
        moved[order].astype(np.float32), scores[order].astype(np.float32), found_labels[order].astype(np.int32)
    )
    return found, truth


def api_precision(pictures, classes):
    """AP by class and threshold, mAP and mAP50, from the API alone; NaN for its -1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, found = [], []
    for number, (detections, truth) in enumerate(pictures, 1):
        for box, label, crowd in zip(truth.boxes.astype(float), truth.classes, truth.crowd, strict=True):
            size = box[2:] - box[:2]
            truths.append({"image_id": number, "category_id": int(label) + 1, "bbox": [*box[:2], *size]})
            truths[-1].update(id=len(truths), area=float(size.prod()), iscrowd=int(crowd))
        for box, score, label in zip(detections.boxes.astype(float), *detections[1:], strict=True):
            found.append({"image_id": number, "category_id": int(label) + 1, "bbox": [*box[:2], *(box[2:] - box[:2])]})
            found[-1]["score"] = float(score)
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO()
        whole.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(1, len(pictures) + 1)],
            "annotations": truths,
            "categories": [{"id": label + 1} for label in range(classes)],
        }
        whole.createIndex()
        results = whole.loadRes(found) if found else COCO()
        if not found:
            results.dataset = {**whole.dataset, "annotations": []}
            results.createIndex()
        evaluation = COCOeval(whole, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    by_class = np.where(precision[:, 0] < 0, np.nan, precision.mean(axis=1)).T
    return by_class, *(np.nan if mean < 0 else mean for mean in evaluation.stats[:2])


def assert_as_the_api(pictures, classes, weights=None):
    repeated = (
        pictures if weights is None else [one for one, n in zip(pictures, weights, strict=True) for _ in range(n)]
    )
    expected, mean, at50 = api_precision(repeated, classes)
    found = average_precision([match(*one) for one in pictures], weights)
    by_class = np.full((classes, 10), np.nan)
    by_class[found.classes] = found.by_class
    np.testing.assert_allclose(by_class, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose([found.mean, found.at50], [mean, at50], rtol=0, atol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_unit_weights_give_what_the_api_gives(seed, ties):
    rng = np.random.default_rng(seed)
    assert_as_the_api([random_picture(rng, ties=ties) for _ in range(int(rng.integers(1, 40)))], 6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.booleans(), st.integers(1, 3))
def test_any_set_gives_what_the_api_gives(seed, count, ties, classes):
    rng = np.random.default_rng(seed)
    assert_as_the_api([random_picture(rng, classes, ties) for _ in range(count)], classes)


@pytest.mark.parametrize("truths", [25, 50, 100])
def test_recall_that_meets_a_point_is_rounded_as_the_api_rounds_it(truths):
    """0.07 is below numpy's seventh point of 101, by one bit."""
    box = np.float32([[0, 0, 10, 10]])
    one = BoxTruth(box, np.int32([0]), np.zeros(1, bool))
    for hits in range(truths + 1):
        pictures = []
        for number in range(truths):
            own = np.repeat(box + (0 if number < hits else 50), 1 + number % 2, axis=0).astype(np.float32)
            scores = np.linspace(1, 0.5, len(own)) - number / 1000
            pictures.append((Detections(own, scores.astype(np.float32), np.zeros(len(own), np.int32)), one))
        if hits % (truths // 12) == 0:
            assert_as_the_api(pictures, 1)


def test_nothing_found_and_nothing_there():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    rng = np.random.default_rng(5)
    pictures = [random_picture(rng) for _ in range(6)]
    assert_as_the_api([(nothing, truth) for _, truth in pictures], 4)
    assert_as_the_api([(found, no_boxes()) for found, _ in pictures], 4)
    assert_as_the_api([(nothing, no_boxes())] * 3, 4)
    assert np.isnan(average_precision([]).mean)


def test_more_than_a_hundred_detections_of_a_class():
    rng = np.random.default_rng(1)
    assert_as_the_api([random_picture(rng, classes=2, most=400) for _ in range(6)], 2)


@pytest.mark.parametrize("seed", range(8))
def test_whole_weights_give_what_repeated_pictures_give(seed):
    rng = np.random.default_rng(seed)
    pictures = [random_picture(rng) for _ in range(20)]
    assert_as_the_api(pictures, 4, rng.integers(0, 4, 20))


def test_fractions_only_count_beside_each_other():
    rng = np.random.default_rng(3)
    pictures = [match(*random_picture(rng)) for _ in range(30)]
    once = average_precision(pictures)
    for scale in (0.1, 1 / 3, 1e-4, 1e5 / 7):
        np.testing.assert_allclose(average_precision(pictures, np.full(30, scale)).by_class, once.by_class, atol=1e-9)
    weights = rng.integers(0, 5, 30)
    np.testing.assert_allclose(
        average_precision(pictures, weights / 7).by_class, average_precision(pictures, weights).by_class, atol=1e-9
    )


def test_many_sets_of_weights_are_each_as_if_alone(monkeypatch):
    rng = np.random.default_rng(4)
    pictures = [match(*random_picture(rng)) for _ in range(25)]
    weights = rng.multinomial(25, np.full(25, 1 / 25), size=30)
    weights[0] = 0
    together = RankedPictures(pictures).by_class(weights)
    for one, found in zip(weights, together, strict=True):
        np.testing.assert_array_equal(average_precision(pictures, one).by_class, found)
    assert np.isnan(together[0]).all()
    monkeypatch.setattr("coachc.calib.metrics.average_precision._AT_ONCE", 200)
    np.testing.assert_array_equal(RankedPictures(pictures).by_class(weights), together)


def ones_matches(matched, truths, *, ignored=None, classes=None, truth_class=0):
    """Matches of one picture, the same at every threshold, by falling score."""
    count = len(matched)
    rows = [np.tile(np.array(row, bool), (len(THRESHOLDS), 1)) for row in (matched, ignored or [False] * count)]
    labels = np.zeros(count, np.int32) if classes is None else np.int32(classes)
    scores = np.linspace(0.9, 0.1, count).astype(np.float32)
    there = np.array([[truth_class, truths]] if truths else np.zeros((0, 2)), np.int64)
    return PictureMatches(labels, scores, *rows, there[:, 0].astype(np.int32), there[:, 1])


class TestOnePicture:
    @pytest.mark.parametrize(
        ("matches", "worth"),
        [
            (ones_matches([], 0), 1.0),
            (ones_matches([True], 1), 1.0),
            (ones_matches([], 2), 0.0),
            (ones_matches([True, False], 1), 1.0),  # a wrong one below all that is there costs nothing, in COCO's AP
            (ones_matches([False, True], 1), 0.5),
            (ones_matches([True], 2), 51 / 101),
            (ones_matches([True, False, True], 2), (51 + 50 * 2 / 3) / 101),
            (ones_matches([False], 0), 0.0),
            (ones_matches([True], 0, ignored=[True]), 1.0),  # within a crowd
            (ones_matches([True, False], 1, classes=[0, 1]), 0.5),  # a class that is not there
            (ones_matches([True, True], 1, classes=[0, 1], ignored=[False, True]), 1.0),
        ],
    )
    def test_by_hand(self, matches, worth):
        assert picture_ap(matches) == pytest.approx(worth, abs=1e-12)

    @pytest.mark.parametrize("seed", range(10))
    def test_the_whole_model_finds_all_of_its_own_answer(self, seed):
        found, _ = random_picture(np.random.default_rng(seed), most=40)
        has_area = (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
        found = Detections(*(part[has_area] for part in found))
        assert picture_ap(match(found, as_truth(found, 0.0))) == 1.0
        # What is below the score is not there, and wrong where a class has nothing above it.
        kept = found.scores >= 0.5
        sure = Detections(*(part[kept] for part in found))
        assert picture_ap(match(sure, as_truth(found, 0.5))) == 1.0

    def test_a_crowd_that_covers_at_some_thresholds_only(self):
        matches = ones_matches([True], 0, ignored=[True])
        matches.ignored[4:] = matches.matched[4:] = False
        assert picture_ap(matches) == pytest.approx(0.4)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_between_0_and_1_and_the_mean_of_a_single_picture_where_all_classes_are_there(self, seed):
        found, truth = random_picture(np.random.default_rng(seed))
        matches = match(found, truth)
        worth = picture_ap(matches)
        assert 0 <= worth <= 1
        if len(matches.truths) and set(matches.classes) <= set(matches.truth_classes):
            assert worth == pytest.approx(average_precision([matches]).mean)


def test_a_thousand_sets_of_500_pictures_take_seconds():
    """About 2 s on one core; the limit only tells that from what would make resampling unusable."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(500):
        labels = np.sort(rng.integers(0, 10, 20)).astype(np.int32)
        matched = np.sort(rng.random((10, 20)) < 0.4, axis=0)[::-1]
        truth_classes, truths = np.unique(rng.integers(0, 10, 12).astype(np.int32), return_counts=True)
        pictures.append(
            PictureMatches(labels, rng.random(20, np.float32), matched, np.zeros((10, 20), bool), truth_classes, truths)
        )
    weights = rng.multinomial(500, np.full(500, 1 / 500), size=1000)
    start = time.perf_counter()
    RankedPictures(pictures).by_class(weights)
    assert time.perf_counter() - start < 60
