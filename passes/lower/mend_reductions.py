"""Reductions as a parser takes them that refuses how they are written.

Each is exact but for the order of sums, and is called only for nodes that break the limit it is listed by.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder, Rewrite
from coachc.passes.lower.writing import attributes_of

#: What these are of a single number; the others are that number.
_OF_ONE = {"ReduceL1": "Abs", "ReduceL2": "Abs", "ReduceLogSum": "Log"}
_ALL = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


def of_scalar(node: onnx.NodeProto, b: Builder) -> None:
    """A reduction of one number is that number, its magnitude, square or logarithm."""
    x = b.input(0)
    if node.op_type == "ReduceSumSquare":
        b.end("Mul", [x, x])
    else:
        b.end(_OF_ONE.get(node.op_type, "Identity"), [x])


def of_empty_axes(node: onnx.NodeProto, b: Builder) -> None:
    """No axes are all of them, or none where `noop_with_empty_axes` says so."""
    if b.attribute("noop_with_empty_axes", 0):
        b.end("Identity", [b.input(0)])
    else:
        b.keep(inputs=[b.input(0)])


def of_integers(node: onnx.NodeProto, b: Builder) -> None:
    """Sums in integers, and the root or logarithm of them in float32; what is after the point is dropped."""
    x, element = b.input(0), b.scope.element(b.input(0))
    total = _sum(node, b, b.add("Mul", [x, x]) if node.op_type == "ReduceL2" else x)
    wide = b.cast(total, TensorProto.FLOAT)
    b.end_cast(b.add("Sqrt" if node.op_type == "ReduceL2" else "Log", [wide]), element)


def of_flags(node: onnx.NodeProto, b: Builder) -> None:
    """Flags as 0 and 1."""
    wide = b.cast(b.input(0), TensorProto.INT32)
    b.end_cast(b.add(node.op_type, [wide, *node.input[1:]], **attributes_of(node)), TensorProto.BOOL)


def of_exponentials(node: onnx.NodeProto, b: Builder) -> None:
    """log(sum(exp(x - m))) + m with the largest number m, a finite one so that infinities stay what they are."""
    x, axes = b.input(0), b.input(1)
    limits = np.finfo(b.dtype(x))
    bounds = [b.number(float(number), x, hint) for number, hint in ((limits.min, "low"), (limits.max, "high"))]
    largest = b.add("Clip", [b.add("ReduceMax", [x, axes], keepdims=1), *bounds])
    total = b.add("ReduceSum", [b.add("Exp", [b.add("Sub", [x, largest])]), axes], keepdims=1)
    inputs = [b.add("Log", [total]), largest]
    if b.attribute("keepdims", 1):
        b.end("Add", inputs)
    else:
        b.end("Squeeze", [b.add("Add", inputs), axes])


def _sum(node: onnx.NodeProto, b: Builder, x: str) -> str:
    """Over the axes that the node names, as an attribute or as an input."""
    named, keep = b.attribute("axes"), b.attribute("keepdims", 1)
    if named:
        return b.reduce("ReduceSum", x, list(named), keepdims=keep)
    noop = {"noop_with_empty_axes": 1} if b.attribute("noop_with_empty_axes", 0) else {}
    return b.add("ReduceSum", [x, *node.input[1:]], keepdims=keep, **noop)


MENDS: dict[str, Rewrite] = {
    **{f"{name}/reduce-scalar": of_scalar for name in _ALL},
    **{f"{name}/reduce-integers": of_integers for name in ("ReduceL2", "ReduceLogSum")},
    **{f"{name}/reduce-bool": of_flags for name in ("ReduceMax", "ReduceMin")},
    "ReduceLogSumExp/reduce-exponentials": of_exponentials,
    "ReduceSum/reduce-empty-axes": of_empty_axes,
    "ReduceSum/reduce-nothing": of_empty_axes,
}
