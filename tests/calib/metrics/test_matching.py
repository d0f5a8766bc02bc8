"""Matches of one picture, by hand; `test_average_precision` holds them to the API's own run."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from coachc.calib.metrics import matching
from coachc.calib.metrics.matching import MOST_DETECTIONS, match
from coachc.calib.truths.box_truth import BoxTruth, no_boxes
from coachc.errors import ToolchainError
from coachc.runtime.decode.detections import Detections

needs_api = pytest.mark.needs("pycocotools")


def found(*rows):
    """Detections of rows x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def truth(*rows, crowd=()):
    """A truth of rows x1, y1, x2, y2, class; `crowd`: places of crowds."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return BoxTruth(table[:, :4], table[:, 4].astype(np.int32), np.isin(np.arange(len(table)), crowd))


def counts(rows):
    """At how many thresholds each detection is so."""
    return rows.sum(axis=0).tolist()


@needs_api
class TestMatch:
    def test_a_box_matches_up_to_its_overlap(self):
        # Overlaps 1, 0.8 (at thresholds 0.50 to 0.80) and 0.4.
        there = truth((0, 0, 10, 10, 3), (20, 0, 30, 10, 3), (40, 0, 50, 10, 3))
        matches = match(found((0, 0, 10, 10, 0.9, 3), (20, 0, 30, 8, 0.8, 3), (40, 0, 50, 4, 0.7, 3)), there)
        assert counts(matches.matched) == [10, 7, 0]
        assert (matches.truth_classes.tolist(), matches.truths.tolist()) == ([3], [3])
        assert not matches.ignored.any()

    def test_the_higher_score_takes_the_truth_and_the_other_goes_without(self):
        there = truth((0, 0, 10, 10, 0))
        matches = match(found((0, 0, 10, 9, 0.9, 0), (0, 0, 10, 10, 0.5, 0)), there)
        # The first has 0.9: from 0.95 on the second one takes it.
        assert counts(matches.matched) == [9, 1]

    def test_other_classes_match_nothing_and_come_in_their_order(self):
        there = truth((0, 0, 10, 10, 1))
        matches = match(found((0, 0, 10, 10, 0.9, 2), (0, 0, 10, 10, 0.5, 1), (5, 5, 9, 9, 0.4, 0)), there)
        assert matches.classes.tolist() == [0, 1, 2]
        assert matches.scores.tolist() == pytest.approx([0.4, 0.5, 0.9])
        assert counts(matches.matched) == [0, 10, 0]

    def test_a_crowd_takes_any_number_and_is_no_truth(self):
        there = truth((0, 0, 40, 40, 0), (50, 0, 60, 10, 0), crowd=[0])
        matches = match(found((0, 0, 9, 9, 0.9, 0), (20, 20, 29, 29, 0.8, 0), (50, 0, 60, 10, 0.7, 0)), there)
        assert counts(matches.ignored) == [10, 10, 0]
        assert counts(matches.matched) == [10, 10, 10]
        assert matches.truths.tolist() == [1]

    def test_the_hundred_highest_of_each_class_count(self):
        boxes = [(0, 0, 5, 5, 1 - n / 1000, n % 2) for n in range(300)]
        matches = match(found(*boxes), truth((0, 0, 5, 5, 1)))
        assert np.bincount(matches.classes).tolist() == [MOST_DETECTIONS] * 2
        assert matches.scores[:100].min() == pytest.approx(1 - 198 / 1000)

    def test_nothing(self):
        matches = match(found(), no_boxes())
        assert (matches.classes.size, matches.matched.shape, matches.truths.size) == (0, (10, 0), 0)
        assert match(found(), truth((0, 0, 1, 1, 7))).truths.tolist() == [1]
        assert match(found((0, 0, 1, 1, 0.5, 7)), no_boxes()).classes.tolist() == [7]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_no_number_is_found_wrongly(self, value):
        there = truth((0, 0, 10, 10, 0))
        matches = match(found((0, 0, value, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0)), there)
        assert counts(matches.matched) == [0, 10]
        assert not matches.ignored.any()
        lowest = match(found((0, 0, 10, 10, np.nan, 0), (0, 0, 10, 10, 0.8, 0)), there)
        assert (lowest.scores.tolist()[1], counts(lowest.matched)) == (-np.inf, [10, 0])

    def test_boxes_without_area_match_nothing_not_even_each_other(self):
        matches = match(found((3, 3, 3, 3, 0.9, 0), (5, 5, 4, 4, 0.8, 0)), truth((3, 3, 3, 3, 0)))
        assert counts(matches.matched) == [0, 0]
        assert matches.truths.tolist() == [1]

    def test_a_box_as_large_as_no_picture_is_still_wrong(self):
        """The API ignores what is larger than 1e5 pixels square; a split model must not get away with that."""
        matches = match(found((-1e6, -1e6, 1e6, 1e6, 0.9, 0)), truth((0, 0, 10, 10, 0)))
        assert not matches.ignored.any()

    def test_equal_matches(self):
        there = truth((0, 0, 10, 10, 0))
        one = match(found((0, 0, 10, 10, 0.9, 0)), there)
        assert one.same_as(match(found((0, 0, 10, 10, 0.9, 0)), there))
        assert one.same_as(match(found((0, 0, 10, 9.99, 0.9, 0)), there))
        assert not one.same_as(match(found((0, 0, 10, 10, 0.8, 0)), there))
        assert not one.same_as(match(found(), there))


def test_without_the_library(monkeypatch):
    matching._pycocotools.cache_clear()
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ToolchainError, match="pycocotools is not installed, and boxes are matched by it") as caught:
        match(found((0, 0, 1, 1, 0.5, 0)), truth((0, 0, 1, 1, 0)))
    assert caught.value.hint == "pip install 'coachc[detect]'"
