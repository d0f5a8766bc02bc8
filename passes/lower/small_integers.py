"""Arithmetic on 8- and 16-bit integers and Relu of integers, which came with opset 14."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder

_SMALL = frozenset({TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16})


def through_int32(node: onnx.NodeProto, b: Builder) -> None:
    """Computed in int32 and cast back, which drops the upper bits just as the small type does."""
    element = b.scope.element(b.input(0))
    if element not in _SMALL:
        b.keep()
        return
    wide = [b.cast(name, TensorProto.INT32) for name in node.input]
    b.end_cast(b.add(node.op_type, wide), element)


def relu_as_max(node: onnx.NodeProto, b: Builder) -> None:
    """The larger of an integer and zero."""
    x = b.input(0)
    element = b.scope.element(x)
    if b.dtype(x).kind not in "iu":
        b.keep()
        return
    if element in _SMALL:
        zero = b.constant(np.array(0, np.int32), "zero")
        b.end_cast(b.add("Max", [b.cast(x, TensorProto.INT32), zero]), element)
    else:
        b.end("Max", [x, b.number(0, x, "zero")])
