"""float16 written into a model: what is halved, what is not, and how much it loses."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from coachc.frontend import ort
from coachc.passes.lower.agree import difference
from coachc.passes.lower.half import to_fp16
from tests.helpers.halves import GRAPHS, captured_in_if, output_that_crosses
from tests.helpers.onnx_models import batch_norm, constant, imported, info, net, op, random_weight
from tests.helpers.transformer import transformer

pytestmark = pytest.mark.needs("onnxruntime")

#: Of the outputs, relative to their largest magnitude: a rounding of 5e-4 at each of a few layers.
TOLERANCE = 5e-3


def types(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return {value.name: value.type.tensor_type.elem_type for value in (*inferred.graph.value_info, *model.graph.output)}


@pytest.mark.parametrize("name", GRAPHS)
def test_networks_lose_little(name, tmp_path):
    model, _ = imported(GRAPHS[name](), tmp_path)
    halved = to_fp16(model.proto)
    assert (halved.too_large, halved.too_small) == ((), ())
    found = types(halved.model)
    convolutions = [node for node in halved.model.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(found[node.output[0]] == TensorProto.FLOAT16 for node in convolutions)
    assert 0 < difference(model.proto, halved.model, seeds=range(3)) < TOLERANCE
    assert [list(halved.model.graph.input), list(halved.model.graph.output)] == [
        list(model.proto.graph.input),
        list(model.proto.graph.output),
    ]


def test_half_the_bytes(tmp_path):
    model, _ = imported(GRAPHS["residual"](), tmp_path)

    def size(proto):
        return sum(numpy_helper.to_array(tensor).nbytes for tensor in proto.graph.initializer)

    assert size(to_fp16(model.proto).model) < 0.55 * size(model.proto)


def test_a_transformer_keeps_its_normalizations_and_softmax():
    model = transformer()
    halved = to_fp16(model)
    assert dict(halved.kept) == {"LayerNormalization": 5, "ReduceMean": 1, "Softmax": 2}
    found = types(halved.model)
    by_name = {node.name: node for node in halved.model.graph.node}
    assert found[by_name["Gelu.block0.gelu"].output[0]] == TensorProto.FLOAT16
    assert found["block0.soft"] == TensorProto.FLOAT
    assert difference(model, halved.model, seeds=range(3)) < TOLERANCE


def test_nodes_that_only_move_numbers_take_them_as_they_come():
    nodes = [op("Transpose", "x", "t"), op("Softmax", "t", "s", axis=1), op("Flatten", "s", "y")]
    halved = to_fp16(net(nodes, ["x"], [info("y", (8, 32))]))
    assert halved.halved == 0
    assert [node.op_type for node in halved.model.graph.node] == ["Transpose", "Softmax", "Flatten"]


def test_one_cast_for_all_readers():
    nodes = [op("Conv", "x w", "a"), op("Conv", "x w", "b"), op("Add", "a b", "y")]
    halved = to_fp16(net(nodes, ["x"], [info("y", (1, 4, 8, 8))], [random_weight("w", 4, 4, 1, 1)]))
    assert [(n.op_type, *n.output) for n in halved.model.graph.node if n.op_type == "Cast"] == [
        ("Cast", "x/fp16"),
        ("Cast", "y"),
    ]
    assert [tensor.name for tensor in halved.model.graph.initializer] == ["w/fp16"]


def test_constants_that_float16_does_not_hold_keep_their_node_in_float32():
    nodes = [op("Add", "x big", "a"), op("Mul", "a tiny", "b"), op("Add", "b one", "y")]
    weights = [constant("big", np.float32(1e6)), constant("tiny", np.float32(1e-9)), constant("one", np.float32(1))]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], weights)
    halved = to_fp16(model)
    assert (halved.too_large, halved.too_small) == (("big",), ("tiny",))
    assert (halved.halved, halved.kept) == (1, (("Add", 1), ("Mul", 1)))
    assert difference(model, halved.model) < 1e-3


def test_infinity_is_held():
    model = net([op("Add", "x w", "y")], ["x"], [info("y", (1, 4, 8, 8))], [constant("w", np.float32(-np.inf))])
    assert to_fp16(model).halved == 1


def test_what_is_named_stays(tmp_path):
    model, _ = imported(GRAPHS["chain"](), tmp_path)
    names = [node.name for node in model.proto.graph.node if node.op_type == "Conv"]
    halved = to_fp16(model.proto, keep=names[:1])
    found = types(halved.model)
    by_name = {node.name: node for node in halved.model.graph.node}
    assert found[by_name[names[0]].output[0]] == TensorProto.FLOAT
    assert found[by_name[names[1]].output[0]] == TensorProto.FLOAT16


def test_bodies_stay_float32_and_get_what_they_capture(tmp_path):
    model, _ = imported(captured_in_if(), tmp_path)
    halved = to_fp16(model.proto)
    assert ("If", 1) in halved.kept
    assert difference(model.proto, halved.model, seeds=range(3)) < TOLERANCE


def test_an_output_that_others_read_has_one_name_and_float32(tmp_path):
    model, _ = imported(output_that_crosses(), tmp_path)
    halved = to_fp16(model.proto)
    assert difference(model.proto, halved.model) < TOLERANCE


@pytest.mark.parametrize("opset", [13, 17])
def test_batch_normalization(opset):
    nodes = [op("Conv", "x w", "c", pads=[1] * 4), op("BatchNormalization", "c n.s n.b n.m n.v", "y")]
    weights = [random_weight("w", 4, 4, 3, 3), *batch_norm("n", 4)]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], weights, opset=opset)
    halved = to_fp16(model)
    assert halved.halved == 2
    assert difference(model, halved.model) < TOLERANCE


def test_other_types_are_left_alone():
    nodes = [
        op("Cast", "i", "f", to=TensorProto.FLOAT),
        op("Conv", "f w", "c"),
        op("ArgMax", "c", "y", axis=1, keepdims=0),
        op("Resize", "c _ s", "r", mode="nearest"),
    ]
    weights = [random_weight("w", 4, 4, 1, 1), constant("s", np.array([1, 1, 2, 2], np.float32))]
    outputs = [info("y", (1, 8, 8), "int64"), info("r", (1, 4, 16, 16))]
    model = net(nodes, [info("i", (1, 4, 8, 8), "uint8")], outputs, weights)
    halved = to_fp16(model).model
    assert {t.name: t.data_type for t in halved.graph.initializer} == {
        "w/fp16": TensorProto.FLOAT16,
        "s": TensorProto.FLOAT,
    }
    feed = ort.seeded_inputs(model, 0)
    np.testing.assert_allclose(ort.run(model, feed)["r"], ort.run(halved, feed)["r"], rtol=5e-3, atol=0.5)
