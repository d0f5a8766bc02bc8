"""What does not go with the outputs of the other box heads, each with its message."""

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
PRIORS = {"anchors": [[0.5, 0.5, 1, 1]] * 5}
MADE = {"sizes": [[1, 5]], "ratios": [[]], "scales": [0.1, 0.2]}
SSD = {"a": (1, 5, 4), "b": (1, 5, 3)}
SELECTED = {"a": (9, 3), "b": (1, 5, 4), "c": (1, 2, 5)}

#: Of each: the spec, the outputs, the message, and a part of the hint.
CASES = [
    (spec_of("ssd", "ab"), SSD, "'anchors' is missing: expected a list of .* or an object", "sizes, ratios, scales"),
    (spec_of("ssd", "a", **PRIORS), SSD, "'outputs': expected two: locations and scores, found \\[\"a\"\\]", "order"),
    (
        spec_of("ssd", "ba", **PRIORS),
        SSD,
        "output 'b': expected \\(B, N, 4\\), for 2 classes, found",
        "locations first",
    ),
    (spec_of("ssd", "ab", background=None, **PRIORS), SSD, "output 'b': expected \\(B, N, 2\\)", "but the background"),
    (
        spec_of("ssd", "ab", background=3, **PRIORS),
        SSD,
        "'background': expected an index below 3",
        "first class or the",
    ),
    (spec_of("ssd", "ab", anchors=[[0, 0, 1, 1]]), SSD, "output 'a': expected 1 rows, as there are anchors", "shares"),
    (spec_of("ssd", "ab", anchors=dict(MADE, size=3)), SSD, "'size' is unknown to anchors of head ssd", "clip, ratios"),
    (
        spec_of("ssd", "ab", anchors=dict(MADE, scales=[1])),
        SSD,
        "'anchors.scales': expected 2 entries, .*, found 1",
        "one more",
    ),
    (
        spec_of("ssd", "ab", anchors=dict(MADE, sizes=[[60000, 60000]])),
        SSD,
        "'anchors.sizes': expected 1048576 boxes at most, found 7200000000",
        "feature map",
    ),
    (spec_of("fcos", "abc"), levels(2), "'strides' is missing", "finest level first"),
    (
        spec_of("fcos", "abc", **STRIDES),
        levels(2),
        "'outputs': expected 6 names: 2 maps for each of 3 strides",
        "three",
    ),
    (
        spec_of("fcos", "badcfe", **STRIDES),
        levels(2, 4),
        "output 'b': expected \\(B, 2, H, W\\), for 2 classes",
        "by level",
    ),
    (spec_of("fcos", "afcbed", **STRIDES), levels(2, 4), "output 'f': expected a map of 8x12, for stride 8", "levels"),
    (
        spec_of("fcos", "ab", strides=[60]),
        {"a": (1, 2, 1, 1), "b": (1, 4, 1, 2)},
        "output 'b': expected maps of one size at one level",
        "level by level",
    ),
    (
        spec_of("nanodet", **STRIDES),
        {"a": (1, 126, 7)},
        "output 'a': expected 2 classes and 4 \\* R channels",
        "reg_max",
    ),
    (
        spec_of("nanodet", bins=2, **STRIDES),
        {"a": (1, 126, 6)},
        "output 'a': expected 2 classes and 4 \\* 2",
        "reg_max",
    ),
    (spec_of("nanodet", **STRIDES), {"a": (1, 127, 34)}, "output 'a': expected 126 rows", "strides"),
    (spec_of("nanodet", "ab", **STRIDES), levels(34), "'strides': expected one for each of 2 outputs", "finest"),
    (
        spec_of("nanodet", "ab", strides=[8, 16]),
        {"a": (1, 34, 8, 12), "b": (1, 30, 4, 6)},
        "output 'b': expected \\(B, 34, H, W\\), as the first output, found shape \\[1, 30, 4, 6\\]",
        "names",
    ),
    (spec_of("nms"), {"a": (1, 9, 6)}, '\'form\' is missing: expected one of "rows", "efficient_nms"', "table"),
    (spec_of("nms", "ab", form="rows"), SSD, "'outputs': expected 1 names for form rows", "order"),
    (
        spec_of("nms", form="rows"),
        {"a": (1, 9, 8)},
        "output 'a': expected rows \\(B, N, 6\\) of x1, y1, x2, y2",
        "score",
    ),
    (spec_of("nms", form="rows"), {"a": (9, 6)}, "output 'a': expected rows \\(B, N, 6\\) of x1, y1, x2, y2", "score"),
    (
        spec_of("nms", form="rows", columns=["x1"] * 6),
        {"a": (1, 9, 6)},
        "'columns': expected each column once",
        "order",
    ),
    (spec_of("nms", "abc", form="torchvision", columns=["x1"]), SELECTED, "'columns': expected no such key", "out"),
    (spec_of("nms", "abc", form="torchvision"), SELECTED, "output 'a': expected boxes \\(N, 4\\), labels", "order"),
    (
        spec_of("nms", "bac", form="selected_indices"),
        SELECTED,
        "output 'b': expected selected indices \\(M, 3\\)",
        "first",
    ),
    (
        spec_of("nms", "abc", form="selected_indices", classes=3),
        SELECTED,
        "output 'c': expected .* scores \\(B, 3, N\\), for 3 classes, found shape \\[1, 2, 5\\]",
        "first",
    ),
    (
        spec_of("nms", "abcd", form="efficient_nms"),
        {"a": (1, 1), "b": (1, 9, 4), "c": (1, 8), "d": (1, 9)},
        "output 'c': expected number \\(B, 1\\), boxes \\(B, M, 4\\)",
        "order",
    ),
    (
        spec_of("nms", "abcd", form="efficient_nms"),
        {"a": (2, 1), "b": (1, 9, 4), "c": (1, 9), "d": (1, 9)},
        "'outputs': expected outputs of one batch, found \"a of 2, b of 1, c of 1, d of 1 along their first axis\"",
        "as many rows",
    ),
    (
        spec_of("nms", "abc", form="torchvision", background=9),
        SELECTED,
        "'background': expected at most 2, found 9",
        "torch",
    ),
]


@pytest.mark.parametrize(("spec", "outputs", "message", "hint"), CASES)
def test_refusals(spec, outputs, message, hint):
    with pytest.raises(BundleError) as caught:
        decoder_of(spec, outputs, SIZE)
    assert re.match("decoder (key )?" + message, caught.value.message), caught.value.message
    assert hint in caught.value.hint, caught.value.hint
