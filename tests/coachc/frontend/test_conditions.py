"""What is said of a model for which a condition does not hold, one at least for each of them."""

from __future__ import annotations

import re

import onnx
import pytest
from onnx import TensorProto, helper

from coachc.frontend import conditions as c
from coachc.frontend.onnx_import import import_model
from tests.helpers.halves import captured_in_if
from tests.helpers.onnx_models import constant, info, net, op, random_weight


def plain(*nodes, outputs=("y",), weights=(), **options):
    outputs = [info(name, (1, 4, 8, 8)) for name in outputs]
    return net(nodes or [op("Conv", "x w", "a"), op("Relu", "a", "y")], ["x"], outputs, [weight(), *weights], **options)


def weight():
    return random_weight("w", 4, 4, 1, 1)


def changed(change, model=None):
    made = model if model is not None else plain()
    change(made)
    return made


def external(model):
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def function(model):
    model.functions.append(helper.make_function("f", "F", ["a"], ["b"], [op("Relu", "a", "b")], []))


def first(op_type, **fields):
    return lambda model: model.graph.node[0].MergeFrom(onnx.NodeProto(op_type=op_type, **fields))


def swapped(model):
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def inner_unsorted():
    model = captured_in_if()
    branch = next(node for node in model.graph.node if node.op_type == "If").attribute[0].g
    branch.node[0].input[0] = "nowhere"
    return model


SPARSE = helper.make_sparse_tensor(constant("s", [1.0], "float32"), constant("s_i", [0], "int64"), [2])
CASES = [
    (c.WEIGHTS_INLINE, changed(external), "the data of 'w' is in another file"),
    (c.SUPPORTED_OPSET, plain(opset=6), "the model has opset 6; coachc supports"),
    (c.NO_FUNCTIONS, changed(function), "it has local functions, such as F"),
    (c.ONE_FORM, changed(lambda m: m.graph.input.append(info("w", (4, 4, 1, 1)))), "an initializer is an input too"),
    (c.ONE_FORM, changed(first("Conv", domain="ai.onnx")), "the default domain is spelt out"),
    (c.ONE_FORM, changed(lambda m: m.graph.sparse_initializer.append(SPARSE)), "it has sparse initializers or annot"),
    (c.ONE_FORM, changed(lambda m: m.training_info.add()), "it has training information"),
    (c.SORTED, changed(swapped), "node 'Relu.y' .Relu. reads 'a', which nothing before it makes"),
    (c.SORTED, inner_unsorted(), "reads 'nowhere', which nothing before it makes"),
    (c.SORTED, plain(op("Relu", "x", "y"), op("Neg", "x", "y")), "node 'Neg.y' .Neg. makes 'y' once more"),
    (c.SORTED, plain(op("Relu", "x", "a")), "nothing makes output 'y'"),
    (c.NAMED, changed(lambda m: m.graph.node[0].ClearField("name")), "the unnamed Conv node .* has no name of its own"),
    (c.NAMED, plain(op("Relu", "x", "a", name="n"), op("Neg", "a", "y", name="n")), "node 'n' .Neg. has no name of"),
    (c.KNOWN_OPERATORS, changed(first("Convolution")), "is no operator of ai.onnx opset 13"),
    (c.REPEATABLE, changed(first("RandomNormalLike")), "makes random numbers"),
    (c.TENSORS, changed(lambda m: m.graph.output[0].type.sequence_type.SetInParent()), "output 'y' is not a tensor"),
    (c.STATIC_INPUTS, net([op("Relu", "x", "y")], [info("x", ("n", 4))], ["y"]), "'x' has open axes"),
    (c.OPSET_13, plain(opset=12), "it has opset 12"),
    (c.LOWEST_IR, changed(lambda m: setattr(m, "ir_version", 9)), "it states IR 9, and 7 would do"),
    (c.FOLDED, plain(op("Constant", "", "k", value_float=1.0), op("Add", "x k", "y")), "'Constant.k' .* is left"),
    (c.STATIC_VALUES, changed(lambda m: m.graph.value_info.append(info("a", ("n",)))), "what is stated of 'a' is not"),
    (c.STATIC_VALUES, changed(lambda m: m.graph.value_info.append(info("gone", (1,)))), "what is stated of 'gone' is"),
    (c.CHECKED, plain(op("Relu", "x", "a")), "onnx's checker refuses the model"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "model", "against"), CASES, ids=lambda item: getattr(item, "name", None))
def test_what_speaks_against(condition, model, against):
    assert not condition.against(plain())
    assert re.search(against, condition.against(model))


def test_every_condition_has_a_case():
    assert {condition.name for condition, _, _ in CASES} == {condition.name for condition in c.IMPORTED}


@pytest.mark.needs("onnxruntime")
def test_import_ensures_them_all(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(plain(opset=9).SerializeToString())
    model = import_model(path).proto
    assert [condition.name for condition in c.IMPORTED if condition.against(model)] == []
