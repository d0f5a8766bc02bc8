"""Outputs of models that suppress by themselves."""

import numpy as np
import pytest

from coachc.runtime.decode.decoder import decoder_of

SIZE = (64, 96)
BOXES = np.array([[1, 2, 11, 22], [5, 6, 25, 36], [7, 8, 17, 18], [0, 0, 50, 60]], np.float32)
SCORES = np.array([0.5, 0.9, 0.1, 0.7], np.float32)
LABELS = np.array([2, 0, 1, 2])
#: By falling score, those over 0.25.
ORDER = [1, 3, 0]


def decode(outputs, **spec):
    spec = dict({"kind": "boxes", "head": "nms", "classes": 3, "outputs": list(outputs)}, **spec)
    return decoder_of(spec, {name: array.shape for name, array in outputs.items()}, SIZE).decode(outputs)


def is_expected(found, order=ORDER, boxes=BOXES):
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (np.float32, np.float32, np.int32)
    assert found.boxes.tolist() == boxes[order].tolist()
    assert found.scores.tolist() == SCORES[order].tolist()
    assert found.classes.tolist() == LABELS[order].tolist()


def rows(*columns):
    parts = {"x1": BOXES[:, 0], "y1": BOXES[:, 1], "x2": BOXES[:, 2], "y2": BOXES[:, 3]}
    parts.update({"score": SCORES, "class": LABELS, "batch": np.zeros(4)})
    return np.stack([parts[column] for column in columns], axis=1).astype(np.float32)


SIX = ["x1", "y1", "x2", "y2", "score", "class"]


def test_rows_of_six():
    one = rows(*SIX)
    first, second = decode({"out": np.stack([one, one[::-1]])}, form="rows")
    is_expected(first)
    is_expected(second)
    turned = ["class", "score", "y1", "x1", "y2", "x2"]
    is_expected(decode({"out": rows(*turned)[None]}, form="rows", columns=turned)[0])


@pytest.mark.parametrize("shape", [(8, 7), (1, 8, 7), (1, 1, 8, 7)])
def test_rows_with_a_batch(shape):
    one = rows("batch", "x1", "y1", "x2", "y2", "class", "score")
    both = np.concatenate([one, one])
    both[4:, 0] = 1
    first, second = decode({"out": both.reshape(shape)}, form="rows", batch=2)
    is_expected(first)
    is_expected(second)
    both[4:, 0] = [-1, 7, np.nan, np.inf]  # padding
    first, second = decode({"out": both.reshape(shape)}, form="rows", batch=2)
    is_expected(first)
    assert len(second.scores) == 0


def test_rows_in_the_order_of_openvino():
    columns = ["batch", "class", "score", "x1", "y1", "x2", "y2"]
    data = rows(*columns)
    data[:, 3:] /= [96, 64, 96, 64]
    found = decode({"out": data[None, None]}, form="rows", columns=columns, normalised=True)
    assert np.allclose(found[0].boxes, BOXES[ORDER], rtol=1e-6)


def test_efficient_nms():
    outputs = {
        "number": np.array([[4], [2]], np.int32),
        "boxes": np.stack([BOXES, BOXES]),
        "scores": np.stack([SCORES, SCORES]),
        "classes": np.stack([LABELS, LABELS]).astype(np.int32),
    }
    first, second = decode(outputs, form="efficient_nms")
    is_expected(first)
    is_expected(second, [1, 0])
    outputs["number"] = np.array([-3, 99])
    first, second = decode(outputs, form="efficient_nms")
    assert len(first.scores) == 0
    is_expected(second)


def test_torchvision():
    outputs = {"boxes": BOXES, "labels": LABELS + 1, "scores": SCORES}
    (found,) = decode(outputs, form="torchvision", background=0)
    is_expected(found)
    decoder = decoder_of(
        {"kind": "boxes", "head": "nms", "form": "torchvision", "classes": 3, "outputs": list(outputs)},
        {"boxes": (9, 4), "labels": (9,), "scores": (9,)},
        SIZE,
    )
    none = decoder.decode({name: array[:0] for name, array in outputs.items()})  # as many rows as there are
    assert len(none) == 1
    assert len(none[0].scores) == 0


def test_selected_indices():
    scores = np.zeros((2, 3, 4), np.float32)
    for box, (label, score) in enumerate(zip(LABELS, SCORES)):
        scores[:, label, box] = score
    picked = [[picture, LABELS[box], box] for picture in (1, 0) for box in range(4)]
    outputs = {
        "selected": np.array(picked + [[-1, -1, -1], [0, 3, 0], [2, 0, 0]], np.int64),
        "boxes": np.stack([BOXES, BOXES]),
        "scores": scores,
    }
    first, second = decode(outputs, form="selected_indices")
    is_expected(first)
    is_expected(second)


@pytest.mark.parametrize("form", ["xyxy", "yxyx", "xywh"])
@pytest.mark.parametrize("normalised", [False, True])
def test_forms_of_boxes(form, normalised):
    boxes = BOXES / np.array([96, 64, 96, 64], np.float32) if normalised else BOXES
    if form == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    if form == "xywh":
        boxes = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    outputs = {"boxes": boxes, "labels": LABELS, "scores": SCORES}
    (found,) = decode(outputs, form="torchvision", boxes=form, normalised=normalised)
    assert np.allclose(found.boxes, BOXES[ORDER], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("background", "expected"), [(0, [-1, 0, 1]), (1, [0, -1, 1]), (3, [0, 1, 2]), (None, [0, 1, 2])]
)
def test_the_background_is_left_out(background, expected):
    outputs = {"boxes": BOXES[:3], "labels": np.arange(3), "scores": np.array([0.9, 0.8, 0.7], np.float32)}
    (found,) = decode(outputs, form="torchvision", background=background)
    assert found.classes.tolist() == [label for label in expected if label >= 0]


def test_what_is_no_class_is_left_out():
    labels = np.array([3, -1, np.nan, 1e30, 0.0], np.float32)
    outputs = {"boxes": BOXES[[0, 1, 2, 3, 0]], "labels": labels, "scores": np.full(5, 0.9, np.float32)}
    assert decode(outputs, form="torchvision")[0].classes.tolist() == [0]


def test_nothing_is_suppressed_again_unless_asked_for():
    one = rows(*SIX)
    one[:] = one[1]
    assert len(decode({"out": one[None]}, form="rows")[0].scores) == 4
    assert len(decode({"out": one[None]}, form="rows", iou=0.5)[0].scores) == 1
