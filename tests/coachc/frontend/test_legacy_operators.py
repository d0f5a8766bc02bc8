"""Operators that ONNX Runtime runs and ONNX does not have: it says itself what they compute, in the file as written."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from coachc.errors import ModelError
from coachc.frontend import ort
from coachc.frontend.legacy_operators import write_legacy
from coachc.frontend.normalize import normalize
from coachc.frontend.onnx_import import import_model

pytestmark = pytest.mark.needs("onnxruntime")

GAIN = np.float32(range(8))
CASES = {
    "Affine": ("Affine", 7, {"alpha": 2.0, "beta": 0.5}, {}),
    "Affine by default": ("Affine", 9, {}, {}),
    "Crop": ("Crop", 7, {"border": [1, 2, 3, 1]}, {}),
    "Crop of nothing": ("Crop", 7, {"border": [0, 0, 0, 0]}, {}),
    "Crop to a size": ("Crop", 8, {"border": [1, 2, 0, 0], "scale": [3, 4]}, {}),
    "DynamicSlice": ("DynamicSlice", 7, {}, {"s": np.int64([0, 2]), "e": np.int64([1, 3])}),
    "DynamicSlice with axes": (
        "DynamicSlice", 7, {}, {"s": np.int64([1, 2]), "e": np.int64([-1, 8]), "a": np.int64([2, 3])},
    ),
    "ImageScaler": ("ImageScaler", 7, {"scale": 2.0, "bias": [0.1, 0.2, 0.3]}, {}),
    "MeanVarianceNormalization": ("MeanVarianceNormalization", 7, {}, {}),
    "MeanVarianceNormalization across": ("MeanVarianceNormalization", 8, {"across_channels": 1}, {}),
    "MeanVarianceNormalization of the mean": ("MeanVarianceNormalization", 7, {"normalize_variance": 0}, {}),
    "ParametricSoftplus": ("ParametricSoftplus", 7, {"alpha": 2.0, "beta": 0.5}, {}),
    "Scale": ("Scale", 7, {"scale": 1.5}, {}),
    "ScaledTanh": ("ScaledTanh", 9, {"alpha": 1.7, "beta": 0.6}, {}),
    "ThresholdedRelu": ("ThresholdedRelu", 7, {"alpha": 0.3}, {}),
    "LayerNormalization": ("LayerNormalization", 12, {"epsilon": 1e-3}, {"g": GAIN, "b": GAIN}),
    "LayerNormalization without a shift": ("LayerNormalization", 11, {}, {"g": np.ones(8, "f")}),
    "LayerNormalization over two axes": (
        "LayerNormalization", 15, {"axis": -2}, {"g": np.float32(range(64)).reshape(8, 8), "b": np.ones((8, 8), "f")},
    ),
    "LayerNormalization from an axis on": ("LayerNormalization", 13, {"axis": 3}, {"g": np.ones(8, "f")}),
    "SimplifiedLayerNormalization": ("SimplifiedLayerNormalization", 12, {}, {"g": np.float32(range(8))}),
    "SimplifiedLayerNormalization, newer": ("SimplifiedLayerNormalization", 18, {}, {"g": np.float32(range(8))}),
}  # fmt: skip


def right(path, feed, outputs=None):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(outputs, feed)


@pytest.mark.parametrize("case", CASES)
def test_the_model_imported_computes_what_the_file_does(onnxes, case):
    op, opset, attributes, inputs = CASES[case]
    node = helper.make_node(op, ["x", *inputs], ["n"], **attributes)
    weights = [onnxes.weight(name, array, array.dtype) for name, array in inputs.items()]
    path = onnxes.save(onnxes.model([node, helper.make_node("Neg", ["n"], ["y"])], ["x"], ["y"], weights, opset=opset))
    model = import_model(path)
    assert not any(one.op_type == op for one in model.proto.graph.node)
    feed = ort.seeded_inputs(model.proto, 0)
    np.testing.assert_allclose(ort.run(model.proto, feed)["y"], right(path, feed)[0], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("op", "outputs"), [("LayerNormalization", 3), ("SimplifiedLayerNormalization", 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_statistics_and_half_precision(onnxes, op, outputs, dtype):
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    names = ["y", "one", "two"][:outputs]
    ends = [onnxes.value("y", None, element), *(onnxes.value(name) for name in names[1:])]
    gain = onnxes.weight("g", np.linspace(0.5, 2, 8), dtype)
    net = onnxes.model(
        [helper.make_node(op, ["x", "g"], names)], [onnxes.value("x", [1, 3, 8, 8], element)], ends, [gain], opset=14
    )
    path = onnxes.save(net)
    model = import_model(path)
    feed = ort.seeded_inputs(model.proto, 0)
    found, wanted = ort.run(model.proto, feed), right(path, feed)
    for name, array in zip(names, wanted, strict=True):
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=2e-3 if dtype == np.float16 else 1e-5, atol=1e-6)


def test_a_branch_may_hold_one(onnxes):
    then = onnxes.graph([helper.make_node("Scale", ["x"], ["t"], scale=3.0)], "t", [], [onnxes.value("t")])
    other = onnxes.graph([helper.make_node("Neg", ["x"], ["e"])], "e", [], [onnxes.value("e")])
    flag = onnxes.value("flag", [], TensorProto.BOOL)
    chosen = helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    path = onnxes.save(onnxes.model([chosen], ["x", flag], ["y"], opset=9))
    feed = {"x": np.ones((1, 3, 8, 8), np.float32), "flag": np.array(True)}
    np.testing.assert_array_equal(ort.run(import_model(path).proto, feed)["y"], feed["x"] * 3)


def test_what_cannot_be_written_is_left_and_refused_by_name(onnxes):
    ends = [onnxes.value(name, [1], TensorProto.INT64) for name in "se"]
    node = helper.make_node("DynamicSlice", ["x", "s", "e"], ["y"], name="cut")
    net = normalize(onnxes.model([node], ["x", *ends], ["y"], opset=7))
    assert write_legacy(net).graph.node[0].op_type == "DynamicSlice"
    with pytest.raises(ModelError, match=r"node 'cut' \(DynamicSlice\) is no operator"):
        import_model(onnxes.save(net))


@pytest.mark.parametrize("opset", [7, 12, 13, 17])
def test_operators_that_onnx_has_are_left_alone(onnxes, opset):
    net = normalize(onnxes.convnet(opset))
    assert write_legacy(net) is net
    if opset == 17:
        layer = helper.make_node("LayerNormalization", ["x", "g"], ["y"])
        net = normalize(onnxes.model([layer], ["x"], ["y"], [onnxes.weight("g", np.ones(8))], opset=17))
        assert write_legacy(net) is net


@pytest.mark.parametrize("form", ["nodes", "initializers", "node and initializer", "numbers", "in a branch"])
def test_a_constant_written_again_is_one(onnxes, form):
    two = onnxes.weight("k", 2.0)
    node = helper.make_node("Constant", [], ["k"], value=two)
    again = {"nodes": [node], "numbers": [helper.make_node("Constant", [], ["k"], value_float=2.0)]}
    inner = [node, *again.get(form, []), helper.make_node("Mul", ["x", "k"], ["y"])]
    weights = []
    if form == "initializers":
        inner, weights = inner[1:], [two, two]
    elif form == "node and initializer":
        weights = [two]
    nodes, inputs = inner, ["x"]
    if form == "in a branch":
        inner[-1] = helper.make_node("Mul", ["x", "k"], ["t"])
        then = onnxes.graph([inner[0], *inner], "t", [], [onnxes.value("t")])
        other = onnxes.graph([helper.make_node("Neg", ["x"], ["e"])], "e", [], [onnxes.value("e")])
        nodes = [helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)]
        inputs = ["x", onnxes.value("flag", [], TensorProto.BOOL)]
    path = onnxes.save(onnxes.model(nodes, inputs, ["y"], weights))
    feed = {"x": np.ones((1, 3, 8, 8), np.float32), **({"flag": np.array(True)} if len(inputs) > 1 else {})}
    np.testing.assert_array_equal(ort.run(import_model(path).proto, feed)["y"], feed["x"] * 2)


def test_constants_of_one_name_and_two_values_are_refused(onnxes):
    nodes = [helper.make_node("Constant", [], ["k"], value=onnxes.weight("k", value)) for value in (2.0, 3.0)]
    nodes.append(helper.make_node("Mul", ["x", "k"], ["y"]))
    with pytest.raises(ModelError, match="value 'k' is made more than once"):
        import_model(onnxes.save(onnxes.model(nodes, ["x"], ["y"])))


def test_a_graph_without_inputs_is_refused(onnxes):
    net = onnxes.model([helper.make_node("Identity", ["w"], ["y"])], [], ["y"], [onnxes.random("w", 1, 3, 8, 8)])
    with pytest.raises(ModelError, match="the model has no input"):
        import_model(onnxes.save(net))
    default = onnx.ModelProto.FromString(net.SerializeToString())
    default.graph.input.append(onnxes.value("w", [1, 3, 8, 8]))
    with pytest.raises(ModelError, match="the model has no input"):
        import_model(onnxes.save(default))
