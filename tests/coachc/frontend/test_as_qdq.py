"""Operators on codes written as Q/DQ: ONNX Runtime runs the originals; results are the same but for single steps."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from coachc.frontend import ort
from coachc.frontend.as_qdq import as_qdq
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.frontend.order import order
from coachc.frontend.qoperators import FORMS, MOVES
from coachc.models.synthetic import chain
from tests.helpers.onnx_models import constant, info, net, op
from tests.helpers.quantized import on_codes

pytestmark = pytest.mark.needs("onnxruntime")

MICROSOFT = "com.microsoft"
IMAGE = {"a": (1, 4, 6, 6)}
RNG = np.random.default_rng(7)


def kernel(*shape: int, dtype: str = "int8") -> onnx.TensorProto:
    limits = np.iinfo(dtype)
    return constant("w", RNG.integers(limits.min, limits.max + 1, shape).astype(dtype))


def scales(count: int | None) -> list[onnx.TensorProto]:
    """A scale and a zero point of the kernel: of all of it, or of each channel."""
    size = () if count is None else (count,)
    return [
        constant("sw", RNG.uniform(0.002, 0.01, size).astype(np.float32)),
        constant("zw", np.zeros(size, np.int8)),
    ]


def bias(count: int) -> onnx.TensorProto:
    return constant("bias", RNG.integers(-4000, 4000, count).astype(np.int32))


def foreign(op_type: str, inputs: str, outputs: str = "q", **attributes) -> onnx.NodeProto:
    node = op(op_type, inputs, outputs, name="n", **attributes)
    node.domain = MICROSOFT
    return node


def conv(inputs: str = "qa sa za w sw zw sq zq bias", **attributes) -> onnx.NodeProto:
    return op("QLinearConv", inputs, "q", name="n", **attributes)


CASES = {
    "QLinearConv": on_codes([conv(pads=[1] * 4)], IMAGE, [kernel(5, 4, 3, 3), *scales(None), bias(5)]),
    "QLinearConv per channel": on_codes(
        [conv(strides=[2, 2])],
        IMAGE,
        [kernel(6, 4, 3, 3), *scales(6), bias(6)],
    ),
    "QLinearConv int8 grouped, no bias": on_codes(
        [conv("qa sa za w sw zw sq zq", group=2)], IMAGE, [kernel(6, 2, 3, 3), *scales(6)], codes="int8"
    ),
    "QLinearConv of a scale with an axis": on_codes(
        [conv()],
        IMAGE,
        [kernel(5, 4, 1, 1), constant("sw", np.float32([0.01])), constant("zw", np.int8([0])), bias(5)],
    ),
    "QLinearMatMul": on_codes(
        [op("QLinearMatMul", "qa sa za w sw zw sq zq", "q", name="n")], {"a": (3, 8)}, [kernel(8, 5), *scales(None)]
    ),
    "QLinearMatMul per column": on_codes(
        [op("QLinearMatMul", "qa sa za w sw zw sq zq", "q", name="n")], {"a": (3, 8)}, [kernel(8, 5), *scales(5)]
    ),
    "QGemm": on_codes(
        [foreign("QGemm", "qa sa za w sw zw bias sq zq", transB=1)],
        {"a": (3, 8)},
        [kernel(5, 8), *scales(5), bias(5)],
    ),
    "QGemm not transposed": on_codes(
        [foreign("QGemm", "qa sa za w sw zw _ sq zq")], {"a": (3, 8)}, [kernel(8, 5), *scales(None)]
    ),
    "QLinearAdd": on_codes([foreign("QLinearAdd", "qa sa za qb sb zb sq zq")], {"a": (2, 9), "b": (1, 9)}),
    "QLinearMul": on_codes([foreign("QLinearMul", "qa sa za qb sb zb sq zq")], {"a": (2, 9), "b": (2, 9)}),
    "QLinearAveragePool": on_codes(
        [foreign("QLinearAveragePool", "qa sa za sq zq", kernel_shape=[3, 3], pads=[1] * 4)], IMAGE
    ),
    "QLinearGlobalAveragePool": on_codes([foreign("QLinearGlobalAveragePool", "qa sa za sq zq")], IMAGE),
    "QLinearLeakyRelu": on_codes([foreign("QLinearLeakyRelu", "qa sa za sq zq", alpha=0.2)], IMAGE),
    "QLinearSigmoid": on_codes([foreign("QLinearSigmoid", "qa sa za sq zq")], IMAGE),
    "QLinearSoftmax": on_codes([foreign("QLinearSoftmax", "qa sa za sq zq", axis=-1, opset=13)], {"a": (3, 8)}),
    "QLinearConcat": on_codes(
        [foreign("QLinearConcat", "sq zq qa sa za qb sb zb", axis=1)], {"a": (1, 4, 3), "b": (1, 2, 3)}
    ),
    "QLinearWhere": on_codes(
        [op("Greater", "a b", "c"), foreign("QLinearWhere", "c qa sa za qb sb zb sq zq")], {"a": (2, 9), "b": (2, 9)}
    ),
}


def run(model: onnx.ModelProto, seed: int) -> np.ndarray:
    feed = ort.seeded_inputs(model, seed)
    (found,) = ort.run(model, {name: 2 * array for name, array in feed.items()}).values()
    return found


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """In its new form, through what the importer does with it."""
    made = order(as_qdq(order(model)))
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def steps(model: onnx.ModelProto, made: onnx.ModelProto) -> np.ndarray:
    (scale,) = (onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == "sq")
    return np.concatenate(
        [np.ravel(np.abs(run(model, seed).astype(np.float64) - run(made, seed)) / scale) for seed in range(8)]
    )


@pytest.mark.parametrize("name", CASES)
def test_an_operator_on_codes(name):
    model = CASES[name]
    made = checked(model)
    assert not any((node.domain, node.op_type) in FORMS for node in made.graph.node)
    assert [entry.domain for entry in made.opset_import] == [""]
    found = steps(model, made)
    assert np.ptp(run(model, 0)) > 0
    # Where ONNX Runtime adds integers and these are sums of floats, a value at the border of two codes gets the other.
    assert found.max() < 1.01
    assert np.mean(found > 0.01) < 0.05


def test_every_form_has_a_case():
    covered = {(node.domain, node.op_type) for model in CASES.values() for node in model.graph.node}
    quantizers = {(MICROSOFT, "QuantizeLinear"), (MICROSOFT, "DequantizeLinear"), (MICROSOFT, "QLinearConv")}
    assert set(FORMS) - covered == quantizers


MOVED = {
    "DepthToSpace": op("DepthToSpace", "qa", "m", blocksize=2),
    "Expand": op("Expand", "qa sizes", "m"),
    "Flatten": op("Flatten", "qa", "m"),
    "Gather": op("Gather", "qa index", "m", axis=1),
    "Identity": op("Identity", "qa", "m"),
    "MaxPool": op("MaxPool", "qa", "m", kernel_shape=[3, 3], pads=[1] * 4),
    "Reshape": op("Reshape", "qa shape", "m"),
    "Resize": op("Resize", "qa _ factors", "m", mode="nearest"),
    "Slice": op("Slice", "qa one two one", "m"),
    "SpaceToDepth": op("SpaceToDepth", "qa", "m", blocksize=2),
    "Split": op("Split", "qa", "rest m", axis=1),
    "Squeeze": op("Squeeze", "qa zero", "m"),
    "Tile": op("Tile", "qa sizes", "m"),
    "Transpose": op("Transpose", "qa", "m", perm=[0, 2, 3, 1]),
    "Unsqueeze": op("Unsqueeze", "qa zero", "m"),
}
EXTRA = [
    constant("sizes", [2, 1, 1, 1], np.int64),
    constant("index", [2, 0], np.int64),
    constant("shape", [4, -1], np.int64),
    constant("factors", np.float32([1, 1, 2, 2])),
    constant("zero", [0], np.int64),
    constant("one", [1], np.int64),
    constant("two", [3], np.int64),
]


@pytest.mark.parametrize("name", sorted(MOVES))
def test_what_moves_codes_moves_their_values(name):
    """To the bit, and no codes are left between the quantizer and what uses the value."""
    nodes = [MOVED[name], foreign("QLinearSigmoid", "m sa za sq zq")]
    model = on_codes(nodes, IMAGE, EXTRA)
    made = checked(model)
    assert all(np.array_equal(run(model, seed), run(made, seed)) for seed in range(4))
    kinds = {value.name: value.type.tensor_type.elem_type for value in made.graph.value_info}
    mover = next(node for node in made.graph.node if node.op_type == name)
    assert kinds[mover.output[-1]] == onnx.TensorProto.FLOAT


def test_codes_that_are_read_as_codes_are_made():
    """As an output of the model, and by an operator that computes on them."""
    model = on_codes(
        [op("Transpose", "qa", "m", perm=[0, 2, 3, 1]), foreign("QLinearSigmoid", "m sa za q_scale zq", "s"),
         op("Cast", "m", "q", to=onnx.TensorProto.UINT8)],
        IMAGE,
        [constant("q_scale", np.float32(0.004))],
        returned="",
    )  # fmt: skip
    model.graph.output.append(info("m", None, "uint8"))
    made = checked(model)
    for seed in range(3):
        feed = ort.seeded_inputs(model, seed)
        expected, found = ort.run(model, feed), ort.run(made, feed)
        assert all(np.array_equal(expected[output], found[output]) for output in ("q", "m"))


def test_a_value_is_dequantized_once():
    nodes = [
        foreign("QLinearSigmoid", "qa sa za sq zq", "q1"),
        foreign("QLinearLeakyRelu", "qa sa za sq zq", "q2"),
        op("DequantizeLinear", "qa sa za", "r"),
        foreign("QLinearAdd", "q1 sq zq q2 sq zq sq zq"),
    ]
    model = on_codes(nodes, IMAGE)
    model.graph.output.append(info("r", None))
    made = checked(model)
    assert sum(node.op_type == "DequantizeLinear" and node.input[0] == "qa" for node in made.graph.node) == 1


def test_microsofts_quantizers_are_onnxs():
    model = on_codes([foreign("QuantizeLinear", "a sq zq")], {"a": (2, 9)}, returned="")
    model.graph.node.append(foreign("DequantizeLinear", "q sq zq", "y"))
    model.graph.node[-1].name = "m"
    model.graph.output[0].CopyFrom(info("y", None))
    made = checked(model)
    assert {node.domain for node in made.graph.node} == {""}
    assert np.array_equal(run(model, 0), run(made, 0))


@pytest.mark.parametrize(
    "node",
    [
        foreign("QLinearGlobalAveragePool", "qa sa za sq zq", channels_last=1),
        foreign("QLinearSoftmax", "qa sa za sq zq", axis=1, opset=12),
        foreign("QLinearSigmoid", "qa sa za sq"),
        foreign("QGemm", "qa sa za qa sa za _ sq zq", alpha=2.0, transB=1),
    ],
)
def test_what_has_no_form_stays(node):
    """An operator of another kind beside it is still written anew."""
    model = on_codes([foreign("QLinearLeakyRelu", "qa sa za sq zq", "q1"), node], IMAGE)
    made = order(as_qdq(order(model)))
    assert [(n.domain, n.op_type) for n in made.graph.node if n.domain] == [(MICROSOFT, node.op_type)]
    assert [entry.domain for entry in made.opset_import] == ["", MICROSOFT]


def test_other_models_are_left_alone():
    for model in (chain(), net([op("Relu", "x", "y")], ["x"], ["y"])):
        assert as_qdq(model) is model
    quantized = net(
        [op("QuantizeLinear", "x s", "q"), op("DequantizeLinear", "q s", "r"), op("Relu", "r", "y")],
        ["x"],
        ["y"],
        [constant("s", np.float32(0.1))],
    )
    assert as_qdq(quantized) is quantized


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_codes_that_fork_are_no_place_to_cut(kind, tmp_path):
    """Real values are; TensorRT 8.2 has no uint8 that could leave the device."""
    nodes = [op("QuantizeLinear", "x s z", "q"), op("MaxPool", "q", "m", kernel_shape=[2, 2])]
    for index in "12":
        nodes += [op("DequantizeLinear", "m s z", f"d{index}"), op("GlobalAveragePool", f"d{index}", f"g{index}")]
    weights = [constant("s", np.float32(0.02)), constant("z", np.array(0, kind))]
    model = net([*nodes, op("Add", "g1 g2", "y")], ["x"], ["y"], weights, opset=13)
    onnx.save(model, tmp_path / "n.onnx")
    found = import_model(tmp_path / "n.onnx")
    graph = fuse(found)
    assert {value.dtype for value in graph.values.values()} == {"float32"}
    assert np.array_equal(run(model, 0), run(found.proto, 0))


def test_constants_may_be_nodes(tmp_path):
    """As exporters write them that are not ONNX Runtime's quantizer."""
    model = CASES["QLinearConv"]
    written = onnx.ModelProto()
    written.CopyFrom(model)
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in written.graph.initializer]
    kept = [*nodes, *written.graph.node]
    del written.graph.initializer[:], written.graph.node[:]
    written.graph.node.extend(kept)
    onnx.save(written, tmp_path / "n.onnx")
    found = import_model(tmp_path / "n.onnx").proto
    assert {node.op_type for node in found.graph.node} == {"QuantizeLinear", "DequantizeLinear", "Conv"}
    assert steps(model, found).max() < 1.01
