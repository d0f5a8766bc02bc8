"""Suppression against ONNX Runtime's NonMaxSuppression, which it claims to equal."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from coachc.runtime.decode.nms import suppress

pytestmark = pytest.mark.needs("onnxruntime")


def selected(boxes, scores, iou, most):
    """Indices (M, 3) that the operator selects of boxes (1, N, 4), which have x first, and scores (1, C, N)."""
    import onnxruntime as ort

    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["b", "n", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", "c", "n"]),
    ]
    limits = [
        helper.make_tensor("most", TensorProto.INT64, [], [most]),
        helper.make_tensor("iou", TensorProto.FLOAT, [], [iou]),
    ]
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou"], ["selected"])
    output = helper.make_tensor_value_info("selected", TensorProto.INT64, ["m", 3])
    graph = helper.make_graph([node], "nms", inputs, [output], limits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"boxes": boxes, "scores": scores})[0]


def boxes_of(rng, kind, count):
    low = rng.uniform(0, 20, (count, 2)) if kind == "real" else rng.randint(0, 20, (count, 2))
    sides = rng.uniform(0, 10, (count, 2)) if kind == "real" else rng.randint(0, 10, (count, 2))
    boxes = np.concatenate([low, low + sides], axis=1).astype(np.float32)
    if kind == "turned":
        boxes = np.where(rng.uniform(size=(count, 1)) < 0.5, boxes[:, [2, 3, 0, 1]], boxes)
    if kind == "equal":
        boxes = boxes[rng.randint(0, 5, count)]
    return boxes


@pytest.mark.parametrize("kind", ["real", "whole", "turned", "equal"])
@pytest.mark.parametrize("levels", [1, 4, 1000])
@pytest.mark.parametrize("iou", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_equals_the_operator(kind, levels, iou):
    for seed in range(5):
        rng = np.random.RandomState(seed)
        boxes = boxes_of(rng, kind, 200)
        scores = (rng.randint(0, levels, (3, 200)) / levels).astype(np.float32)
        expected = selected(boxes[None], scores[None], iou, 40)
        for label in range(3):
            kept = suppress(boxes, scores[label], np.zeros(200), iou, 40)
            assert kept.tolist() == expected[expected[:, 1] == label, 2].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_classes_side_by_side_equal_one_class_after_the_other(seed):
    rng = np.random.RandomState(seed)
    boxes, classes = boxes_of(rng, "whole", 300), rng.randint(0, 4, 300)
    scores = (rng.randint(1, 9, 300) / 8).astype(np.float32)
    spread = np.where(np.arange(4)[:, None] == classes, scores, 0).astype(np.float32)
    picked = selected(boxes[None], spread[None], 0.45, 300)
    rows = [index for _, label, index in picked.tolist() if spread[label, index] > 0]
    rows.sort(key=lambda index: (-scores[index], index))
    assert suppress(boxes, scores, classes, 0.45, 300).tolist() == rows
