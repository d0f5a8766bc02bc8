"""Keys that say what cannot be, each with its message: those of all decoders, and of masks."""

import re

import pytest

from coachc.runtime.decode import decode_spec
from coachc.runtime.decode.decoder import HEADS, decoder_of
from coachc.runtime.decode.scored_boxes import Rules
from coachc.runtime.errors import BundleError

SIZE = (64, 96)


def spec_of(head, outputs=("a",), **more):
    kind = "boxes" if head in HEADS["boxes"] else "mask"
    return dict({"kind": kind, "head": head, "classes": 2, "outputs": list(outputs)}, **more)


SSD = {"a": (1, 5, 4), "b": (1, 5, 3)}

#: Of each: the spec, the outputs, the message, and a part of the hint.
CASES = [
    (dict(spec_of("ssd"), kind="box"), {}, '\'kind\': expected one of "boxes", "mask", found "box"', "segmenters"),
    ({"head": "ssd"}, {}, '\'kind\' is missing: expected one of "boxes", "mask"', "boxes for detectors"),
    (spec_of("ssd", kind="mask"), {}, "'head': expected one of argmax, threshold, classes, found \"ssd\"", "kind mask"),
    (
        spec_of("rcnn", kind="boxes"),
        {},
        "'head': expected one of yolov5, yolov8, .*, nms, found \"rcnn\"",
        "kind boxes",
    ),
    (
        spec_of("yolox", ("a", "z")),
        {"a": (1, 1, 7)},
        "'outputs': expected names of the model's outputs, found \"z\"",
        "are a",
    ),
    (
        spec_of("yolox", ("a", "a")),
        {"a": (1, 1, 7)},
        '\'outputs\': expected each output once, found \\["a", "a"\\]',
        "list",
    ),
    (
        spec_of("yolox", classes=[]),
        {},
        "'classes': expected a whole number from 1 .* or a list of .*, found \\[\\]",
        "names",
    ),
    (spec_of("yolox", classes=True), {}, "'classes': expected a whole number .*, found true", "how many"),
    (spec_of("yolox", classes=["a", 3]), {}, "'classes': .*, found \\[\"a\", 3\\]", "how many"),
    (spec_of("yolox", iou=1.5), {}, "'iou': expected a number from 0 to 1, or null, found 1.5", "overlap"),
    (spec_of("yolox", score=float("nan")), {}, "'score': expected a number, found NaN", "from 0 to 1"),
    (spec_of("yolox", labels="some"), {}, '\'labels\': expected one of "best", "all", found "some"', "table"),
    (spec_of("yolox", by_class=1), {}, "'by_class': expected true or false, found 1", "table"),
    (spec_of("yolox", strides=[8, 0]), {}, "'strides': expected a list of one or more, each a whole number", "finest"),
    (spec_of("yolox", anchors=[]), {}, "'anchors' is unknown to head yolox", "by_class, candidates, classes, decoded"),
    (spec_of("yolox", ("a", "b")), SSD, '\'outputs\': expected one output, found \\["a", "b"\\]', "names"),
    (
        spec_of("yolox"),
        {"a": (1, 126, 8)},
        "output 'a': expected \\(B, N, 5 \\+ 2\\), .*, found shape \\[1, 126, 8\\]",
        "all",
    ),
    (
        spec_of("yolox"),
        {"a": (1, 99, 7)},
        "output 'a': expected 126 rows, for an input of 64x96 and strides \\[8, 16, 32\\]",
        "built",
    ),
    (spec_of("argmax", "ab"), SSD, "'outputs': expected one output, found", "names"),
    (
        spec_of("argmax"),
        {"a": (1, 3, 8, 8)},
        "output 'a': expected \\(B, C, H, W\\), for two or more classes, here 2",
        "axis",
    ),
    (spec_of("argmax", axis=3), {"a": (1, 2, 8, 8)}, "output 'a': expected \\(B, H, W, C\\)", "axis"),
    (spec_of("argmax", classes=1), {"a": (1, 1, 8, 8)}, "output 'a': expected .* two or more", "takes head threshold"),
    (spec_of("argmax", axis=2), {}, "'axis': expected one of 1, 3, found 2", "1 for"),
    (spec_of("argmax", score=1), {}, "'score' is unknown to head argmax", "axis, classes, head, kind, outputs"),
    (
        spec_of("threshold", classes=1),
        {"a": (1, 8, 8)},
        "'classes': expected two, of a mask of one threshold",
        "stand for",
    ),
    (spec_of("threshold", channel=1), {"a": (1, 8, 8)}, "'channel': expected no such key for an output without", "out"),
    (spec_of("threshold", channel=1), {"a": (1, 1, 8, 8)}, "output 'a': expected .* channel 1 along axis 1", "channel"),
    (spec_of("classes"), {"a": (1, 2, 8, 8)}, "output 'a': expected \\(B, H, W\\), .* of class numbers", "argmax"),
]


@pytest.mark.parametrize(("spec", "outputs", "message", "hint"), CASES)
def test_refusals(spec, outputs, message, hint):
    with pytest.raises(BundleError) as caught:
        decoder_of(spec, outputs, SIZE)
    assert re.match("decoder (key )?" + message, caught.value.message), caught.value.message
    assert hint in caught.value.hint, caught.value.hint


def test_what_is_no_object_is_refused():
    with pytest.raises(BundleError, match="decoder: expected an object, found a list"):
        decoder_of([], {}, SIZE)


def test_every_key_is_in_the_table():
    named = set(re.findall(r"^([a-z_]+) +\w", decode_spec.__doc__, flags=re.MULTILINE))
    keys = {"kind", "head", "classes", "outputs"}.union(Rules._fields)
    for heads in HEADS.values():
        for head in heads.values():
            keys.update(head.keys)
    assert keys <= named, keys - named
