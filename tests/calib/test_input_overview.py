"""Ranges and pictures seen in passing, and what makes coachc doubt them."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib import input_overview as module
from coachc.calib.input_overview import Observer, channel_axis, doubts
from coachc.core.graph import Value
from coachc.runtime.bundle.manifest_types import Preprocess

PICTURE = Value("x", "float32", (1, 3, 4, 5))
IMAGENET = Preprocess((4, 5), "bilinear", "rgb", "nchw", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def seen(arrays, value=PICTURE):
    observer = Observer([value])
    for index, array in enumerate(arrays):
        observer(index, {value.name: np.asarray(array)})
    return observer.report()


def pictures(low=0.0, high=1.0, count=8, shape=PICTURE.shape):
    rng = np.random.default_rng(0)
    for _ in range(count):
        array = rng.uniform(low, high, shape).astype(np.float32)
        array[0, :, 0, 0], array[0, :, 0, 1] = low, high
        yield array


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1, 3, 8, 8), 1),
        ((2, 1, 8, 8), 1),
        ((1, 8, 8, 3), 3),
        ((1, 8, 8, 1), 3),
        ((1, 3, 8, 3), 1),
        ((1, 4, 8, 8), None),
        ((1, 3, 8), None),
        ((1, 3), None),
    ],
)
def test_channels_of_a_picture(shape, axis):
    assert channel_axis(shape) == axis


def test_ranges_of_each_channel():
    arrays = [np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5) * scale for scale in (1, -1, 2)]
    found = seen(arrays)
    assert found.samples == 3
    (ranges,) = found.ranges
    assert (ranges.name, ranges.shape, ranges.dtype) == ("x", (1, 3, 4, 5), "float32")
    assert [(c.low, c.high) for c in ranges.channels] == [(-19, 38), (-39, 78), (-59, 118)]
    assert [c.mean for c in ranges.channels] == pytest.approx([9.5 * 2 / 3, 29.5 * 2 / 3, 49.5 * 2 / 3])


def test_channels_at_the_end_and_no_channels():
    array = np.arange(60, dtype=np.float32).reshape(1, 4, 5, 3)
    found = seen([array], Value("x", "float32", (1, 4, 5, 3)))
    assert [(c.low, c.high) for c in found.ranges[0].channels] == [(0, 57), (1, 58), (2, 59)]
    assert np.array_equal(found.pictures[0], array[0])
    found = seen([np.int64([[3, 1, 2]])], Value("x", "int64", (1, 3)))
    assert [(c.low, c.mean, c.high) for c in found.ranges[0].channels] == [(1, 2, 3)]
    assert found.pictures == []


def test_empty_inputs_have_no_range():
    found = seen([np.zeros((1, 0), np.float32)] * 3, Value("x", "float32", (1, 0)))
    assert (found.samples, found.ranges, found.pictures) == (3, (), [])
    assert doubts(found, None) == []


def test_only_the_first_samples_count_and_only_once():
    observer = Observer([PICTURE])
    arrays = list(pictures(count=module.RANGE_SAMPLES + 10))
    for index, array in enumerate(arrays):
        observer(index, {"x": array})
    observer(0, {"x": arrays[0] + 100})
    found = observer.report()
    assert found.samples == module.RANGE_SAMPLES
    assert found.ranges[0].channels[0].high == 1
    assert len(found.pictures) == module.PICTURES
    assert all(np.array_equal(kept, a[0].transpose(1, 2, 0)) for kept, a in zip(found.pictures, arrays, strict=False))


def test_large_pictures_are_thinned():
    array = np.arange(3 * 1000 * 600, dtype=np.float32).reshape(1, 3, 1000, 600)
    kept = seen([array], Value("x", "float32", array.shape)).pictures[0]
    assert np.array_equal(kept, array[0, :, ::4, ::4].transpose(1, 2, 0))


class TestDoubts:
    def test_none(self):
        assert doubts(seen(pictures(-1.8, 2.2)), IMAGENET) == []
        assert doubts(seen(pictures(0, 255)), None) == []
        plain = IMAGENET._replace(mean=(0.0,) * 3, std=(1.0,) * 3)
        assert doubts(seen(pictures()), plain) == []
        assert doubts(seen(pictures(0, 255)), plain._replace(pixel_scale=1.0)) == []
        # MobileNetV2's pixel / 127.5 - 1, SqueezeNet's means of 0..255, TensorFlow's (pixel - 127.5) / 127.5.
        assert doubts(seen(pictures(-1, 1)), plain._replace(pixel_scale=127.5, mean=(1.0,) * 3)) == []
        caffe = plain._replace(pixel_scale=1.0, mean=(104.0, 117.0, 123.0))
        assert doubts(seen(pictures(-104, 132)), caffe) == []
        assert doubts(seen(pictures(-1, 1)), plain._replace(pixel_scale=1.0, mean=(127.5,) * 3, std=(127.5,) * 3)) == []

    def test_arrays_that_are_not_preprocessed(self):
        (doubt,) = doubts(seen(pictures(0, 255)), IMAGENET)
        assert doubt == (
            "input 'x' channel 0 spans 0 to 255, but pixels / 255, minus 0.485, over 0.229 lie between -2.118 and "
            "2.249: the arrays are not preprocessed as the flags say"
        )
        assert "spans -1 to 1" in doubts(seen(pictures(-1, 1)), IMAGENET._replace(mean=(0.0,) * 3, std=(1.0,) * 3))[0]

    def test_means_of_unit_pixels_for_pixels_up_to_255(self):
        (doubt,) = doubts(seen(pictures(-2, 1111)), IMAGENET._replace(pixel_scale=1.0))
        assert doubt == (
            "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225 look like those of pixels scaled to 0..1, but with "
            "--pixel-scale 1 pixels reach 255"
        )

    def test_means_of_large_pixels_for_unit_pixels(self):
        wrong = IMAGENET._replace(mean=(123.7, 116.3, 103.5), std=(1.0,) * 3)
        (doubt,) = doubts(seen(pictures(-123.7, -102.5)), wrong)
        assert doubt == (
            "mean 123.7,116.3,103.5 and std 1,1,1 are larger than any pixel / 255: those of pixels 0..255 go with "
            "--pixel-scale 1"
        )

    def test_a_constant_channel(self):
        arrays = list(pictures())
        for array in arrays:
            array[:, 1] = 0.25
        assert doubts(seen(arrays), None) == ["input 'x' channel 1 is constant (0.25) in the first 8 samples"]
        assert doubts(seen([[[2.0, 2.0]]] * 3, Value("x", "float32", (1, 2))), None) == [
            "input 'x' is constant (2) in the first 3 samples"
        ]
        # A scalar has one value a sample, and the same one each time is nothing to wonder at.
        assert doubts(seen([[2.0]] * 3, Value("x", "float32", (1,))), None) == []

    @pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]], ids=str)
    def test_values_that_are_not_finite(self, values):
        arrays = list(pictures())
        arrays[3][0, 2, 1, : len(values)] = values
        assert doubts(seen(arrays), None) == ["input 'x' channel 2 has values that are not finite"]


def test_samples_that_are_all_the_same_are_said():
    one = next(pictures())
    assert doubts(seen([one] * 5), None) == ["the first 5 samples are all the same"]
    assert doubts(seen([one]), None) == []
    assert doubts(seen([one] * 4 + [one + np.float32(0.001)]), None) == []


def test_pixels_as_they_are_where_nothing_says_so():
    raw = [np.rint(array) for array in pictures(0, 255)]
    (said,) = doubts(seen(raw), None)
    assert said.startswith("input 'x' holds whole numbers from 0 to 255, as pixels do before they are normalised")
    # A recipe that says so, fractions, other ranges and inputs that are no pictures give no doubt.
    as_they_are = Preprocess((4, 5), "bilinear", "rgb", "nchw", 1.0, (0.0,) * 3, (1.0,) * 3)
    assert doubts(seen(raw), as_they_are) == []
    assert doubts(seen(pictures(0, 255)), None) == []
    assert doubts(seen([array - 128 for array in raw]), None) == []
    assert doubts(seen([np.rint(array) for array in pictures(0, 1)]), None) == []
    codes = Value("x", "float32", (1, 60))
    assert doubts(seen([array.reshape(1, 60) for array in raw], codes), None) == []
    camera = Value("x", "uint8", (1, 3, 4, 5))
    assert doubts(seen([array.astype(np.uint8) for array in raw], camera), None) == []
