import sys

import numpy as np
import pytest

from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.ort_engine import OrtEngine
from coachc.runtime.errors import EngineError


def relu_bytes():
    import onnx.helper as oh
    from onnx import TensorProto

    x, y = [oh.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    graph = oh.make_graph([oh.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 13)], ir_version=8).SerializeToString()


def test_fake_engine_runs_its_function():
    engine = FakeEngine(lambda feed: {"y": feed["x"] + 1}, ["x"], ["y"])
    assert engine.run({"x": np.array([1])})["y"].tolist() == [2]
    assert (engine.input_names, engine.output_names, engine.description) == (("x",), ("y",), "fake")


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("level", ["all", "basic", "disabled"])
def test_ort_engine_runs_bytes_and_files(tmp_path, level):
    (tmp_path / "relu.onnx").write_bytes(relu_bytes())
    for model in (relu_bytes(), str(tmp_path / "relu.onnx"), tmp_path / "relu.onnx"):
        engine = OrtEngine(model, threads=1, level=level)
        assert engine.run({"x": np.array([[-1, 0, 2]], np.float32)})["y"].tolist() == [[0, 0, 2]]
        assert (engine.input_names, engine.output_names) == (("x",), ("y",))
        assert engine.description.startswith("onnxruntime ")
        assert engine.description.endswith(" CPUExecutionProvider")


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_ort_engine_says_what_failed(tmp_path):
    with pytest.raises(EngineError, match="ONNX Runtime refuses the model: "):
        OrtEngine(b"not a model")
    with pytest.raises(EngineError, match="ONNX Runtime refuses the model: "):
        OrtEngine(tmp_path / "nothing.onnx")
    engine = OrtEngine(relu_bytes())
    with pytest.raises(EngineError, match="ONNX Runtime failed: "):
        engine.run({"x": np.zeros((2, 5), np.float32)})


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_a_provider_that_is_not_there_is_an_error():
    with pytest.raises(EngineError, match="asked for NoSuchExecutionProvider, got .*CPUExecutionProvider") as caught:
        OrtEngine(relu_bytes(), providers=("NoSuchExecutionProvider", "CPUExecutionProvider"))
    assert "ask for CPUExecutionProvider" in caught.value.hint


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_a_provider_the_session_dropped_is_an_error(monkeypatch):
    import onnxruntime as ort

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]

    class Session:
        def __init__(self, *args, **kwargs):
            pass

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    monkeypatch.setattr(ort, "InferenceSession", Session)
    with pytest.raises(EngineError, match="asked for CUDAExecutionProvider, got CPUExecutionProvider"):
        OrtEngine(b"", providers=("CUDAExecutionProvider",))


def test_without_onnxruntime_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="ONNX Runtime is not installed") as caught:
        OrtEngine(b"")
    assert caught.value.hint == "pip install 'coachc[cpu]'"
