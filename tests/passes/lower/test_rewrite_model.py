"""What lowering keeps, what it refuses and how it says so."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from coachc.errors import ModelError
from coachc.frontend import ort
from coachc.passes.lower.agree import difference
from coachc.passes.lower.limits import Limits, common
from coachc.passes.lower.rewrite_model import lower
from coachc.passes.lower.schema import since
from coachc.passes.lower.table import OLDER, PARTS
from tests.helpers.onnx_models import constant, info, net, op, random_weight
from tests.helpers.transformer import transformer

pytestmark = pytest.mark.needs("onnxruntime")

TX2 = Limits("TensorRT 8.2 on tx2", 13, quantization="none")


def operators(model):
    return {node.op_type for node in model.graph.node}


def test_a_model_that_its_target_takes_is_returned_as_it_is():
    model = net([op("Relu", "x", "y")], ["x"], ["y"], opset=13)
    lowered = lower(model, TX2)
    assert lowered.model is model
    assert (lowered.changed, lowered.describe(), lowered.applied) == (False, "", ())
    newer = net([op("Relu", "x", "y")], ["x"], ["y"], opset=20)
    assert lower(newer, Limits("t", 20)).model is newer


def test_a_newer_opset_without_newer_operators_is_renumbered():
    lowered = lower(net([op("Relu", "x", "y")], ["x"], [info("y", (1, 4, 8, 8))], opset=20), TX2)
    assert lowered.describe() == "opset 20 -> 13"
    assert lowered.model.opset_import[0].version == 13
    assert lowered.model.ir_version == helper.find_min_ir_version_for(lowered.model.opset_import)


def test_what_was_done_is_counted_by_what_it_was():
    lowered = lower(transformer(), TX2)
    assert lowered.describe() == "opset 20 -> 13: Gelu 2, LayerNormalization 5, ReduceMean 1"


def test_a_transformer_computes_the_same_and_keeps_its_ends_and_names():
    model = transformer()
    lowered = lower(model, TX2).model
    assert difference(model, lowered, seeds=range(3)) < 1e-6
    assert [list(lowered.graph.input), list(lowered.graph.output)] == [
        list(model.graph.input),
        list(model.graph.output),
    ]
    made = {name: node.name for node in lowered.graph.node for name in node.output}
    for node in model.graph.node:
        assert [made[name] for name in node.output] == [node.name]
    shapes = {value.name for value in lowered.graph.value_info}
    assert {name for node in lowered.graph.node for name in node.output} - {"y"} == shapes


def test_lowering_step_by_step_is_lowering_at_once():
    model = transformer()
    at_once = lower(model, TX2).model
    step = model
    for opset in (19, 18, 17, 16, 15, 14, 13):
        step = lower(step, Limits("t", opset)).model
        assert step.opset_import[0].version == opset
    assert difference(at_once, step) == 0
    assert lower(step, TX2).model is step


def test_bodies_are_lowered_too():
    def branch(name, *nodes):
        return helper.make_graph(list(nodes), name, [], [info(nodes[-1].output[0], (1, 4, 8, 8))])

    nodes = [
        op("ReduceMax", "x", "top", keepdims=0),
        op("Greater", "top zero", "cond"),
        op(
            "If", "cond", "y",
            then_branch=branch("then", op("Gelu", "x", "t")),
            else_branch=branch("else", op("ReduceMean", "x axes", "m"), op("Add", "m x", "e")),
        ),
    ]  # fmt: skip
    weights = [constant("zero", np.float32(3)), constant("axes", [1], np.int64)]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], weights, opset=20)
    lowered = lower(model, TX2)
    assert lowered.applied == (("Gelu", 1), ("ReduceMean", 1))
    assert difference(model, lowered.model, seeds=range(4)) < 1e-6


@pytest.mark.parametrize(
    ("node", "reason", "remedy"),
    [
        (op("DFT", "x", "y"), "the operator came with opset 17", "opset 13, or replace the operator"),
        (op("Sin", "x", "y"), "the target lacks the operator", "replace the operator"),
        (op("ReduceMean", "x a", "y"), "its axes 'a' are computed, and an attribute is needed", "make axes constant"),
        (op("ScatterND", "x d x", "y", reduction="add"), "reduction = add", "without a reduction"),
        (
            op("BatchNormalization", "x v v v v", "y m1 v1", training_mode=1),
            "training_mode = 1",
            "export in evaluation mode",
        ),
        (op("Pad", "x p _ x1", "y", mode="wrap"), "wraps around by more than", "pad in two steps"),
        (op("RoiAlign", "x r n", "y"), "half_pixel shifts its regions", "aligned=False"),
        (op("Einsum", "x", "y", equation="...i->...", name="e"), "has an ellipsis", "matmul and permute"),
    ],
)
def test_what_has_no_older_form_is_an_error_that_names_it(node, reason, remedy):
    nodes = [
        op("Cast", "c1", "a", to=TensorProto.INT64),
        op("Cast", "c4", "d", to=TensorProto.INT64),
    ]
    weights = [
        constant("s", np.array([1, 1, 0.5, 0.5], np.float32)),
        constant("v", np.ones(4, np.float32)),
        constant("p", [20, 0], np.int64),
        constant("x1", [2], np.int64),
        constant("r", np.array([[0, 0, 4, 4]], np.float32)),
        constant("n", [0], np.int64),
    ]
    used = [one for one in nodes if one.output[0] in node.input]
    inputs = [info("x", (1, 4, 8, 8)), info("c1", (1,)), info("c4", (1, 4, 8, 8, 4))]
    inputs = [one for one in inputs if one.name == "x" or any(one.name in other.input for other in used)]
    kept = [one for one in weights if one.name in node.input]
    if node.op_type == "DFT":
        inputs[0] = info("x", (1, 8, 1))
    if node.op_type == "ScatterND":
        inputs = [info("x", (4,)), info("c4", (4, 1))]
    limits = TX2
    if node.op_type in ("Einsum", "Sin"):
        limits = Limits("t", 13, operators=frozenset({"MatMul"}))
    model = net([*used, node], inputs, ["y"], kept, opset=20)
    with pytest.raises(ModelError) as caught:
        lower(model, limits)
    assert f"node '{node.name}' ({node.op_type}) cannot be written for {limits.name}: " in caught.value.message
    assert reason in caught.value.message
    assert remedy in caught.value.hint
    assert "opset 13" in caught.value.context[0]


@pytest.mark.parametrize(
    "node",
    [
        op("Resize", "x _ s", "y", mode="linear", antialias=1),
        op("Resize", "x _ s", "y", mode="cubic", antialias=1, exclude_outside=1),
        op("Resize", "x _ s", "y", mode="linear", coordinate_transformation_mode="half_pixel_symmetric"),
        op("AveragePool", "x", "y", kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 2, 1, 2]),
        op("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1),
        op("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, auto_pad="SAME_UPPER"),
        op("AveragePool", "x", "y", kernel_shape=[1, 1], strides=[2, 2], auto_pad="SAME_UPPER"),
        op("AveragePool", "x", "y", kernel_shape=[1, 2], strides=[2, 3], auto_pad="SAME_LOWER", count_include_pad=1),
        op("LpPool", "x", "y", kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1),
        op("LpPool", "x", "y", kernel_shape=[2, 2], dilations=[3, 2], p=1),
    ],
)
def test_what_older_forms_compute_otherwise_is_written_out(node):
    weights = [constant("s", [1, 1, 0.6, 0.45], np.float32)] if node.op_type == "Resize" else []
    model = net([node], ["x"], ["y"], weights, opset=20)
    shape = onnx.shape_inference.infer_shapes(model).graph.output[0]
    model.graph.output[0].CopyFrom(shape)
    lowered = lower(model, TX2)
    assert lowered.opset == 13
    # ONNX Runtime computes where an element comes from in float32.
    assert difference(model, lowered.model, seeds=range(3)) < 1e-5


def test_windows_that_leave_out_more_than_one_element_are_declined():
    """ONNX Runtime moves such windows inwards, by rules that differ from one of its kernels to the next."""
    pool = op("AveragePool", "x", "y", kernel_shape=[1, 1], strides=[4, 4], auto_pad="SAME_UPPER")
    with pytest.raises(ModelError, match="auto_pad SAME_UPPER leaves 3 elements out"):
        lower(net([pool], ["x"], [info("y", (1, 4, 2, 2))], opset=20), TX2)


def test_a_type_that_came_later_is_an_error_that_names_it():
    nodes = [op("Cast", "x", "b", to=TensorProto.BFLOAT16), op("Round", "b", "r"), op("Cast", "r", "y", to=1)]
    with pytest.raises(ModelError, match="'b' is bfloat16, which Round does not take at opset 13"):
        lower(net(nodes, ["x"], [info("y", (1, 4, 8, 8))], opset=22), TX2)


def test_an_opset_below_the_floor_is_refused():
    with pytest.raises(ModelError, match="old takes opset 11; coachc writes opset 13 at least"):
        lower(net([op("Relu", "x", "y")], ["x"], ["y"]), Limits("old", 11))


def test_float64_inside_becomes_float32():
    nodes = [op("Cast", "x", "d", to=TensorProto.DOUBLE), op("Mul", "d w", "m"), op("Cast", "m", "y", to=1)]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], [constant("w", np.array(1 / 3))])
    lowered = lower(model, Limits("t", 13, float64=False))
    assert lowered.applied == (("float64", 2),)
    assert difference(model, lowered.model) < 1e-6
    assert lower(lowered.model, Limits("t", 13, float64=False)).model is lowered.model
    with pytest.raises(ModelError, match="'x' is float64, which t does not take"):
        lower(net([op("Neg", "x", "y")], [info("x", (2,), "float64")], ["y"]), Limits("t", 13, float64=False))
    model.graph.initializer[0].CopyFrom(constant("w", np.array(1e300)))
    with pytest.raises(ModelError, match="constant 'w' is beyond float32"):
        lower(model, Limits("t", 13, float64=False))


def test_indices_from_the_end_are_counted_from_the_front():
    model = net(
        [op("Gather", "x i", "y", axis=1)], ["x"], [info("y", (1, 2, 8, 8))], [constant("i", [-1, 0], np.int64)]
    )
    assert not lower(model, TX2).changed
    limits = Limits("t", 13, negative_indices=False)
    lowered = lower(model, limits)
    assert [numpy_helper.to_array(t).tolist() for t in lowered.model.graph.initializer] == [[3, 0]]
    assert difference(model, lowered.model) == 0
    assert not lower(lowered.model, limits).changed


def test_a_node_that_is_refused_for_itself_is_taken_apart_or_stays():
    nodes = [op("Einsum", "x", "e", equation="abcd->ab"), op("GlobalAveragePool", "x", "g"), op("Relu", "x", "y")]
    model = net(nodes, ["x"], [info("e", (1, 4)), info("g", (1, 4, 1, 1)), info("y", (1, 4, 8, 8))])
    lowered = lower(model, TX2, refused=dict.fromkeys(("Einsum.e", "GlobalAveragePool.g", "Relu.y"), ()))
    assert lowered.applied == (("Einsum", 1), ("GlobalAveragePool", 1))
    assert operators(lowered.model) == {"ReduceSum", "Transpose", "ReduceMean", "Relu"}
    assert difference(model, lowered.model) < 1e-6
    dots = net([op("Einsum", "x", "y", equation="...d->...")], ["x"], [info("y", (1, 4, 8))])
    assert not lower(dots, TX2, refused={"Einsum.y": ()}).changed


def quantized(*, zero=3, codes="uint8", per_channel=False):
    """A convolution between Q/DQ pairs, its weight behind a DequantizeLinear."""
    scale = np.full(4 if per_channel else (), 0.05, np.float32)
    weights = [
        constant("s", np.float32(0.1)),
        constant("z", np.array(zero, codes)),
        constant("ws", scale),
        constant("wz", np.zeros_like(scale, np.int8)),
        constant("wq", np.random.default_rng(0).integers(-127, 128, (4, 4, 3, 3)).astype(np.int8)),
    ]
    nodes = [
        op("QuantizeLinear", "x s z", "q"),
        op("DequantizeLinear", "q s z", "d"),
        op("DequantizeLinear", "wq ws wz", "w", axis=0),
        op("Conv", "d w", "c", pads=[1] * 4),
        op("QuantizeLinear", "c s z", "cq"),
        op("DequantizeLinear", "cq s z", "y"),
    ]
    return net(nodes, ["x"], [info("y", (1, 4, 8, 8))], weights)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("codes", "zero"), [("uint8", 3), ("int8", -7), ("int8", 0)])
def test_without_int8_quantizers_are_arithmetic_bit_for_bit(codes, zero, per_channel):
    model = quantized(zero=zero, codes=codes, per_channel=per_channel)
    lowered = lower(model, TX2)
    assert lowered.applied == (("DequantizeLinear", 3), ("QuantizeLinear", 2))
    assert not operators(lowered.model) & {"QuantizeLinear", "DequantizeLinear", "Cast"}
    assert difference(model, lowered.model, seeds=range(3)) == 0
    assert not lower(lowered.model, TX2).changed


def test_where_codes_have_to_be_symmetric_only_the_others_are_arithmetic():
    symmetric = Limits("t", 13, quantization="symmetric")
    assert not lower(quantized(zero=0, codes="int8"), symmetric).changed
    model = quantized()
    lowered = lower(model, symmetric)
    assert [n.name for n in lowered.model.graph.node if n.op_type == "DequantizeLinear"] == ["DequantizeLinear.w"]
    assert difference(model, lowered.model) == 0


def test_codes_that_others_read_stay_integers():
    nodes = [op("QuantizeLinear", "x s z", "q"), op("DequantizeLinear", "q s z", "y")]
    weights = [constant("s", np.float32(0.1)), constant("z", np.uint8(9))]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8)), info("q", (1, 4, 8, 8), "uint8")], weights)
    lowered = lower(model, TX2)
    assert operators(lowered.model) >= {"Cast"}
    assert difference(model, lowered.model) == 0


def test_the_stricter_of_two_targets():
    one = Limits("one", 13, operators=frozenset({"Relu", "Conv"}), quantization="symmetric")
    other = Limits("other", 20, operators=frozenset({"Relu", "Gelu"}), float64=False)
    both = common(one, other)
    assert both == Limits("one and other", 13, frozenset({"Relu"}), "symmetric", False)
    assert common(one, one) is one
    assert common(one, Limits("any")).operators == one.operators


def test_every_operator_with_a_later_definition_was_looked_at():
    """A definition that came after 13 with other attributes or inputs has a rewrite, or fails by its attributes."""
    newest = min(onnx.defs.onnx_opset_version(), 27)
    unlisted = []
    for schema in onnx.defs.get_all_schemas():
        name = schema.name
        if schema.domain or not since(name, 13) or since(name, newest) == since(name, 13) or name in OLDER:
            continue
        old, new = (onnx.defs.get_schema(name, opset, "") for opset in (13, newest))
        formals = [[(i.name, i.option) for i in one.inputs] for one in (old, new)]
        if set(old.attributes) != set(new.attributes) or formals[0] != formals[1]:
            unlisted.append(name)
    assert unlisted == ["Range"]  # its one new attribute has a default that says what was
    assert not {name for name in PARTS if not since(name, newest)}


def test_a_custom_operator_passes_through():
    nodes = [helper.make_node("Gelu", ["x"], ["g"], name="custom", domain="com.microsoft"), op("Gelu", "g", "y")]
    model = net(nodes, ["x"], [info("y", (1, 4, 8, 8))], opset=20)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.append(info("g", (1, 4, 8, 8)))
    lowered = lower(model, TX2)
    assert [(n.name, n.domain) for n in lowered.model.graph.node if n.name == "custom"] == [("custom", "com.microsoft")]
    feed = ort.seeded_inputs(model, 0)
    np.testing.assert_allclose(ort.run(model, feed)["y"], ort.run(lowered.model, feed)["y"], atol=1e-6)


def test_weights_are_not_rewritten():
    model = net(
        [op("Conv", "x w", "c"), op("Gelu", "c", "y")], ["x"], ["y"], [random_weight("w", 4, 4, 3, 3)], opset=20
    )
    model = onnx.shape_inference.infer_shapes(model)
    lowered = lower(model, TX2).model
    assert next(t for t in lowered.graph.initializer if t.name == "w") == model.graph.initializer[0]
