"""How much an ONNX node computes: FLOPs and the elements it reads as weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

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


def is_winograd(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> bool:
    """Whether a convolution is 3x3, ungrouped and undilated, which engines run with fewer multiplications."""
    if node.op_type != "Conv" or shapes.get(node.input[1], ())[2:] != (3, 3):
        return False
    attributes = {a.name: a for a in node.attribute}
    grouped = "group" in attributes and attributes["group"].i != 1
    dilated = "dilations" in attributes and set(attributes["dilations"].ints) != {1}
    return not grouped and not dilated


def _elements(shapes: Mapping[str, Shape], name: str) -> int:
    return math.prod(shapes[name]) if name in shapes else 0
