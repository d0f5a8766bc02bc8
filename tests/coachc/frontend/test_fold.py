"""Constant folding: what goes, what stays, with and without ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from coachc.frontend import ort
from coachc.frontend.fold import fold_constants


@pytest.fixture(params=["onnxruntime", "reference"])
def evaluator(request, monkeypatch):
    if request.param == "reference":
        monkeypatch.setattr(ort, "available", lambda: False)
    elif not ort.available():
        pytest.skip("needs onnxruntime")


def flattening(onnxes):
    """The chain that PyTorch writes for x.view(x.size(0), -1)."""
    nodes = [
        onnxes.node("Shape", ["x"], ["s"]),
        onnxes.node("Constant", [], ["zero"], value_int=0),
        onnxes.node("Gather", ["s", "zero"], ["n"], axis=0),
        onnxes.node("Constant", [], ["axes"], value_ints=[0]),
        onnxes.node("Unsqueeze", ["n", "axes"], ["n1"]),
        onnxes.node("Concat", ["n1", "rest"], ["to"], axis=0),
        onnxes.node("Reshape", ["x", "to"], ["y"]),
    ]
    return onnxes.model(nodes, ["x"], ["y"], [onnxes.weight("rest", [-1], np.int64)])


def weights(proto):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def test_shape_arithmetic_goes(onnxes, evaluator):
    net = flattening(onnxes)
    folded = fold_constants(net)
    assert [node.op_type for node in folded.graph.node] == ["Reshape"]
    assert weights(folded)["to"].tolist() == [1, -1]
    assert [dim.dim_value for dim in folded.graph.output[0].type.tensor_type.shape.dim] == [1, 192]
    assert fold_constants(folded) == folded
    assert len(net.graph.node) == 7, "the argument was changed"


@pytest.mark.parametrize(
    ("window", "expected"), [({"start": 1, "end": -1}, [3, 8]), ({"start": -1}, [8]), ({}, [1, 3, 8, 8])]
)
def test_shape_windows(onnxes, window, expected):
    nodes = [onnxes.node("Shape", ["x"], ["s"], **window), onnxes.node("Add", ["s", "k"], ["y"])]
    outputs = [onnxes.value("y", None, TensorProto.INT64)]
    net = onnxes.model(nodes, ["x", onnxes.value("k", [1], TensorProto.INT64)], outputs, opset=15)
    assert weights(fold_constants(net))["s"].tolist() == expected


def test_size_is_a_constant(onnxes):
    nodes = [onnxes.node("Size", ["x"], ["s"]), onnxes.node("Add", ["s", "k"], ["y"])]
    inputs = ["x", onnxes.value("k", [1], TensorProto.INT64)]
    net = onnxes.model(nodes, inputs, [onnxes.value("y", None, TensorProto.INT64)])
    assert weights(fold_constants(net))["s"].tolist() == 192


def generated(onnxes, count):
    nodes = [
        onnxes.node("ConstantOfShape", ["n"], ["w"], value=onnxes.weight("", [0.5])),
        onnxes.node("Add", ["x", "w"], ["y"]),
    ]
    return onnxes.model(nodes, [onnxes.value("x", [count])], ["y"], [onnxes.weight("n", [count], np.int64)])


def test_results_above_the_cap_stay(onnxes, evaluator):
    assert len(fold_constants(generated(onnxes, 1 << 18)).graph.node) == 1
    assert len(fold_constants(generated(onnxes, (1 << 18) + 1)).graph.node) == 2
    assert len(fold_constants(generated(onnxes, 100), max_bytes=399).graph.node) == 2


def test_constant_nodes_of_every_kind_become_initializers(onnxes):
    kinds = {"value": onnxes.weight("", [1.5]), "value_float": 2.5, "value_floats": [3.5]}
    nodes = [onnxes.node("Constant", [], [kind], **{kind: held}) for kind, held in kinds.items()]
    nodes.append(onnxes.node("Sum", ["x", *kinds], ["y"]))
    folded = fold_constants(onnxes.model(nodes, ["x"], ["y"]))
    assert {name: array.tolist() for name, array in weights(folded).items()} == {
        "value": [1.5], "value_float": 2.5, "value_floats": [3.5],
    }  # fmt: skip


def test_nodes_that_make_outputs_stay(onnxes, evaluator):
    nodes = [onnxes.node("Neg", ["k"], ["n"]), onnxes.node("Abs", ["n"], ["y"]), onnxes.node("Relu", ["x"], ["z"])]
    folded = fold_constants(onnxes.model(nodes, ["x"], ["y", "z"], [onnxes.weight("k", [1.0])]))
    assert [node.op_type for node in folded.graph.node] == ["Abs", "Relu"]


@pytest.mark.needs("onnxruntime")
def test_one_node_that_cannot_be_evaluated_does_not_stop_the_others(onnxes):
    nodes = [
        onnxes.node("Neg", ["k"], ["n"]),
        onnxes.node("Reshape", ["k", "bad"], ["r"]),
        onnxes.node("Add", ["x", "n"], ["a"]),
        onnxes.node("Add", ["a", "r"], ["y"]),
    ]
    k, bad = onnxes.weight("k", [1.0, 2.0]), onnxes.weight("bad", [1, 2], np.int64)
    net = onnxes.model(nodes, [onnxes.value("x", [2])], ["y"], [k, bad])
    real = ort.run

    def failing(part, *rest):
        if any(node.op_type == "Reshape" for node in part.graph.node):
            raise RuntimeError("no kernel")
        return real(part, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ort, "run", failing)
        folded = fold_constants(net)
    assert [node.op_type for node in folded.graph.node] == ["Reshape", "Add", "Add"]
    onnx.checker.check_model(folded, full_check=True)
