"""Reductions before opset 18 (ReduceSum: 13): axes are an attribute, and empty axes always mean all of them."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder, CannotLower

#: What these do to each number where `noop_with_empty_axes` leaves nothing to reduce.
_ELEMENTWISE = {
    "ReduceL1": ("Abs",),
    "ReduceL2": ("Abs",),
    "ReduceLogSum": ("Log",),
    "ReduceSumSquare": ("Square",),
}
_FREE = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceLogSumExp"})


def axes_as_attribute(node: onnx.NodeProto, b: Builder) -> None:
    """Axes move from an input to an attribute; bool is reduced as int32."""
    x, given = b.input(0), b.input(1)
    axes = [int(axis) for axis in b.array(given, "axes")] if given else []
    if not axes and b.attribute("noop_with_empty_axes", 0):
        _nothing_to_reduce(node, b)
        return
    attributes = {"keepdims": b.attribute("keepdims", 1), **({"axes": axes} if axes else {})}
    if b.scope.element(x) == TensorProto.BOOL:
        made = b.add(node.op_type, [b.cast(x, TensorProto.INT32)], **attributes)
        b.end_cast(made, TensorProto.BOOL)
    else:
        b.end(node.op_type, [x], **attributes)


def _nothing_to_reduce(node: onnx.NodeProto, b: Builder) -> None:
    x = b.input(0)
    if node.op_type in _FREE:
        b.end("Identity", [x])
        return
    (op,) = _ELEMENTWISE.get(node.op_type, ("",))
    if not op:
        raise CannotLower("it reduces no axis", "remove it from the model")
    b.end("Mul", [x, x]) if op == "Square" else b.end(op, [x])
