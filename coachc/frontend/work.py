"""How much an ONNX node computes: FLOPs and the elements it reads as weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import onnx

Shape = tuple[int, ...]

#: Operators an engine turns into views or into writes at an offset: no time of their own.
FREE = frozenset(
    {"Concat", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Size", "Constant"}
)


def node_flops(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """FLOPs of one node, multiply and add counted as two; 0 for operators bound by memory.

    Parameters
    ----------
    node : onnx.NodeProto
    shapes : mapping of str to tuple of int
        Shape of every value and initializer by name.
    """
    if node.op_type in ("Conv", "QLinearConv", "ConvInteger"):
        weight = shapes.get(node.input[3 if node.op_type == "QLinearConv" else 1])
        return 2 * _elements(shapes, node.output[0]) * math.prod(weight[1:]) if weight else 0
    if node.op_type == "ConvTranspose":
        weight = shapes.get(node.input[1])
        return 2 * _elements(shapes, node.input[0]) * math.prod(weight[1:]) if weight else 0
    if node.op_type in ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"):
        left = shapes.get(node.input[0], ())
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        depth = left[0 if transposed else -1] if left else 0
        return 2 * _elements(shapes, node.output[0]) * depth
    return 0


def work_kind(node: onnx.NodeProto, shapes: Mapping[str, Shape], dynamic: Collection[str]) -> str:
    """Which of `WORK_KINDS` a node is.

    Parameters
    ----------
    node : onnx.NodeProto
    shapes : mapping of str to tuple of int
    dynamic : collection of str
        Values that depend on a graph input: all others are weights.
    """
    if node.op_type in ("Conv", "QLinearConv", "ConvInteger"):
        weight = shapes.get(node.input[3 if node.op_type == "QLinearConv" else 1], ())
        attributes = {a.name: a for a in node.attribute}
        groups = attributes["group"].i if "group" in attributes else 1
        if groups > 1:
            return "depthwise" if weight[1:2] == (1,) else "grouped"
        kernel = weight[2:]
        dilated = "dilations" in attributes and set(attributes["dilations"].ints) != {1}
        if set(kernel) == {1}:
            return "conv1x1"
        return "conv3x3" if kernel == (3, 3) and not dilated else "conv"
    if node.op_type == "ConvTranspose":
        return "transposed"
    if node.op_type in ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"):
        left, right = node.input[0], node.input[3 if node.op_type == "QLinearMatMul" else 1]
        return "attention" if left in dynamic and right in dynamic else "gemm"
    return "memory"


def _elements(shapes: Mapping[str, Shape], name: str) -> int:
    return math.prod(shapes[name]) if name in shapes else 0
