import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import ModelInfo, TensorSpec
from coachc.runtime.device.predictions import confidence_of, top1_of
from coachc.runtime.errors import EngineError


def test_the_class_of_each_row():
    model = ModelInfo("m", "0" * 64, 13, (TensorSpec("x", "float32", (2, 3)),), (TensorSpec("y", "float32", (2, 3)),))
    predict = top1_of(model, "classify")
    assert predict({"y": np.array([[0, 2, 1], [3, 0, 0]], np.float32)}) == (1, 0)
    assert predict({"y": np.zeros((3, 2), np.float32)}) == ()
    with pytest.raises(EngineError, match="the engine made no output 'y'"):
        predict({})


@pytest.mark.parametrize("shape", [(1, 21, 64, 64), (1, 1600, 1), (1, 136), (5,), (), (1, 4, 8)])
def test_maps_boxes_and_landmarks_have_no_class(shape):
    model = ModelInfo("m", "0" * 64, 13, (TensorSpec("x", "float32", (1, 3)),), (TensorSpec("y", "float32", shape),))
    assert top1_of(model, "outputs")({"y": np.ones(shape, np.float32)}) == ()


def test_confidence_is_the_softmax_of_logits_and_a_probability_that_is_one_already():
    assert confidence_of(np.array([[0.0, np.log(3.0)]], np.float32)) == pytest.approx(0.75)
    assert confidence_of(np.array([[0.25, 0.75]], np.float32)) == 0.75
    assert confidence_of(np.array([[1e4, -1e4]], np.float32)) == 1.0
