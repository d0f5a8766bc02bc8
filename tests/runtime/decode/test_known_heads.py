import re

import numpy as np
import pytest

from coachc.runtime.decode.decoder import decoder_of
from coachc.runtime.decode.known_heads import guess

SIZE = (640, 640)


def guessed(shapes, whole=(), size=SIZE):
    names = [f"out{place}" for place in range(len(shapes))]
    dtypes = {name: "int64" if place in whole else "float32" for place, name in enumerate(names)}
    return guess(dict(zip(names, shapes)), dtypes, size)


KNOWN = [
    ([(1, 84, 8400)], (), SIZE, {"head": "yolov8", "classes": 80, "axis": 1, "strides": [8, 16, 32]}),
    ([(1, 5, 2100)], (), (320, 320), {"head": "yolov8", "classes": 1, "axis": 1, "strides": [8, 16, 32]}),
    ([(1, 24, 5040)], (), (384, 640), {"head": "yolov8", "classes": 20, "axis": 1, "strides": [8, 16, 32]}),
    ([(1, 14, 8500)], (), SIZE, {"head": "yolov8", "classes": 10, "axis": 1, "strides": [8, 16, 32, 64]}),
    ([(1, 25200, 85)], (), SIZE, {"head": "yolov5", "classes": 80, "strides": [8, 16, 32]}),
    ([(4, 25200, 6)], (), SIZE, {"head": "yolov5", "classes": 1, "strides": [8, 16, 32]}),
    ([(1, 300, 6)], (), SIZE, {"head": "nms", "form": "rows"}),
    ([(2, 100, 6)], (), (300, 300), {"head": "nms", "form": "rows"}),
    ([(1, 1), (1, 100, 4), (1, 100), (1, 100)], (0, 3), SIZE, {"head": "nms", "form": "efficient_nms"}),
    ([(50, 4), (50,), (50,)], (1,), SIZE, {"head": "nms", "form": "torchvision", "background": 0}),
    ([(1, 21, 512, 512)], (), (512, 512), {"kind": "mask", "head": "argmax", "classes": 21, "axis": 1}),
    ([(1, 2, 512, 256)], (), (512, 256), {"kind": "mask", "head": "argmax", "classes": 2, "axis": 1}),
    ([(1, 512, 512)], (0,), (512, 512), {"kind": "mask", "head": "classes"}),
    ([(1, 1, 512, 512)], (0,), (512, 512), {"kind": "mask", "head": "classes"}),
]


@pytest.mark.parametrize(("shapes", "whole", "size", "expected"), KNOWN)
def test_what_shapes_leave_no_doubt_about(shapes, whole, size, expected):
    found = guessed(shapes, whole, size)
    outputs = [f"out{place}" for place in range(len(shapes))]
    assert found.spec == dict({"kind": "boxes", "outputs": outputs}, **expected)
    assert found.reason
    # It is a specification but for the names of the classes.
    spec = dict({"classes": 5}, **found.spec)
    decoder_of(spec, dict(zip(outputs, shapes)), size)


def test_outputs_are_put_in_the_order_of_the_head():
    shapes = {"classes": (1, 9), "scores": (1, 9), "number": (1, 1), "boxes": (1, 9, 4)}
    dtypes = {"classes": "int32", "scores": "float32", "number": "int32", "boxes": "float32"}
    assert guess(shapes, dtypes, SIZE).spec["outputs"] == ["number", "boxes", "scores", "classes"]
    shapes = {"scores": (9,), "labels": (9,), "boxes": (9, 4)}
    dtypes = {"scores": "float32", "labels": "int64", "boxes": "float32"}
    assert guess(shapes, dtypes, SIZE).spec["outputs"] == ["boxes", "labels", "scores"]


OPEN = [
    ([(1, 8400, 85)], (), SIZE, "rows of 85, one a cell, are 5 \\+ 80 \\(YOLOX, decoded or not\\), 4 \\+ 81"),
    ([(1, 8400, 6)], (), SIZE, "rows of 6, one a cell"),
    ([(1, 56, 8400)], (), SIZE, "52 classes, or a pose model's one class and 17 key points"),
    ([(1, 4, 8400)], (), SIZE, "4 channels of 8400 cells are too few"),
    ([(1, 84, 84)], (), (64, 64), "84 and 84 both are counts of cells"),
    ([(1, 9000, 85)], (), SIZE, "9000 rows of 85 go with no strides"),
    ([(9, 7)], (), SIZE, "neither rows of boxes nor a map of the input's 640x640"),
    ([(1, 1000)], (), SIZE, "neither rows"),
    ([(1, 1, 640, 640)], (), SIZE, "a mask, or depth"),
    ([(1, 640, 640)], (), SIZE, "neither rows"),
    ([(1, 3, 640, 640)], (), SIZE, "three classes, or the colours of a picture"),
    ([(1, 21, 80, 80)], (), SIZE, "neither rows"),
    ([(1, 21, 640, 640)], (0,), SIZE, "neither rows"),
    ([(1, 84, 8400), (1, 32, 160, 160)], (), SIZE, "2 outputs: which of them are boxes"),
    ([(1, 255, 80, 80), (1, 255, 40, 40), (1, 255, 20, 20)], (), SIZE, "three outputs: maps of a level each"),
    ([(50, 4), (50,), (40,)], (1,), SIZE, "three outputs"),
    ([(1, 1), (1, 100, 4), (1, 100), (1, 100)], (), SIZE, "not EfficientNMS's"),
    ([(1, 1), (1, 1, 4), (1, 1), (1, 1)], (0, 3), SIZE, "not EfficientNMS's"),
    ([(1, 9), (1, 9), (1, 9), (1, 9)], (0, 3), SIZE, "not EfficientNMS's"),
    ([], (), SIZE, "0 outputs"),
]


@pytest.mark.parametrize(("shapes", "whole", "size", "reason"), OPEN)
def test_what_can_be_read_in_two_ways_is_not_guessed(shapes, whole, size, reason):
    found = guessed(shapes, whole, size)
    assert found.spec is None
    assert re.search(reason, found.reason), found.reason


def test_a_guess_finds_boxes():
    outputs = {"out0": np.zeros((1, 84, 8400), np.float32)}
    outputs["out0"][0, :, 5] = [50, 60, 10, 20] + [0] * 79 + [0.9]
    spec = guessed([(1, 84, 8400)]).spec
    (found,) = decoder_of(spec, {"out0": (1, 84, 8400)}, SIZE).decode(outputs)
    assert found.boxes.tolist() == [[45, 50, 55, 70]]
    assert found.classes.tolist() == [79]
