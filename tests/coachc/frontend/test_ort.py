"""The one way to start ONNX Runtime, and what happens without it."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from onnx import TensorProto

from coachc.errors import ModelError, ToolchainError
from coachc.frontend import ort
from coachc.frontend.onnx_import import import_model


@pytest.fixture
def no_runtime(monkeypatch):
    """As on a machine without onnxruntime."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(ort, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    ort._module.cache_clear()
    yield
    ort._module.cache_clear()


def test_without_it_only_what_must_run_is_refused(onnxes, no_runtime):
    assert import_model(onnxes.save(onnxes.convnet(13))).values["y"].shape == (1, 5)
    with pytest.raises(ToolchainError, match="onnxruntime is not installed") as caught:
        import_model(onnxes.save(onnxes.convnet(12)))
    assert caught.value.hint == "pip install 'coachc[cpu]'"


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("level", ["disabled", "basic", "all"])
def test_runs_at_every_level(onnxes, level):
    net = onnxes.convnet()
    feed = ort.seeded_inputs(net, 0)
    expected = ort.run(net, feed)
    found = ort.run(net.SerializeToString(), feed, ["y"], level)
    np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.needs("onnxruntime")
def test_a_failing_run_is_a_model_error(onnxes):
    with pytest.raises(ModelError, match="ONNX Runtime failed while running the model"):
        ort.run(onnxes.convnet(), {})


@pytest.mark.needs("onnxruntime")
def test_a_run_that_does_not_end_is_stopped(onnxes, monkeypatch):
    monkeypatch.setattr(ort, "LIMIT_S", 0.2)
    body = onnxes.graph(
        [onnxes.node("Identity", ["ci"], ["co"]), onnxes.node("Sin", ["v"], ["vo"])],
        "body",
        [onnxes.value("i", [], TensorProto.INT64), onnxes.value("ci", [], TensorProto.BOOL), onnxes.value("v")],
        [onnxes.value("co", [], TensorProto.BOOL), onnxes.value("vo")],
    )
    nodes = [onnxes.node("Loop", ["n", "", "x"], ["y"], body=body)]
    net = onnxes.model(nodes, ["x"], ["y"], [onnxes.weight("n", 2**60, np.int64)])
    with pytest.raises(ModelError, match=r"the model was stopped after running for 0\.2 s"):
        import_model(onnxes.save(net))


def test_seeded_inputs(onnxes):
    kinds = {"f": TensorProto.FLOAT, "h": TensorProto.FLOAT16, "u": TensorProto.UINT8, "i": TensorProto.INT64}
    inputs = [onnxes.value(name, [4, 50], kind) for name, kind in {**kinds, "b": TensorProto.BOOL}.items()]
    net = onnxes.model([onnxes.node("Relu", ["f"], ["y"])], inputs, ["y"])
    first, second = ort.seeded_inputs(net, 1), ort.seeded_inputs(net, 2)
    assert {name: array.dtype.name for name, array in first.items()} == {
        "f": "float32", "h": "float16", "u": "uint8", "i": "int64", "b": "bool",
    }  # fmt: skip
    for name, array in first.items():
        assert array.shape == (4, 50)
        assert not np.array_equal(array, second[name])
        np.testing.assert_array_equal(array, ort.seeded_inputs(net, 1)[name])
    assert first["u"].max() > 200
    assert set(np.unique(first["i"])) == {0, 1}


def test_an_axis_that_has_a_name_gets_one_row(onnxes):
    net = onnxes.model([onnxes.node("Relu", ["x"], ["y"])], [onnxes.value("x", ["N", 3])], ["y"])
    assert ort.seeded_inputs(net, 0)["x"].shape == (1, 3)


def test_seeded_inputs_need_static_numpy_inputs(onnxes):
    net = onnxes.model([onnxes.node("Relu", ["x"], ["y"])], [onnxes.value("x", [None, 3])], ["y"])
    with pytest.raises(ModelError, match="graph input 'x' has no static shape"):
        ort.seeded_inputs(net, 0)
    net = onnxes.model([onnxes.node("Relu", ["x"], ["y"])], [onnxes.value("x", [3], TensorProto.BFLOAT16)], ["y"])
    with pytest.raises(ModelError, match="graph input 'x' is bfloat16, which NumPy cannot feed"):
        ort.seeded_inputs(net, 0)


def test_inputs_of_noise_are_ones_that_a_model_takes(onnxes):
    """An axis of 1 is none of a vector's: 0 is."""
    nodes = [onnxes.node("CumSum", ["x", "axis"], ["y"])]
    net = onnxes.model(nodes, [onnxes.value("x", [5]), onnxes.value("axis", [], TensorProto.INT64)], ["y"])
    seeds = [seed for seed in range(8) if ort.seeded_inputs(net, seed)["axis"] == 1]
    assert seeds
    for seed in seeds:
        feed = ort.runnable_inputs(net, seed)
        assert feed["axis"] == 0
        np.testing.assert_array_equal(feed["x"], ort.seeded_inputs(net, seed)["x"])


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "BFLOAT16"])
def test_floats_that_numpy_does_not_have_are_refused(kind, onnxes):
    value = onnxes.value("x", [3], getattr(TensorProto, kind))
    net = onnxes.model([onnxes.node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], [value], ["y"], opset=19)
    with pytest.raises(ModelError, match="which NumPy cannot feed"):
        ort.seeded_inputs(net, 0)
