import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Manifest, ModelInfo, TensorSpec
from coachc.runtime.device.predictions import confidence_of, reader_of
from coachc.runtime.errors import BundleError, EngineError


def manifest_of(taken, made, **more):
    model = ModelInfo("m", "0" * 64, 13, (TensorSpec("x", "float32", taken),), (TensorSpec("y", "float32", made),))
    return Manifest("coachc", "calibrated", model, {}, {}, {}, None, (), (), "", {}, **more)


def test_the_class_of_each_row():
    predict = reader_of(manifest_of((2, 3), (2, 3), task="classify"))
    assert predict({"y": np.array([[0, 2, 1], [3, 0, 0]], np.float32)}) == (1, 0)
    assert predict({"y": np.zeros((3, 2), np.float32)}) == ()
    with pytest.raises(EngineError, match="the engine made no output 'y'"):
        predict({})


@pytest.mark.parametrize("shape", [(1, 21, 64, 64), (1, 1600, 1), (1, 136), (5,), (), (1, 4, 8)])
def test_maps_boxes_and_landmarks_have_no_class(shape):
    assert reader_of(manifest_of((1, 3), shape, task="outputs"))({"y": np.ones(shape, np.float32)}) == ()


def test_boxes_and_masks_are_read_as_the_bundle_says():
    rows = {"kind": "boxes", "head": "nms", "form": "rows", "classes": ["cat", "dog"], "outputs": ["y"]}
    (found,) = reader_of(manifest_of((1, 3, 8, 8), (1, 2, 6), task="detect", decode=rows))(
        {"y": np.array([[[1, 2, 5, 6, 0.9, 1], [0, 0, 3, 3, 0.1, 0]]], np.float32)}
    )
    assert (found.boxes.tolist(), found.classes.tolist()) == ([[1, 2, 5, 6]], [1])
    planes = {"kind": "mask", "head": "argmax", "classes": 3, "outputs": ["y"]}
    logits = np.zeros((2, 3, 8, 8), np.float32)
    logits[1, 2] = 1
    masks = reader_of(manifest_of((2, 3, 8, 8), (2, 3, 8, 8), task="segment", decode=planes))({"y": logits})
    assert [mask.tolist() for mask in masks] == [np.full((8, 8), number).tolist() for number in (0, 2)]


def test_a_reading_that_does_not_go_with_the_model_is_refused():
    spec = {"kind": "mask", "head": "argmax", "classes": 3, "outputs": ["z"]}
    with pytest.raises(BundleError, match="decoder key 'outputs': expected names of the model's outputs"):
        reader_of(manifest_of((1, 3, 8, 8), (1, 3, 8, 8), task="segment", decode=spec))


def test_confidence_is_the_softmax_of_logits_and_a_probability_that_is_one_already():
    assert confidence_of(np.array([[0.0, np.log(3.0)]], np.float32)) == pytest.approx(0.75)
    assert confidence_of(np.array([[0.25, 0.75]], np.float32)) == 0.75
    assert confidence_of(np.array([[1e4, -1e4]], np.float32)) == 1.0
