"""Refusals by name: damaged graphs, randomness, training mode, what is no tensor."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from coachc.errors import ModelError
from coachc.frontend import normalize as normalize_module
from coachc.frontend.normalize import normalize
from coachc.frontend.onnx_import import import_model
from coachc.frontend.order import order


def refused(onnxes, net, match):
    with pytest.raises(ModelError, match=match) as caught:
        import_model(onnxes.save(net))
    assert caught.value.hint
    return caught.value


def test_cycle(onnxes):
    nodes = [
        onnxes.node("Relu", ["x"], ["r"], name="fine"),
        onnxes.node("Add", ["r", "c"], ["a"], name="one"),
        onnxes.node("Neg", ["a"], ["c"], name="two"),
        onnxes.node("Abs", ["c"], ["y"], name="after"),
    ]
    refused(onnxes, onnxes.model(nodes, ["x"], ["y"]), r"node '(one|two)' \((Add|Neg)\) is part of a cycle")


def test_cycle_through_a_body(onnxes):
    body = [onnxes.graph([onnxes.node("Neg", ["y"], [n])], n, [], [onnxes.value(n)]) for n in "ab"]
    nodes = [
        onnxes.node("If", ["c"], ["f"], then_branch=body[0], else_branch=body[1], name="loop"),
        onnxes.node("Add", ["x", "f"], ["y"], name="sum"),
    ]
    net = onnxes.model(nodes, ["x", onnxes.value("c", [], TensorProto.BOOL)], ["y"])
    refused(onnxes, net, r"node '(loop|sum)' \((If|Add)\) is part of a cycle")


def test_a_value_nothing_makes(onnxes):
    nodes = [onnxes.node("Add", ["x", "ghost"], ["y"])]
    refused(
        onnxes,
        onnxes.model(nodes, ["x"], ["y"]),
        r"the unnamed Add node that makes 'y' reads value 'ghost', which nothing",
    )
    net = onnxes.model([onnxes.node("Relu", ["x"], ["r"])], ["x"], ["y"])
    refused(onnxes, net, "output 'y' of graph 'graph' is made by nothing")


def test_a_value_nothing_makes_in_a_body(onnxes):
    body = [onnxes.graph([onnxes.node("Neg", ["ghost"], [n])], n, [], [onnxes.value(n)]) for n in "ab"]
    node = onnxes.node("If", ["c"], ["y"], then_branch=body[0], else_branch=body[1], name="choice")
    net = onnxes.model([node], [onnxes.value("c", [], TensorProto.BOOL)], ["y"])
    refused(onnxes, net, r"node 'choice' \(If\) reads value 'ghost'")


def test_names_made_twice(onnxes):
    nodes = [onnxes.node("Relu", ["x"], ["y"]), onnxes.node("Neg", ["x"], ["y"])]
    refused(onnxes, onnxes.model(nodes, ["x"], ["y"]), "value 'y' is made more than once in graph 'graph'")
    net = onnxes.convnet()
    net.graph.initializer.append(onnxes.random("w", 4))
    refused(onnxes, net, "value 'w' is made more than once")
    net = onnxes.model([onnxes.node("Relu", ["x"], ["y"])], ["x"], ["y", "y"])
    refused(onnxes, net, "graph output 'y' is listed more than once")


def test_shadowing_bodies_are_renamed(onnxes):
    body = [onnxes.graph([onnxes.node("Neg", ["r"], ["x"])], n, [], [onnxes.value("x")]) for n in "ab"]
    nodes = [
        onnxes.node("Relu", ["x"], ["r"]),
        onnxes.node("If", ["c"], ["y"], then_branch=body[0], else_branch=body[1]),
    ]
    net = onnxes.model(nodes, ["x", onnxes.value("c", [], TensorProto.BOOL)], ["y"])
    result = order(net)
    assert [a.g.output[0].name for a in result.graph.node[1].attribute] == ["x_1", "x_2"]
    assert order(result) == result


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("RandomNormal", [], {"shape": [1, 3, 8, 8]}),
        ("RandomNormalLike", ["x"], {}),
        ("RandomUniform", [], {"shape": [1, 3, 8, 8]}),
        ("RandomUniformLike", ["x"], {"seed": 1.0}),
        ("Bernoulli", ["x"], {}),
        ("Multinomial", ["x"], {}),
    ],
)
def test_random_operators(onnxes, operator, inputs, attributes):
    node = onnxes.node(operator, inputs, ["n"], name="dice", **attributes)
    net = onnxes.model([node, onnxes.node("Add", ["x", "n"], ["y"])], ["x"], ["y"], opset=15)
    refused(onnxes, net, rf"node 'dice' \({operator}\) makes random numbers")


def test_random_operators_that_reach_no_output_go(onnxes):
    net = onnxes.convnet()
    net.graph.node.append(onnxes.node("RandomNormalLike", ["x"], ["n"]))
    assert "n" not in import_model(onnxes.save(net)).values


def dropout(onnxes, mode):
    node = onnxes.node("Dropout", ["x", "", "mode"], ["y"], name="drop")
    return onnxes.model([node], ["x"], ["y"], [onnxes.weight("mode", mode, bool)])


def test_training_mode(onnxes):
    assert import_model(onnxes.save(dropout(onnxes, False)))
    refused(onnxes, dropout(onnxes, True), r"node 'drop' \(Dropout\) is in training mode")
    net = dropout(onnxes, False)
    del net.graph.initializer[:]
    net.graph.input.append(onnxes.value("mode", [], TensorProto.BOOL))
    refused(onnxes, net, r"node 'drop' \(Dropout\) is in training mode")
    net = onnxes.convnet(15)
    net.graph.node[1].attribute.append(helper.make_attribute("training_mode", 1))
    net.graph.node[1].output.extend(["running_mean", "running_var"])
    refused(onnxes, net, r"the unnamed BatchNormalization.*|node 'BatchNormalization_1'.* is in training mode")


def test_inputs_and_outputs_that_are_no_tensors(onnxes):
    sequence = helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, [1, 3])
    net = onnxes.model(
        [onnxes.node("SequenceAt", ["q", "i"], ["y"])], [sequence], ["y"], [onnxes.weight("i", 0, np.int64)]
    )
    error = refused(onnxes, net, "graph input 'q' is not a tensor")
    assert error.context == ("expected     tensor", "found        sequence")
    net = onnxes.model([onnxes.node("SequenceConstruct", ["x"], ["q"])], ["x"], [sequence])
    refused(onnxes, net, "graph output 'q' is not a tensor")
    optional = helper.make_value_info("o", helper.make_optional_type_proto(onnxes.value("x", [1]).type))
    net = onnxes.model([onnxes.node("OptionalGetElement", ["o"], ["y"])], [optional], ["y"], opset=18)
    refused(onnxes, net, "graph input 'o' is not a tensor")


def test_strings(onnxes):
    net = onnxes.model([onnxes.node("Identity", ["s"], ["y"])], [onnxes.value("s", [1], TensorProto.STRING)], ["y"])
    refused(onnxes, net, "value 's' holds strings")
    net = onnxes.model(
        [onnxes.node("Identity", ["k"], ["y"])], ["x"], [onnxes.value("y", None, TensorProto.STRING)],
        [helper.make_tensor("k", TensorProto.STRING, [1], [b"cat"])],
    )  # fmt: skip
    refused(onnxes, net, "value 'y' holds strings")


def test_operators_ai_onnx_does_not_have(onnxes):
    net = onnxes.model([onnxes.node("Gelu", ["x"], ["y"], name="g")], ["x"], ["y"])
    refused(onnxes, net, r"node 'g' \(Gelu\) is no operator of ai\.onnx opset 13")
    net = onnxes.model([onnxes.node("Gelu", ["x"], ["y"], name="g", domain="com.microsoft")], ["x"], ["y"])
    refused(onnxes, net, "is of domain 'com.microsoft', whose opset the model does not state")


def test_sparse_tensors_too_large_or_out_of_range(onnxes, monkeypatch):
    sparse = helper.make_sparse_tensor(onnxes.weight("k", [2.0]), onnxes.weight("i", [9], np.int64), [2, 3])
    net = onnxes.model(
        [onnxes.node("Add", ["x", "k"], ["y"])], [onnxes.value("x", [2, 3])], ["y"], sparse_initializer=[sparse]
    )
    refused(onnxes, net, r"sparse tensor 'k' has indices outside its shape \[2, 3\]")
    monkeypatch.setattr(normalize_module, "MAX_DENSE_BYTES", 20)
    refused(onnxes, net, "sparse tensor 'k' has 24 bytes when dense")


def test_a_function_that_cannot_be_inlined(onnxes, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr(onnx.inliner, "inline_local_functions", fail)
    net = onnxes.convnet()
    net.functions.append(helper.make_function("d", "f", [], [], [], [helper.make_opsetid("", 13)]))
    refused(onnxes, net, "local functions cannot be inlined")


def test_normalize_is_idempotent_and_pure(onnxes):
    net = onnxes.convnet()
    before = net.SerializeToString()
    once = normalize(net)
    assert net.SerializeToString() == before
    assert normalize(once) == once
