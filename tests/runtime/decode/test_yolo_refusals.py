"""What does not go with the outputs of YOLOv5 and v8, each with its message."""

import re

import pytest

from coachc.runtime.decode.decoder import decoder_of
from coachc.runtime.errors import BundleError

SIZE = (64, 96)


def spec_of(head, outputs=("a",), **more):
    return dict({"kind": "boxes", "head": head, "classes": 2, "outputs": list(outputs)}, **more)


def levels(*channels):
    """Outputs a, b, c ... of maps at strides 8, 16, 32, as many a level as there are channels."""
    shapes = [(1, one, 64 // stride, 96 // stride) for stride in (8, 16, 32) for one in channels]
    return dict(zip("abcdefghi", shapes))


STRIDES = {"strides": [8, 16, 32]}
ANCHORS = {"anchors": [[[1, 2], [3, 4]]] * 3}

#: Of each: the spec, the outputs, the message, and a part of the hint.
CASES = [
    (
        spec_of("yolov5"),
        {"a": (1, 99, 8)},
        "output 'a': expected rows of 5 \\+ 2 classes, found .*8\\]",
        "else see yolov8",
    ),
    (spec_of("yolov5", strides=[8]), {"a": (1, 97, 7)}, "output 'a': expected rows for 3 anchors a cell", "anchors"),
    (
        spec_of("yolov5", strides=[8]),
        {"a": (1, 99, 7)},
        "output 'a': expected 96 rows, for an input of 64x96",
        "strides",
    ),
    (
        spec_of("yolov5", sigmoid=True),
        {"a": (1, 9, 7)},
        "'sigmoid': expected no such key for decoded rows, found true",
        "out",
    ),
    (
        spec_of("yolov5", strides=[8], anchors=[[[1, 2]], [[1, 2], [3, 4]]]),
        {"a": (1, 96, 7)},
        "'anchors': expected as many at every level, found \\[1, 2\\]",
        "one number",
    ),
    (
        spec_of("yolov5", "abc", **ANCHORS),
        levels(14),
        "'strides': expected one entry for each of 3 outputs .* null",
        "pix",
    ),
    (
        spec_of("yolov5", "abc", **STRIDES),
        levels(14),
        "'anchors': expected one entry for each of 3 outputs .* null",
        "yaml",
    ),
    (
        spec_of("yolov5", "abc", **dict(STRIDES, **ANCHORS)),
        levels(21),
        "output 'a': expected \\(B, 2\\*7, H, W\\) or \\(B, 2, H, W, 7\\), for 2 anchors, 2 classes, found",
        "the model's own",
    ),
    (
        spec_of("yolov5", "acb", **dict(STRIDES, **ANCHORS)),
        levels(14),
        "output 'c': expected a map of 4x6, for stride 16, found shape \\[2, 3\\]",
        "same order of levels",
    ),
    (
        spec_of("yolov8"),
        {"a": (1, 7, 99)},
        "output 'a': expected \\(B, 4 \\+ 2, N\\) or .*, for 2 classes, found",
        "yolox",
    ),
    (
        spec_of("yolov8"),
        {"a": (1, 6, 6)},
        "'axis': expected 1 or 2, where both axes are as long, found null",
        "channels",
    ),
    (spec_of("yolov8", axis=2), {"a": (1, 6, 99)}, "output 'a': expected \\(B, 4 \\+ 2, N\\)", "classes"),
    (
        spec_of("yolov8", strides=[8]),
        {"a": (1, 6, 99)},
        "output 'a': expected 96 rows, for an input of 64x96",
        "strides",
    ),
    (
        spec_of("yolov8", bins=16),
        {"a": (1, 6, 99)},
        "'bins': expected no such key for a decoded output, found 16",
        "out",
    ),
    (spec_of("yolov8", "abc"), levels(66), "'strides': expected as many as there are levels, in 3 outputs", "finest"),
    (
        spec_of("yolov8", "abc", strides=[8, 16]),
        levels(66),
        "'strides': expected as many .* found \\[8, 16\\]",
        "finest",
    ),
    (spec_of("yolov8", "abc", axis=1, **STRIDES), levels(66), "'axis': expected no such key for maps, found 1", "out"),
    (spec_of("yolov8", "abc", **STRIDES), levels(67), "output 'a': expected \\(B, 4\\*R \\+ 2, H, W\\)", "classes"),
    (
        spec_of("yolov8", "abc", bins=8, **STRIDES),
        levels(66),
        "output 'a': expected \\(B, 34, H, W\\), for 8 bins",
        "maps",
    ),
    (
        spec_of("yolov8", "badcfe", **STRIDES),
        levels(64, 2),
        "output 'b': expected \\(B, 4\\*R, H, W\\), found shape \\[1, 2, 8, 12\\]",
        "classes",
    ),
]


@pytest.mark.parametrize(("spec", "outputs", "message", "hint"), CASES)
def test_refusals(spec, outputs, message, hint):
    with pytest.raises(BundleError) as caught:
        decoder_of(spec, outputs, SIZE)
    assert re.match("decoder (key )?" + message, caught.value.message), caught.value.message
    assert hint in caught.value.hint, caught.value.hint
