"""ArgMax, ArgMin and TopK as a parser takes them that refuses how they are written.

Each is exact, and is called only for nodes that break the limit it is listed by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from coachc.passes.lower.builder import Builder, CannotLower, Rewrite, elements

#: Comparisons that sorting integers may take.
_MOST_COMPARISONS = 1 << 22


def of_integers(node: onnx.NodeProto, b: Builder) -> None:
    """The first of those that equal the best of the integers."""
    x, axis = b.input(0), b.attribute("axis", 0)
    best = b.reduce("ReduceMax" if node.op_type == "ArgMax" else "ReduceMin", x, [axis])
    hits = b.cast(b.add("Equal", [x, best]), TensorProto.FLOAT)
    last = {"select_last_index": 1} if b.attribute("select_last_index", 0) else {}
    b.end("ArgMax", [hits], axis=axis, keepdims=b.attribute("keepdims", 1), **last)


def of_one_axis(node: onnx.NodeProto, b: Builder) -> None:
    """Beside an axis of size 1."""
    front = b.constant(np.array([0], np.int64), "axes")
    last = {"select_last_index": 1} if b.attribute("select_last_index", 0) else {}
    wide = b.add("Unsqueeze", [b.input(0), front])
    found = b.add(node.op_type, [wide], axis=1, keepdims=b.attribute("keepdims", 1), **last)
    b.end("Squeeze", [found, front])


def along_last_axis(node: onnx.NodeProto, b: Builder) -> None:
    """The axis goes to the end, and what is found back."""
    x, axis = b.input(0), b.attribute("axis", -1 if node.op_type == "TopK" else 0)
    order, back = _orders(len(b.shape(x)), axis)
    turned = b.add("Transpose", [x], perm=order)
    if node.op_type == "TopK":
        _back(b, _topk(b, turned, axis=len(order) - 1, largest=b.attribute("largest", 1)), back)
        return
    last = {"select_last_index": 1} if b.attribute("select_last_index", 0) else {}
    if b.attribute("keepdims", 1):
        found = b.add(node.op_type, [turned], axis=len(order) - 1, keepdims=1, **last)
        b.end("Transpose", [found], perm=back)
    else:
        b.end(node.op_type, [turned], axis=len(order) - 1, keepdims=0, **last)


def smallest(node: onnx.NodeProto, b: Builder) -> None:
    """The largest of the negated numbers, negated."""
    values, indices = _topk(b, b.add("Neg", [b.input(0)]), axis=b.attribute("axis", -1), largest=1)
    _named(b, [("Neg", values, {}), ("Identity", indices, {})])


def sorted_integers(node: onnx.NodeProto, b: Builder) -> None:
    """TopK of float ranks: how many integers are ahead of each one, which are compared in pairs.

    Equal ones come in the order of their indices, as ONNX Runtime has them.
    """
    x, axis = b.input(0), b.attribute("axis", -1)
    shape = b.shape(x)
    order, back = _orders(len(shape), axis)
    size = shape[axis]
    if len(shape) > 7 or elements(shape) * size > _MOST_COMPARISONS:
        raise CannotLower(f"it sorts integers, {size} at a time", "cast to float32 before it")
    turned = x if order == list(range(len(shape))) else b.add("Transpose", [x], perm=order)
    own, others = (b.add("Unsqueeze", [turned, b.constant(np.array([at], np.int64), "axes")]) for at in (-1, -2))
    ahead = b.add("Greater" if b.attribute("largest", 1) else "Less", [others, own])
    earlier = b.constant(np.tri(size, k=-1, dtype=bool), "earlier")
    same = b.add("And", [b.add("Equal", [others, own]), earlier])
    ranks = b.reduce("ReduceSum", b.cast(b.add("Or", [ahead, same]), TensorProto.FLOAT), [len(shape)], keepdims=0)
    scores = b.add("Neg", [ranks])
    _, indices = _topk(b, scores, axis=len(shape) - 1, largest=1)
    values = b.add("GatherElements", [turned, indices], axis=len(shape) - 1)
    _back(b, (values, indices), back)


def _topk(b: Builder, x: str, *, axis: int, largest: int) -> tuple[str, str]:
    """Names of values and indices."""
    values, indices = b.value("values"), b.value("indices")
    ordered: dict[str, Any] = {} if b.attribute("sorted", 1) else {"sorted": 0}
    chosen: dict[str, Any] = {} if largest else {"largest": 0}
    name = b.value("TopK")
    b.nodes.append(
        helper.make_node("TopK", [x, b.input(1)], [values, indices], name=name, axis=axis, **ordered, **chosen)
    )
    return values, indices


def _back(b: Builder, found: tuple[str, str], back: list[int]) -> None:
    if back == list(range(len(back))):
        _named(b, [("Identity", name, {}) for name in found])
    else:
        _named(b, [("Transpose", name, {"perm": back}) for name in found])


def _named(b: Builder, ends: list[tuple[str, str, dict[str, Any]]]) -> None:
    """One node for each output that the node has; the last of them has its name."""
    read = [(end, name) for end, name in zip(ends, b.node.output, strict=False) if name]
    for number, ((op, value, attributes), output) in enumerate(read):
        name = b.node.name if number == len(read) - 1 else b.value(op)
        b.nodes.append(helper.make_node(op, [value], [output], name=name, **attributes))


def _orders(rank: int, axis: int) -> tuple[list[int], list[int]]:
    """Axes with one of them at the end, and the order that undoes it."""
    order = [*(index for index in range(rank) if index != axis % rank), axis % rank]
    return order, [order.index(index) for index in range(rank)]


MENDS: dict[str, Rewrite] = {
    **{f"{name}/argmax-integers": of_integers for name in ("ArgMax", "ArgMin")},
    **{f"{name}/argmax-one-axis": of_one_axis for name in ("ArgMax", "ArgMin")},
    **{f"{name}/last-four-axes": along_last_axis for name in ("ArgMax", "ArgMin", "TopK")},
    "TopK/topk-integers": sorted_integers,
    "TopK/topk-largest": smallest,
}
