"""Image flags and the preprocessing they become."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from coachc.cli.flags.image_flags import ImageFlags, parse_resize_to, preprocess_of
from coachc.core.graph import Value
from coachc.errors import UsageError
from coachc.runtime.bundle.manifest_types import Preprocess


def model_of(*shapes, dtype="float32"):
    values = {f"x{i}": Value(f"x{i}", dtype, shape) for i, shape in enumerate(shapes)}
    return SimpleNamespace(values=values, inputs=tuple(values))


PICTURE = model_of((1, 3, 24, 32))


def test_the_defaults():
    assert preprocess_of(PICTURE, ImageFlags()) == Preprocess(
        (24, 32), "bilinear", "rgb", "nchw", 255.0, (0.0,) * 3, (1.0,) * 3, orientation="exif"
    )
    gray = preprocess_of(model_of((1, 24, 32, 1)), ImageFlags(mean="0.5"))
    assert gray == Preprocess((24, 32), "bilinear", "gray", "nhwc", 255.0, (0.5,), (1.0,), orientation="exif")


def test_which_way_up():
    assert preprocess_of(PICTURE, ImageFlags(orientation="stored")).orientation == "stored"
    with pytest.raises(UsageError, match="--orientation 'up' is unknown") as caught:
        preprocess_of(PICTURE, ImageFlags(orientation="up"))
    assert caught.value.hint == "one of stored, exif"


CAMERA = model_of((1, 24, 32, 3), dtype="uint8")


@pytest.mark.parametrize("flags", [{}, {"pixel_scale": 1.0, "mean": "0,0,0", "std": "1.0"}])
def test_a_camera_of_bytes_gets_pixels(flags):
    found = preprocess_of(CAMERA, ImageFlags(**flags))
    assert (found.pixel_scale, found.mean, found.std, found.layout) == (1.0, (0.0,) * 3, (1.0,) * 3, "nhwc")


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ({"mean": "0.5"}, "found  pixel scale 1, mean 0.5, std 1"),
        ({"std": "0.2,0.2,0.3"}, "found  pixel scale 1, mean 0, std 0.2,0.2,0.3"),
        ({"pixel_scale": 255.0}, "found  pixel scale 255, mean 0, std 1"),
    ],
)
def test_a_camera_of_bytes_normalizes_by_itself(flags, found):
    with pytest.raises(UsageError, match=r"input 'x0' takes pixels as they are \(uint8\), which --mean") as caught:
        preprocess_of(CAMERA, ImageFlags(**flags))
    assert caught.value.context == (found,)
    assert caught.value.hint == "leave them out: the model normalizes by itself"


@pytest.mark.parametrize(
    "shapes", [[(1, 4, 8, 8)], [(1, 3, 8)], [(1, 3)], [(1, 3, 8, 8), (1, 3, 8, 8)]], ids=["channels", "3", "2", "two"]
)
def test_inputs_that_are_no_picture(shapes):
    assert preprocess_of(model_of(*shapes), ImageFlags()) is None


@pytest.mark.parametrize(
    ("crop", "resize_to", "expected"),
    [
        ("", "", ("none", ())),
        ("none", "", ("none", ())),
        ("center-square", "", ("center-square", ())),
        ("", "40", ("center", (40,))),
        ("center", "40", ("center", (40,))),
        ("center", "40x48", ("center", (40, 48))),
        ("", "24X32", ("center", (24, 32))),
    ],
)
def test_crops(crop, resize_to, expected):
    found = preprocess_of(PICTURE, ImageFlags(crop=crop, resize_to=resize_to))
    assert (found.crop, found.resize_to) == expected
    assert found.fill == ()


@pytest.mark.parametrize(("text", "fill"), [("", (114,) * 3), ("0", (0, 0, 0)), ("1,2,255", (1, 2, 255))])
def test_what_surrounds_a_letterbox(text, fill):
    for crop in ("letterbox", "letterbox-corner"):
        assert preprocess_of(PICTURE, ImageFlags(crop=crop, fill=text)).fill == fill


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        ({"crop": "corner"}, "--crop 'corner' is unknown", "one of none, center, center-square"),
        ({"fill": "114"}, "--fill 114 is for --crop letterbox", ""),
        ({"crop": "letterbox", "fill": "256"}, "--fill '256' is no pixel", "whole numbers of 0 to 255"),
        ({"crop": "letterbox", "fill": "0.5"}, "--fill '0.5' is no pixel", "whole numbers of 0 to 255"),
        ({"crop": "letterbox", "fill": "1,2"}, "--fill has 2 numbers, the model's input has 3 channels", ""),
        ({"crop": "letterbox", "resize_to": "40"}, "--resize-to 40 does not go with --crop letterbox", ""),
        ({"crop": "center"}, "--crop center needs the size that is cropped from", "for example --resize-to 256"),
        (
            {"crop": "none", "resize_to": "40"},
            "--resize-to 40 does not go with --crop none",
            "--crop center crops what",
        ),
        ({"crop": "center-square", "resize_to": "40"}, "--resize-to 40 does not go with --crop center-square", ""),
        ({"resize_to": "31"}, "--resize-to 31 is smaller than the model's input of 24x32", ""),
        ({"resize_to": "40x31"}, "--resize-to 40x31 is smaller than the model's input of 24x32", ""),
        ({"size": (24, 24)}, "the recipe is for inputs of 24x24, the model takes 24x32", ""),
        ({"layout": "nhwc"}, "the recipe is for layout nhwc, the model's input is nchw", ""),
        ({"resize": "stretch"}, "--resize 'stretch' is unknown", "one of nearest, bilinear"),
        ({"color": "gray"}, r"--color 'gray' does not suit an input of 3 channel\(s\)", "one of rgb"),
        ({"pixel_scale": -1.0}, "--pixel-scale -1 is not a positive number", "255 maps pixels to 0..1"),
        ({"std": "0"}, "--std '0' has a number that is not positive", ""),
        ({"mean": "1,2"}, "--mean has 2 numbers, the model's input has 3 channels", ""),
        ({"mean": "x"}, "--mean 'x' is not a list of numbers", "for example --mean 0.485"),
    ],
)
def test_flags_that_make_no_sense(flags, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        preprocess_of(PICTURE, ImageFlags(**flags))
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(("text", "lengths"), [("", ()), ("256", (256,)), ("256x320", (256, 320)), ("1X2", (1, 2))])
def test_lengths(text, lengths):
    assert parse_resize_to(text) == lengths


@pytest.mark.parametrize("text", ["0", "-5", "256px", "1x2x3", "x", "256x", "2.5"])
def test_no_lengths(text):
    with pytest.raises(UsageError, match=f"--resize-to '{text}' is no length") as caught:
        parse_resize_to(text)
    assert caught.value.hint == "--resize-to 256 (shorter side) or 256x320 (height x width)"
