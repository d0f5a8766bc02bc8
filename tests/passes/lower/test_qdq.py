"""Quantizers of a model's own as targets take them: the original under ONNX Runtime says what is right."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from coachc.frontend import ort
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_model import lower
from tests.helpers.onnx_models import constant, info, net, op

pytestmark = pytest.mark.needs("onnxruntime")

#: A GPU without INT8 (TX2), and one that takes int8 codes with zero point 0.
NONE, SYMMETRIC = Limits("tx2", 13, quantization="none"), Limits("nx", 17, quantization="symmetric")
RNG = np.random.default_rng(3)
X = info("x", (1, 4, 6, 6))
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def conv(*weight_nodes: onnx.NodeProto, weights, zero: int = 0, codes: str = "int8", inputs="r w b") -> onnx.ModelProto:
    """x quantized, then convolved with a weight that `weight_nodes` make of what is in `weights`."""
    nodes = [
        op("QuantizeLinear", "x sx zx", "q"),
        op("DequantizeLinear", "q sx zx", "r"),
        *weight_nodes,
        op("Conv", inputs, "y", pads=[1] * 4),
    ]
    grid = [constant("sx", np.float32(0.03)), constant("zx", np.array(zero, codes))]
    return net(nodes, [X], [info("y", (1, 5, 6, 6))], [*grid, *weights])


def numbers(name: str, *shape: int) -> onnx.TensorProto:
    return constant(name, RNG.standard_normal(shape).astype(np.float32))


def integers(name: str, kind: str, *shape: int) -> onnx.TensorProto:
    limits = np.iinfo(np.int16 if kind == "int32" else kind)
    return constant(name, RNG.integers(limits.min, limits.max + 1, shape).astype(kind))


def grid(count: int | None, kind: str = "int8", zero: int = 0) -> list[onnx.TensorProto]:
    size = () if count is None else (count,)
    scale = RNG.uniform(0.003, 0.01, size).astype(np.float32)
    return [constant("sw", scale), constant("zw", np.full(size, zero, kind))]


def float_weight(count: int | None = 5) -> onnx.ModelProto:
    """As NVIDIA's quantizers export it: the float weight, quantized in the graph."""
    along = {} if count is None else {"axis": 0}
    nodes = [op("QuantizeLinear", "f sw zw", "qw", **along), op("DequantizeLinear", "qw sw zw", "w", **along)]
    return conv(*nodes, weights=[numbers("f", 5, 4, 3, 3), *grid(count), numbers("b", 5)])


def code_weight(count: int | None = 5, kind: str = "int8", weight_zero: int = 0, **more) -> onnx.ModelProto:
    """As ONNX Runtime's quantizer writes it: codes, and a bias in int32."""
    along = {} if count is None else {"axis": 0}
    nodes = [op("DequantizeLinear", "qw sw zw", "w", **along), op("DequantizeLinear", "qb sb", "b")]
    weights = [integers("qw", kind, 5, 4, 3, 3), *grid(count, kind, weight_zero)]
    return conv(*nodes, weights=[*weights, integers("qb", "int32", 5), constant("sb", np.float32(0.0002))], **more)


def same(model: onnx.ModelProto, lowered: onnx.ModelProto) -> bool:
    """Whether both compute the same, to the bit: the same operations on the same numbers."""
    feeds = [ort.seeded_inputs(model, seed) for seed in range(3)]
    return all(
        np.array_equal(found, ort.run(model, feed)[name])
        for feed in feeds
        for name, found in ort.run(lowered, feed).items()
    )


def constants(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    "model",
    [
        float_weight(),
        float_weight(None),
        code_weight(),
        code_weight(None),
        code_weight(None, "uint8", 117, zero=120, codes="uint8"),
        code_weight(zero=-5),
    ],
)
def test_without_int8_weights_are_floats_and_activations_are_rounded(model):
    lowered = lower(model, NONE).model
    assert same(model, lowered)
    assert not set(QUANTIZERS) & set(operators(lowered))
    # The parser takes biases from initializers only, and what Identity makes is none.
    (found,) = (node for node in lowered.graph.node if node.op_type == "Conv")
    assert set(found.input[1:]) <= constants(lowered)
    assert "Identity" not in operators(lowered)
    assert not [tensor.name for tensor in lowered.graph.initializer if tensor.data_type != onnx.TensorProto.FLOAT]
    assert lower(lowered, NONE).model is lowered


@pytest.mark.parametrize("zero", [0, 3])
def test_with_int8_only_what_is_not_symmetric_becomes_arithmetic(zero):
    model = code_weight(zero=zero)
    lowered = lower(model, SYMMETRIC).model
    assert same(model, lowered)
    assert operators(lowered).count("QuantizeLinear") == (0 if zero else 1)
    assert operators(lowered).count("DequantizeLinear") == (1 if zero else 2)
    (found,) = (node for node in lowered.graph.node if node.op_type == "Conv")
    assert found.input[2] in constants(lowered)
    assert lowered.graph.initializer[[t.name for t in lowered.graph.initializer].index(found.input[2])].data_type == 1


@pytest.mark.parametrize("count", [5, None])
def test_int8_constants_go_behind_a_quantizer_where_they_are_refused(count):
    model = code_weight(count)
    first = lower(model, SYMMETRIC).model
    (refused,) = (
        node.name for node in first.graph.node if node.op_type == "DequantizeLinear" and node.input[0] == "qw"
    )
    lowered = lower(first, SYMMETRIC, refused={refused: ()}).model
    assert same(model, lowered)
    (node,) = (node for node in lowered.graph.node if node.name == refused)
    (maker,) = (maker for maker in lowered.graph.node if node.input[0] in maker.output)
    assert maker.op_type == "QuantizeLinear"
    assert maker.input[0] in constants(lowered)
    assert not any(tensor.name == "qw" for tensor in lowered.graph.initializer)
    # Neither again, nor where nothing refuses it.
    assert lower(lowered, SYMMETRIC, refused={refused: ()}).model is lowered
    assert lower(model, Limits("any"), refused={}).model is model


@pytest.mark.parametrize("seed", range(20))
def test_the_codes_come_back_whatever_the_scale(seed):
    rng = np.random.default_rng(seed)
    scale = (10.0 ** rng.uniform(-9, 6, 5)).astype(np.float32)
    codes = np.tile(np.arange(-128, 128), (5, 1)).astype(np.int8)
    nodes = [op("DequantizeLinear", "c s z", "w", name="d", axis=0), op("Mul", "x w", "y")]
    weights = [constant("c", codes), constant("s", scale), constant("z", np.zeros(5, np.int8))]
    model = net(nodes, [info("x", (5, 256))], [info("y", (5, 256))], weights)
    lowered = lower(model, SYMMETRIC, refused={"d": ()}).model
    assert operators(lowered) == ["QuantizeLinear", "DequantizeLinear", "Mul"]
    assert same(model, lowered)


def test_a_constant_that_is_an_output_stays_a_node():
    nodes = [op("DequantizeLinear", "c s z", "w"), op("Mul", "x w", "y")]
    weights = [integers("c", "int8", 4), constant("s", np.float32(0.1)), constant("z", np.int8(0))]
    model = net(nodes, [info("x", (2, 4))], [info("y", (2, 4)), info("w", (4,))], weights)
    lowered = lower(model, NONE).model
    assert operators(lowered) == ["Identity", "Mul"]
    assert same(model, lowered)


def test_constant_codes_on_a_computed_grid():
    nodes = [op("ReduceMax", "x", "top", keepdims=0), op("Abs", "top", "s"), op("DequantizeLinear", "c s", "w"),
             op("Mul", "x w", "y")]  # fmt: skip
    model = net(nodes, [info("x", (2, 4))], [info("y", (2, 4))], [integers("c", "int8", 4)])
    lowered = lower(model, NONE).model
    assert same(model, lowered)
    assert not any(tensor.data_type == onnx.TensorProto.INT8 for tensor in lowered.graph.initializer)


@pytest.mark.parametrize(
    "weights",
    [
        [integers("c", "int8", 4), constant("s", np.float32(0.1)), constant("z", np.int8(3))],
        [integers("c", "uint8", 4), constant("s", np.float32(0.1)), constant("z", np.uint8(0))],
        [constant("c", np.int8([127, 1, 2, 3])), constant("s", np.float32(3e38)), constant("z", np.int8(0))],
    ],
    ids=["asymmetric", "unsigned", "real values overflow"],
)
def test_what_has_no_float_form_stays(weights):
    nodes = [op("DequantizeLinear", "c s z", "w", name="d"), op("Mul", "x w", "y")]
    model = net(nodes, [info("x", (2, 4))], [info("y", (2, 4))], weights)
    assert lower(model, Limits("any"), refused={"d": ()}).model is model
