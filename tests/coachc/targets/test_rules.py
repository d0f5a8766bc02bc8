"""Target rules: a table of small models with the verdict of each generation, and what concerns whole models."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from coachc.cost.device import LOCAL_SPEC
from coachc.cost.device_files import all_devices, find_device
from coachc.errors import ProfileError
from coachc.frontend.onnx_import import import_model
from coachc.models import synthetic
from coachc.models.zoo import export_model
from coachc.targets.generation import EVIDENCE
from coachc.targets.generation_toml import generations
from coachc.targets.rules import errors, violations
from coachc.targets.target import target_of
from tests.helpers.assertions import control_flow
from tests.helpers.assertions.generation_targets import ALL
from tests.helpers.light import NAMES, shipped
from tests.helpers.onnx_models import constant, info, net, op

#: TensorRT 8.2 on a GPU that has INT8, where its other rules for Q/DQ show.
INT8_82 = dataclasses.replace(ALL["8.2"], name="gtx1080", fast_int8=True, compute_capability="6.1")
X, Y = info("x", (1, 4, 8, 8)), info("y", None)


def model(*nodes: onnx.NodeProto, x=X, y=Y, weights=(), opset: int = 13) -> onnx.ModelProto:
    return net(nodes, [x] if isinstance(x, onnx.ValueInfoProto) else x, [y], weights, opset=opset)


def one(op_type: str, inputs: str = "x", *, x=X, y=Y, weights=(), opset: int = 13, **attributes) -> onnx.ModelProto:
    return model(op(op_type, inputs, "y", name="n", **attributes), x=x, y=y, weights=weights, opset=opset)


def typed(name: str, dtype: int, shape=(1, 4, 8, 8)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def k(value: int) -> onnx.TensorProto:
    return constant("k", [value], np.int64)


def topk(**attributes) -> onnx.NodeProto:
    return op("TopK", "x k", "v y", name="n", axis=1, **attributes)


def branch(op_type: str, output: str) -> onnx.GraphProto:
    return helper.make_graph([op(op_type, "x", output, name=f"in_{output}")], output, [], [info(output, (1, 4, 8, 8))])


def condition(first: onnx.GraphProto, second: onnx.GraphProto) -> onnx.ModelProto:
    node = op("If", "c", "y", name="n", then_branch=first, else_branch=second)
    return model(node, x=[X, info("c", (), "bool")], y=info("y", (1, 4, 8, 8)))


def quantized(zero_point: int = 0, dtype=np.int8, scale=0.5, *, inputs: int = 3, real=np.float32, opset=13):
    """x -> Q -> DQ -> y."""
    weights = [constant("s", scale, real), constant("z", np.full(np.shape(scale), zero_point), dtype)][: inputs - 1]
    names = " ".join(("s", "z")[: inputs - 1])
    axis = {"axis": 1} if np.ndim(scale) else {}
    nodes = [
        op("QuantizeLinear", f"x {names}", "q", name="n", **axis),
        op("DequantizeLinear", f"q {names}", "y", **axis),
    ]
    return model(*nodes, x=info("x", (1, 4, 8, 8), real), weights=weights, opset=opset)


def weighted(codes=None, bias=None) -> onnx.ModelProto:
    """A convolution whose weight or bias is dequantized from a constant of some type."""
    nodes = [op("Conv", "x w b", "y", name="conv", kernel_shape=[3, 3])]
    weights = [constant("s", 0.5, np.float32)]
    for name, shape, kind in (("w", (2, 4, 3, 3), codes), ("b", (2,), bias)):
        weights.append(constant(f"q{name}" if kind else name, np.ones(shape), kind or np.float32))
        if kind:
            zero = " z" if kind is np.int8 else ""
            weights += [constant("z", 0, kind)] if zero else []
            nodes.insert(0, op("DequantizeLinear", f"q{name} s{zero}", name, name="n"))
    return model(*nodes, weights=weights)


def resize(mode: str, coordinates: str = "half_pixel", **more) -> onnx.ModelProto:
    return one(
        "Resize",
        "x _ s",
        weights=[constant("s", [1, 1, 2, 2], np.float32)],
        mode=mode,
        coordinate_transformation_mode=coordinates,
        **more,
    )


EVERYWHERE = frozenset(ALL)
OLD = frozenset({"8.2", "8.5", "8.6"})
NUMBERED = EVERYWHERE - {"rtx"}

#: What a model breaks and on which generations; elsewhere it has no error.
CASES = {
    "plain": (one("Relu"), "", ()),
    "Mod": (one("Mod", "x x", fmod=1), "op/Mod", {"8.2"}),
    "Reciprocal": (one("Reciprocal"), "", ()),
    "Xor": (one("Xor", "x x", x=info("x", (2,), "bool"), y=info("y", (2,), "bool")), "op/Xor", {"8.2"}),
    "NonZero": (one("NonZero", y=info("y", None, "int64")), "op/NonZero", {"8.2", "rtx"}),
    "HardSwish": (one("HardSwish", opset=14), "opset op/HardSwish", {"8.2"}),
    "GridSample": (one("GridSample", "x g", x=[X, info("g", (1, 8, 8, 2))], opset=16), "opset op/GridSample", {"8.2"}),
    "Det": (one("Det"), "op/Det", EVERYWHERE),
    "DynamicQuantizeLinear": (
        model(op("DynamicQuantizeLinear", "x", "y s z", name="n"), y=info("y", None, "uint8")),
        "op/DynamicQuantizeLinear type/uint8",
        EVERYWHERE,
    ),
    "BitShift": (
        one("BitShift", "x x", x=info("x", (4,), "uint8"), y=info("y", (4,), "uint8"), direction="LEFT"),
        "op/BitShift type/uint8",
        EVERYWHERE,
    ),
    "LayerNormalization": (
        one("LayerNormalization", "x s", weights=[constant("s", np.ones(8, np.float32))], opset=17),
        "op/LayerNormalization opset",
        {"8.2", "8.5"},
    ),
    "opset 18": (one("Relu", opset=18), "opset", OLD),
    "opset 21": (one("Relu", opset=21), "opset", OLD | {"10"}),
    "TopK computed K": (
        model(op("Shape", "x", "k"), topk(), y=info("y", None, "int64")),
        "limit/TopK/k",
        {"8.2", "8.5"},
    ),
    "TopK constant K": (model(topk(), y=info("y", None, "int64"), weights=[k(2)]), "", ()),
    "TopK K = 3840": (
        model(topk(), x=info("x", (1, 5000)), y=info("y", None, "int64"), weights=[k(3840)]),
        "limit/TopK/k-size",
        {"10", "11"},
    ),
    "TopK K = 3841": (
        model(topk(), x=info("x", (1, 5000)), y=info("y", None, "int64"), weights=[k(3841)]),
        "limit/TopK/k-size",
        NUMBERED,
    ),
    "TopK smallest": (
        model(topk(largest=0), y=info("y", None, "int64"), weights=[k(2)]),
        "limit/TopK/topk-largest",
        {"8.2"},
    ),
    "TopK unsorted": (model(topk(sorted=0), y=info("y", None, "int64"), weights=[k(2)]), "", ()),
    "Resize nearest": (resize("nearest", "asymmetric", nearest_mode="floor"), "", ()),
    "Resize cubic": (resize("cubic"), "limit/Resize/mode", {"8.2"}),
    "Resize crop": (resize("nearest", "tf_crop_and_resize"), "limit/Resize/transformation", EVERYWHERE),
    "Resize antialias": (resize("linear", antialias=1, opset=18), "limit/Resize/antialias opset", EVERYWHERE),
    "AveragePool rounded up": (
        one("AveragePool", kernel_shape=[2, 2], strides=[3, 3], pads=[1] * 4, ceil_mode=1, opset=19),
        "limit/AveragePool/average-ceil-windows opset",
        EVERYWHERE,
    ),
    "Pad reflect": (
        one("Pad", "x p", weights=[constant("p", [0, 0, 1, 1, 0, 0, 1, 1])], mode="reflect"),
        "",
        (),
    ),
    "Pad wrap": (
        one("Pad", "x p", weights=[constant("p", [0, 0, 1, 1, 0, 0, 1, 1])], mode="wrap", opset=19),
        "limit/Pad/mode opset",
        OLD,
    ),
    "ConvTranspose computed weight": (
        one("ConvTranspose", "x w", x=[X, info("w", (4, 2, 3, 3))]),
        "limit/ConvTranspose/weight",
        {"8.2"},
    ),
    "Conv 1D": (
        one("Conv", "x w", x=info("x", (1, 4, 8)), weights=[constant("w", np.ones((2, 4, 3), np.float32))]),
        "",
        (),
    ),
    "AveragePool 1D": (
        one("AveragePool", x=info("x", (1, 4, 8)), kernel_shape=[2]),
        "",
        (),
    ),
    "MaxPool indices": (
        model(op("MaxPool", "x", "y i", name="n", kernel_shape=[2, 2])),
        "limit/MaxPool/indices",
        EVERYWHERE,
    ),
    "MaxPool dilated": (
        one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
        "limit/MaxPool/dilations",
        set(ALL),
    ),
    "Einsum": (one("Einsum", "x x", equation="bcij,bcjk->bcik"), "", ()),
    "Einsum ellipsis": (one("Einsum", "x x", equation="...ij,...jk->...ik"), "limit/Einsum/equation", OLD),
    "Einsum diagonal": (one("Einsum", equation="bcii->bci"), "limit/Einsum/equation", OLD | {"10"}),
    "Einsum broadcast": (
        one("Einsum", "x w", weights=[constant("w", np.ones((1, 1, 8, 8), np.float32))], equation="bcij,bcjk->bcik"),
        "limit/Einsum/equation",
        OLD | {"10"},
    ),
    "Slice computed axes": (
        model(
            op("Shape", "x", "s"),
            op("Slice", "x a b s", "y", name="n"),
            weights=[constant("a", [0] * 4), constant("b", [1] * 4)],
        ),
        "limit/Slice/slice-axes",
        OLD,
    ),
    "Slice to the end": (
        one("Slice", "x a b a", weights=[constant("a", [0]), constant("b", [2**63 - 1])]),
        "",
        (),
    ),
    "wide int64": (
        one("Add", "x w", x=info("x", (1,), "int64"), y=info("y", (1,), "int64"), weights=[constant("w", [2**40])]),
        "narrowed/int64",
        OLD,
    ),
    "the widest int64": (
        one("Add", "x w", x=info("x", (1,), "int64"), y=info("y", (1,), "int64"), weights=[constant("w", [-(2**63)])]),
        "narrowed/int64",
        OLD,
    ),
    "Loop of the most iterations": (control_flow.SIDES["loop-iteration-number"].taken[1], "", ()),
    "Squeeze computed axes": (
        one("Squeeze", "x a", x=[X, info("a", (1,), "int64")]),
        "limit/Squeeze/squeeze-axes limit/Squeeze/squeeze-axes-built",
        EVERYWHERE,
    ),
    "ReduceMean computed axes": (
        one("ReduceMean", "x a", x=[X, info("a", (1,), "int64")], opset=18),
        "limit/ReduceMean/reduce-axes opset",
        EVERYWHERE,
    ),
    "If": (condition(branch("Relu", "t"), branch("Abs", "e")), "", ()),
    "If same names": (condition(branch("Relu", "t"), branch("Abs", "t")), "limit/If/if-names", {"8.2"}),
    "If with Det inside": (condition(branch("Relu", "t"), branch("Det", "e")), "op/Det", EVERYWHERE),
    "uint8 output": (one("Cast", y=info("y", None, "uint8"), to=TensorProto.UINT8), "type/uint8", {"8.2"}),
    "uint8 inside": (
        model(
            op("Cast", "x", "u", name="n", to=TensorProto.UINT8),
            op("Cast", "u", "y", to=TensorProto.FLOAT),
        ),
        "type/uint8 io-only/uint8",
        EVERYWHERE,
    ),
    "uint8 arithmetic": (
        one("Add", "x x", x=info("x", (4,), "uint8"), y=info("y", (4,), "uint8"), opset=14),
        "type/uint8 io-only/uint8 opset",
        EVERYWHERE,
    ),
    "int16": (one("Relu", x=info("x", (4,), "int16"), y=info("y", (4,), "int16"), opset=14), "type/int16 opset", ALL),
    "bfloat16": (
        one("Add", "x x", x=typed("x", TensorProto.BFLOAT16), y=typed("y", TensorProto.BFLOAT16)),
        "type/bfloat16",
        OLD,
    ),
    "float64": (one("Abs", x=info("x", (4,), "float64"), y=info("y", (4,), "float64")), "", ()),
    "nine axes": (one("Relu", x=info("x", (1,) * 9)), "rank", EVERYWHERE),
    "BatchNormalization training": (
        model(
            op("BatchNormalization", "x s s s s", "y m v", name="n", training_mode=1),
            weights=[constant("s", np.ones(4, np.float32))],
            opset=15,
        ),
        "limit/BatchNormalization/training opset",
        EVERYWHERE,
    ),
    "ScatterND add": (
        one(
            "ScatterND",
            "x i u",
            x=info("x", (4,)),
            weights=[constant("i", [[1]]), constant("u", [2], np.float32)],
            reduction="add",
            opset=16,
        ),
        "limit/ScatterND/scatternd-reduction limit/ScatterND/scatternd-no-reduction opset",
        EVERYWHERE,
    ),
    "GRU bidirectional": (
        one(
            "GRU",
            "x w r",
            x=info("x", (3, 1, 4)),
            weights=[constant("w", np.ones((2, 6, 4), np.float32)), constant("r", np.ones((2, 6, 2), np.float32))],
            hidden_size=2,
            direction="bidirectional",
            activations=["Sigmoid", "Tanh", "Sigmoid", "Relu"],
        ),
        "limit/GRU/bidirectional",
        EVERYWHERE,
    ),
    "Q/DQ": (quantized(), "quantize/hardware", {"8.2"}),
    "Q/DQ zero point 3": (quantized(3), "quantize/zero-point quantize/hardware", EVERYWHERE),
    "Q/DQ uint8": (quantized(dtype=np.uint8), "quantize/codes quantize/uint8 quantize/hardware type/uint8", EVERYWHERE),
    "Q/DQ of no zero point": (
        quantized(inputs=2),
        "limit/QuantizeLinear/quantizer-zero-point limit/DequantizeLinear/quantizer-zero-point "
        "quantize/codes quantize/uint8 quantize/hardware type/uint8",
        EVERYWHERE,
    ),
    "Q/DQ negative scale": (quantized(scale=-0.5), "quantize/scale quantize/hardware", EVERYWHERE),
    "Q/DQ per channel": (quantized(scale=[0.5] * 4), "quantize/per-channel quantize/hardware", {"8.2"}),
    "Q/DQ int16": (
        quantized(dtype=np.int16, opset=21),
        "quantize/codes type/int16 quantize/hardware opset",
        EVERYWHERE,
    ),
    "Q/DQ int8 weights": (weighted(np.int8), "quantize/weights quantize/hardware", {"8.2", "8.5"}),
    "Q/DQ int32 bias": (weighted(bias=np.int32), "quantize/bias limit/Conv/bias quantize/hardware", EVERYWHERE),
    "Conv computed bias": (
        one(
            "Conv",
            "x w b",
            x=[X, info("b", (2,))],
            weights=[constant("w", np.ones((2, 4, 3, 3), np.float32))],
            kernel_shape=[3, 3],
        ),
        "limit/Conv/bias",
        {"8.2"},
    ),
    "com.microsoft": (
        model(
            helper.make_node("Gelu", ["x"], ["y"], name="n", domain="com.microsoft"),
            opset=13,
        ),
        "domain/com.microsoft",
        EVERYWHERE,
    ),
}


def kinds(found) -> set[str]:
    return {violation.rule.split("/", 1)[1] for violation in found}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("generation", ALL)
def test_verdict(generation, name):
    proto, broken, where = CASES[name]
    found = errors(proto, ALL[generation])
    if generation in where:
        assert found
        assert kinds(found) <= set(broken.split()), found
        assert any(violation.node in ("n", "in_e", "x", "y", "") for violation in found)
    else:
        # A newer opset than the generation's is its own error, and says nothing of the operator.
        assert kinds(found) <= {"opset"}, found


@pytest.mark.parametrize("name", CASES)
def test_every_violation_explains_itself(name):
    for target in (*ALL.values(), INT8_82):
        for violation in violations(CASES[name][0], target):
            assert violation.rule.startswith(generations()[target.generation].prefix + "/")
            assert violation.reason
            assert violation.remedy
            assert violation.source.split(":")[0] in EVIDENCE
            assert violation.severity in ("error", "warning")


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (quantized(), {}),
        (
            quantized(inputs=2),
            {"limit/QuantizeLinear/quantizer-zero-point": "three inputs are required; found no input 2"},
        ),
        (quantized(3), {"quantize/zero-point": "zero point 'z' must be 0; found 3"}),
        (quantized(dtype=np.uint8), {"quantize/codes": "codes are uint8; taken: int8"}),
        (quantized(scale=[0.5] * 4), {"quantize/per-channel": "a scale per channel is for weights only"}),
        (quantized(scale=0.0), {"quantize/scale": "scale 's' is not positive everywhere"}),
        (quantized(real=np.float16, opset=19), {"quantize/input": "quantizes float16; taken: float"}),
        (
            net(
                [op("QuantizeLinear", "x s z", "y", name="n")],
                [X, info("s", ()), info("z", (), "int8")],
                [info("y", None, "int8")],
            ),
            {
                "quantize/constant": "scale 's' is computed; it must be an initializer",
                "quantize/zero-point": "zero point 'z' is computed; it must be 0",
            },
        ),
    ],
)
def test_quantizers_of_8_2(proto, expected):
    found = {violation.rule.removeprefix("trt8.2/"): violation.reason for violation in errors(proto, INT8_82)}
    found.pop("opset", None)
    assert {rule: reason for rule, reason in found.items() if rule in expected} == expected
    assert set(found) <= {*expected, "quantize/codes", "type/uint8"} if expected else not found


def test_per_channel_weights_are_taken():
    proto = net(
        [
            op("QuantizeLinear", "w s z", "q", axis=0),
            op("DequantizeLinear", "q s z", "d", axis=0),
            op("Conv", "x d", "y", kernel_shape=[3, 3]),
        ],
        [X],
        [Y],
        [
            constant("w", np.ones((2, 4, 3, 3), np.float32)),
            constant("s", [0.5, 0.25], np.float32),
            constant("z", [0, 0], np.int8),
        ],
    )
    assert errors(proto, INT8_82) == []


@pytest.mark.parametrize(
    ("proto", "generation", "reason", "remedy"),
    [
        (
            weighted(np.int8),
            "8.5",
            "'qw' is an int8 constant; weights must be float and quantized by a QuantizeLinear",
            "`coachc compile` does that; or keep weights in float "
            "(onnxruntime: extra_options={'AddQDQPairToWeight': True})",
        ),
        (
            weighted(bias=np.int32),
            "10",
            "'qb' is int32, as biases are; taken: int8, int4, float8e4m3fn",
            "`coachc compile` makes floats of it; or leave biases in float "
            "(onnxruntime: extra_options={'QuantizeBias': False})",
        ),
        (
            quantized(3),
            "8.5",
            "zero point 'z' must be 0; found 3",
            "`coachc compile` writes it with Div, Round, Add, Clip and Mul; or quantize symmetrically (zero point 0)",
        ),
    ],
)
def test_quantizers_say_what_to_do(proto, generation, reason, remedy):
    first = errors(proto, ALL[generation])[0]
    assert (first.reason, first.remedy) == (reason, remedy)


def test_without_int8_nothing_more_is_said_of_a_quantizer():
    found = errors(quantized(3, np.uint8, inputs=3), ALL["8.2"])
    assert [one.rule for one in found] == ["trt8.2/quantize/hardware"] * 2


@pytest.mark.parametrize("op_type", ["QLinearAdd", "QGemm", "QuantizeLinear", "MatMulIntegerToFloat"])
def test_operators_of_onnx_runtime_on_codes(op_type):
    proto = model(helper.make_node(op_type, ["x"], ["y"], name="n", domain="com.microsoft"))
    (found,) = errors(proto, ALL["11"])
    assert "QuantFormat.QDQ" in found.remedy


def test_the_reason_names_device_type_and_node():
    (hardware, *_), (mod,) = errors(quantized(), ALL["8.2"]), errors(CASES["Mod"][0], ALL["8.2"])
    assert "tx2 has no INT8 arithmetic" in hardware.reason
    assert hardware.source.startswith("documented: platformHasFastInt8")
    assert (mod.rule, mod.node, mod.operator) == ("trt8.2/op/Mod", "n", "Mod")
    assert mod.reason == "not in the parser's operator list"
    assert "floor(a / b)" in mod.remedy


def test_an_unnamed_node_is_called_after_what_it_makes():
    proto = one("Mod", "x x", fmod=1)
    proto.graph.node[0].name = ""
    assert errors(proto, ALL["8.2"])[0].node == "y"


def test_an_unknown_operator():
    (found,) = errors(one("Frobnicate"), ALL["11"])
    assert (found.rule, found.reason) == ("trt11/op/Frobnicate", "not in the parser's operator list")


def test_operators_of_a_later_release():
    proto = one("BlackmanWindow", x=info("x", (), "int64"), opset=17)
    (found,) = errors(proto, ALL["10"])
    assert found.reason == "not in the parser's operator list; it comes with 10.4"
    assert errors(proto, dataclasses.replace(ALL["10"], release="10.4")) == []
    axes = one("Einsum", equation="bcii->bci")
    assert errors(axes, dataclasses.replace(ALL["10"], release="10.12")) == []


def test_types_that_a_gpu_lacks():
    proto = one("Add", "x x", x=typed("x", TensorProto.BFLOAT16), y=typed("y", TensorProto.BFLOAT16))
    (found, *_) = errors(proto, dataclasses.replace(ALL["11"], name="t4", compute_capability="7.5"))
    assert found.rule == "trt11/capability/bfloat16"
    assert "needs compute capability 8.0; t4 has 7.5" in found.reason


def test_what_is_narrowed_is_a_warning():
    found = violations(CASES["float64"][0], ALL["8.5"])
    assert kinds(found) == {"narrowed/double-input", "narrowed/double-output", "narrowed/double"}
    assert {violation.severity for violation in found} == {"warning"}


def test_undocumented_types_are_a_warning():
    proto = one("Softmax", x=info("x", (1, 4), "int32"), y=info("y", (1, 4), "int32"))
    (found,) = violations(proto, ALL["8.5"])
    assert (found.rule, found.severity) == ("trt8.5/types/Softmax", "warning")


def test_a_newer_ir_is_a_warning():
    proto = one("Relu", opset=13)
    proto.ir_version = 10
    (found,) = violations(proto, ALL["8.5"])
    assert (found.rule, found.severity) == ("trt8.5/ir", "warning")


def test_local_functions():
    proto = one("Twice", x=X, y=info("y", (1, 4, 8, 8)))
    proto.graph.node[0].domain = "local"
    body = [op("Add", "a a", "s"), op("Det", "s", "b", name="inner")]
    opsets = [helper.make_opsetid("", 13)]
    proto.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, opsets))
    proto.opset_import.append(helper.make_opsetid("local", 1))
    assert kinds(errors(proto, ALL["8.6"])) == {"functions"}
    (inside,) = errors(proto, ALL["11"])
    assert (inside.rule, inside.node) == ("trt11/op/Det", "inner")


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize(
    "make",
    [
        synthetic.chain,
        synthetic.diamond,
        synthetic.residual,
        synthetic.inception,
        synthetic.dense,
        synthetic.nested,
        synthetic.two_inputs,
        synthetic.two_outputs,
    ],
)
def test_synthetic_models(make, opset):
    proto = make(opset=opset)
    too_new = {name for name, target in ALL.items() if errors(proto, target)}
    assert too_new == {name for name, newest in (("8.2", 13), ("8.5", 17), ("8.6", 17)) if opset > newest}


@pytest.mark.parametrize("name", NAMES)
def test_known_topologies_build_everywhere(name):
    proto = import_model(shipped(name)).proto
    assert [violations(proto, target) for target in ALL.values()] == [[]] * len(ALL)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("opset", [13, 17])
def test_an_exported_network(opset, tmp_path):
    export_model("squeezenet1_1", tmp_path / "s.onnx", opset=opset)
    proto = onnx.load(tmp_path / "s.onnx")
    assert {name: kinds(violations(proto, target)) for name, target in ALL.items()} == {
        name: {"opset"} if name == "8.2" and opset > 13 else set() for name in ALL
    }


def test_the_committed_network(tmp_path):
    export_model("digits", tmp_path / "d.onnx", opset=13)
    proto = onnx.load(tmp_path / "d.onnx")
    assert all(not violations(proto, target) for target in ALL.values())


def test_targets_of_devices():
    found = {name: target_of(spec) for name, spec in all_devices().items()}
    assert {name: found[name].generation for name in ("tx2", "xavier-nx", "orin-nano", "a6000", "h100")} == {
        "tx2": "8.2",
        "xavier-nx": "8.5",
        "orin-nano": "10",
        "a6000": "11",
        "h100": "11",
    }
    assert [name for name, target in found.items() if not target.fast_int8] == ["tx2"]
    assert "BitShift" not in (found["a6000"].operators or ())
    assert "Mod" not in (found["tx2"].operators or ())
    for name, spec in all_devices().items():
        rules = found[name].rules
        assert rules is not None
        assert rules.newest_opset == spec.max_opset


def test_onnx_runtime_takes_everything():
    local = target_of(LOCAL_SPEC)
    assert (local.rules, local.operators) == (None, None)
    assert violations(one("Frobnicate"), local) == []


def test_a_tensorrt_without_rules():
    old = dataclasses.replace(find_device("tx2", side="device"), tensorrt="7.1")
    with pytest.raises(ProfileError, match=r"no rules for TensorRT 7\.1 of tx2"):
        target_of(old)
