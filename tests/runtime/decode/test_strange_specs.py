"""Specifications changed at random are decoded or refused, and nothing else happens."""

import numpy as np
import pytest

from coachc.runtime.decode.decoder import HEADS, decoder_of
from coachc.runtime.errors import BundleError

SIZE = (64, 96)


def spec_of(head, outputs=("a",), **more):
    kind = "boxes" if head in HEADS["boxes"] else "mask"
    return dict({"kind": kind, "head": head, "classes": 2, "outputs": list(outputs)}, **more)


def levels(*channels):
    """Outputs a, b, c ... of maps at strides 8, 16, 32, as many a level as there are channels."""
    shapes = [(1, one, 64 // stride, 96 // stride) for stride in (8, 16, 32) for one in channels]
    return dict(zip("abcdefghi", shapes))


STRIDES = {"strides": [8, 16, 32]}
ANCHORS = {"anchors": [[[1, 2], [3, 4]]] * 3}
PRIORS = {"anchors": [[0.5, 0.5, 1, 1]] * 5}
MADE = {"sizes": [[1, 5]], "ratios": [[]], "scales": [0.1, 0.2]}
SSD = {"a": (1, 5, 4), "b": (1, 5, 3)}
SSD_EIGHT = {"a": (1, 8, 4), "b": (1, 8, 3)}
SELECTED = {"a": (9, 3), "b": (1, 5, 4), "c": (1, 2, 5)}

#: Specifications and outputs that go together, one of every form.
SOUND = [
    (spec_of("yolov5", **STRIDES), {"a": (1, 378, 7)}),
    (spec_of("yolov5", "abc", **dict(STRIDES, **ANCHORS)), levels(14)),
    (spec_of("yolov8"), {"a": (1, 6, 126)}),
    (spec_of("yolov8", "abc", **STRIDES), levels(66)),
    (spec_of("yolov8", "abcdef", **STRIDES), levels(16, 2)),
    (spec_of("yolox"), {"a": (1, 126, 7)}),
    (spec_of("ssd", "ab", **PRIORS), SSD),
    (spec_of("ssd", "ab", anchors=dict(MADE, sizes=[[1, 2], [1, 1]], ratios=[[], [1]], scales=[1, 1, 1])), SSD_EIGHT),
    (spec_of("fcos", "abcdef", **STRIDES), levels(2, 4)),
    (spec_of("nanodet", **STRIDES), {"a": (1, 126, 34)}),
    (spec_of("nanodet", "abc", **STRIDES), levels(34)),
    (spec_of("nms", form="rows"), {"a": (1, 9, 6)}),
    (spec_of("nms", form="rows"), {"a": (9, 7)}),
    (spec_of("nms", "abcd", form="efficient_nms"), {"a": (1, 1), "b": (1, 9, 4), "c": (1, 9), "d": (1, 9)}),
    (spec_of("nms", "abc", form="torchvision"), {"a": (9, 4), "b": (9,), "c": (9,)}),
    (spec_of("nms", "abc", form="selected_indices"), SELECTED),
    (spec_of("argmax"), {"a": (1, 2, 8, 8)}),
    (spec_of("threshold"), {"a": (1, 1, 8, 8)}),
    (spec_of("classes"), {"a": (1, 8, 8)}),
]
#: What may stand in the place of any value of a JSON object, and in that of any shape.
STRANGE = [
    None,
    True,
    -1,
    0,
    1,
    2,
    10**30,
    0.5,
    1e308,
    "",
    "a",
    "none",
    [],
    [[]],
    ["a"],
    [8, 16],
    [[0.5] * 4],
    {},
    MADE,
]
SHAPES = [(1,), (0, 0), (9, 4), (1, 6, 9), (1, 9, 7), (0, 126, 7), (1, 14, 8, 12), (1, 2, 8, 12, 7), (1, 1, 64, 96)]


@pytest.mark.parametrize(("spec", "outputs"), SOUND)
def test_no_specification_crashes(spec, outputs):
    rng = np.random.RandomState(0)
    keys = sorted(HEADS[spec["kind"]][spec["head"]].keys) + ["score", "iou", "most", "classes", "outputs", "head"]
    made = 0
    for trial in range(300):
        changed, shapes = dict(spec), dict(outputs)
        for key in rng.choice(keys, rng.randint(3) if trial else 0):
            changed[str(key)] = STRANGE[rng.randint(len(STRANGE))]
        if rng.randint(4) == 0 and trial:
            shapes[sorted(shapes)[rng.randint(len(shapes))]] = SHAPES[rng.randint(len(SHAPES))]
        try:
            decoder = decoder_of(changed, shapes, SIZE)
        except BundleError as exc:
            assert exc.message.startswith("decoder ")
            assert exc.hint
            continue
        made += 1
        decoder.decode({name: rng.normal(0, 300, shape).astype(np.float32) for name, shape in shapes.items()}, 0.0)
    assert made > 50
