"""The loss of mAP, its bound, and that the bound is no lower than what is known for sure."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.metrics.average_precision import average_precision
from coachc.calib.metrics.loss_resampling import resampled_loss_bound
from coachc.calib.metrics.matching import PictureMatches


def picture(rng, classes=3, found=0.9):
    """Two truths or so, found with some probability, and something that is wrong."""
    labels = np.sort(rng.integers(0, classes, int(rng.integers(1, 4)))).astype(np.int32)
    truth_classes, truths = np.unique(labels, return_counts=True)
    limits = rng.uniform(0.3, 1.0, len(labels)) * (rng.random(len(labels)) < found)
    matched = limits >= np.linspace(0.5, 0.95, 10)[:, None]
    scores = rng.random(len(labels)).astype(np.float32)
    order = np.lexsort((-scores, labels))
    ignored = np.zeros_like(matched)
    return PictureMatches(labels[order], scores[order], matched[:, order], ignored, truth_classes, truths)


def without(one):
    return PictureMatches(
        one.classes[:0], one.scores[:0], one.matched[:, :0], one.ignored[:, :0], one.truth_classes, one.truths
    )


@pytest.fixture
def whole():
    rng = np.random.default_rng(0)
    return [picture(rng) for _ in range(120)]


def bound(whole, split, units=None, level=0.05, seed=0, resamples=500):
    units = np.arange(len(whole)) if units is None else units
    return resampled_loss_bound(whole, split, units, level, seed, resamples)


def test_the_loss_is_that_of_the_pictures(whole):
    split = [without(one) if place < 6 else one for place, one in enumerate(whole)]
    found = bound(whole, split)
    before, after = average_precision(whole), average_precision(split)
    assert (found.mean.whole, found.mean.split) == pytest.approx((before.mean, after.mean))
    assert (found.at50.whole, found.at50.split) == pytest.approx((before.at50, after.at50))
    for one in (found.mean, found.at50):
        assert one.loss == pytest.approx(one.whole - one.split)
        assert one.loss < one.bound < 0.2
    assert found.changed == 6


def test_a_seed_gives_one_bound_and_a_stricter_level_a_higher_one(whole):
    split = [without(one) if place < 6 else one for place, one in enumerate(whole)]
    assert bound(whole, split, seed=3) == bound(whole, split, seed=3) != bound(whole, split, seed=4)
    assert bound(whole, split, level=0.01).mean.bound > bound(whole, split, level=0.2).mean.bound


def test_where_nothing_is_lost_units_still_say_only_so_much(whole):
    """Of n units none of which loses, a share of about 3 / n may yet lose all: of a class they are in, more."""
    for count in (30, 120):
        found = bound(whole[:count], whole[:count], resamples=2000)
        assert (found.mean.loss, found.changed) == (0.0, 0)
        assert 1 < found.mean.bound / found.mean.whole / (1 - 0.05 ** (1 / count)) < 2


def test_pictures_of_a_clip_stand_or_fall_together(whole):
    clips = np.repeat(np.arange(20), 6) * 7 + 3
    split = [without(one) if clip == 3 else one for clip, one in zip(clips, whole, strict=True)]
    together, alone = bound(whole, split, clips), bound(whole, split)
    assert (together.changed, alone.changed) == (1, 6)
    assert together.mean.loss == alone.mean.loss
    assert together.mean.bound > alone.mean.bound * 1.5


def test_a_gain_is_no_loss(whole):
    worse = [without(one) if place % 3 == 0 else one for place, one in enumerate(whole)]
    found = bound(worse, whole)
    assert found.mean.loss < found.mean.bound < 0


def test_one_unit_says_little(whole):
    found = bound(whole, whole, np.zeros(120, int))
    assert found.mean.bound > 0.8 * found.mean.whole


def test_nothing_to_find():
    rng = np.random.default_rng(1)
    nothing = [one._replace(truth_classes=one.truth_classes[:0], truths=one.truths[:0]) for one in [picture(rng)] * 3]
    for pictures in (nothing, []):
        found = bound(pictures, pictures)
        assert np.isnan(found.mean.loss)
        assert (found.mean.bound, found.at50.bound) == (1.0, 1.0)
