"""What each operator on codes is made of: the table of `coachc.frontend.as_qdq`.

Inputs come in threes: codes, scale, zero point. com.microsoft's operators are documented in ONNX Runtime's
ContribOperators.md, the others by ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx

from coachc.frontend import walk
from coachc.frontend.qdq_writer import NoForm, Writer

Form = Callable[[onnx.NodeProto, Writer], None]
MICROSOFT = "com.microsoft"


def _attributes(node: onnx.NodeProto, *without: str) -> dict[str, Any]:
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute if entry.name not in without}


def _input(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if index < len(node.input) else ""


def _real(node: onnx.NodeProto, w: Writer, at: int, axis: int | None = None) -> str:
    """What three inputs from an index on stand for."""
    return w.real(_input(node, at), _input(node, at + 1), _input(node, at + 2), axis)


def _quantize(node: onnx.NodeProto, w: Writer, real: str, at: int) -> None:
    """The output of the node, on the grid that two inputs from an index on state."""
    w.quantize(real, node.output[0], _input(node, at), _input(node, at + 1))


def conv(node: onnx.NodeProto, w: Writer) -> None:
    """Kernels may have a scale each; the bias is int32 on the product of both scales."""
    if walk.attribute(node, "channels_last", 0):
        raise NoForm
    inputs = [_real(node, w, 0), _real(node, w, 3, axis=0)]
    if bias := _input(node, 8):
        inputs.append(w.real(bias, w.product(node.input[1], node.input[4]), "", axis=0))
    _quantize(node, w, w.add("Conv", inputs, node, **_attributes(node, "channels_last")), 6)


def matmul(node: onnx.NodeProto, w: Writer) -> None:
    """The second factor may have a scale each column."""
    real = w.add("MatMul", [_real(node, w, 0), _real(node, w, 3, axis=-1)], node)
    _quantize(node, w, real, 6)


def gemm(node: onnx.NodeProto, w: Writer) -> None:
    """A B + C: C is int32 on the product of both scales; the output is real, and this no form, where it has no grid."""
    if walk.attribute(node, "alpha", 1.0) != 1.0 or not _input(node, 7):
        raise NoForm
    inputs = [_real(node, w, 0), _real(node, w, 3, axis=0 if walk.attribute(node, "transB", 0) else 1)]
    if bias := _input(node, 6):
        inputs.append(w.real(bias, w.product(node.input[1], node.input[4]), "", axis=-1))
    _quantize(node, w, w.add("Gemm", inputs, node, **_attributes(node)), 7)


def pairwise(op: str) -> Form:
    def form(node: onnx.NodeProto, w: Writer) -> None:
        _quantize(node, w, w.add(op, [_real(node, w, 0), _real(node, w, 3)], node), 6)

    return form


def single(op: str) -> Form:
    def form(node: onnx.NodeProto, w: Writer) -> None:
        if walk.attribute(node, "channels_last", 0):
            raise NoForm
        attributes = _attributes(node, "channels_last", "opset")
        _quantize(node, w, w.add(op, [_real(node, w, 0)], node, **attributes), 3)

    return form


def softmax(node: onnx.NodeProto, w: Writer) -> None:
    """Its attribute `opset` says whether the axes behind the first are one."""
    if walk.attribute(node, "opset", 0) < 13:
        raise NoForm
    single("Softmax")(node, w)


def concat(node: onnx.NodeProto, w: Writer) -> None:
    """The grid of the output comes first."""
    inputs = [_real(node, w, at) for at in range(2, len(node.input), 3)]
    _quantize(node, w, w.add("Concat", inputs, node, **_attributes(node)), 0)


def where(node: onnx.NodeProto, w: Writer) -> None:
    _quantize(node, w, w.add("Where", [node.input[0], _real(node, w, 1), _real(node, w, 4)], node), 7)


def plain(node: onnx.NodeProto, w: Writer) -> None:
    """com.microsoft's quantizers are ai.onnx's where the codes, and so the zero point, are of 8 bits (or of a bias)."""
    zero = w.array(_input(node, 2)) if _input(node, 2) else None
    if zero is None or zero.dtype.name not in ("int8", "uint8", "int32"):
        raise NoForm
    w.keep(node)


def moving(node: onnx.NodeProto, w: Writer) -> None:
    """The same operator on what the codes stand for, with the same results: the grid grows with the codes."""
    if node.op_type == "Resize" and walk.attribute(node, "mode", b"nearest") != b"nearest":
        raise NoForm
    if len([name for name in node.output if name]) > 1 and node.op_type != "Split":
        raise NoForm
    w.move(node)


FORMS: dict[tuple[str, str], Form] = {
    ("", "QLinearConv"): conv,
    ("", "QLinearMatMul"): matmul,
    (MICROSOFT, "QLinearConv"): conv,
    (MICROSOFT, "QGemm"): gemm,
    (MICROSOFT, "QLinearAdd"): pairwise("Add"),
    (MICROSOFT, "QLinearMul"): pairwise("Mul"),
    (MICROSOFT, "QLinearAveragePool"): single("AveragePool"),
    (MICROSOFT, "QLinearGlobalAveragePool"): single("GlobalAveragePool"),
    (MICROSOFT, "QLinearLeakyRelu"): single("LeakyRelu"),
    (MICROSOFT, "QLinearSigmoid"): single("Sigmoid"),
    (MICROSOFT, "QLinearSoftmax"): softmax,
    (MICROSOFT, "QLinearConcat"): concat,
    (MICROSOFT, "QLinearWhere"): where,
    (MICROSOFT, "QuantizeLinear"): plain,
    (MICROSOFT, "DequantizeLinear"): plain,
}

#: Operators whose first input may be codes and whose results are some of them. A maximum is: scales are positive.
MOVES: dict[str, Form] = dict.fromkeys(
    ("DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Resize", "Slice", "SpaceToDepth",
     "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    moving,
)  # fmt: skip
