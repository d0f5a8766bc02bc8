"""Short ways to write what mends are made of: slices, paddings, casts around a node, and its last node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder


def attributes_of(node: onnx.NodeProto, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """What a node says, by name."""
    return {e.name: onnx.helper.get_attribute_value(e) for e in node.attribute if e.name not in without}


def numbers(b: Builder, values: Sequence[int], hint: str) -> str:
    """An initializer of int64."""
    return b.constant(np.array(values, np.int64), hint)


def cut(
    b: Builder, x: str, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int], steps: Sequence[int] = ()
) -> str:
    """A Slice of the named axes."""
    names = [numbers(b, starts, "starts"), numbers(b, ends, "ends"), numbers(b, axes, "axes")]
    if any(step != 1 for step in steps):
        names.append(numbers(b, steps, "steps"))
    return b.add("Slice", [x, *names])


def pad_spatial(b: Builder, x: str, begin: Sequence[int], end: Sequence[int], fill: float = 0.0) -> str:
    """A float32 value with something around it along the axes from 2 on; itself where that is nothing."""
    if not any((*begin, *end)):
        return x
    pads = numbers(b, [0, 0, *begin, 0, 0, *end], "pads")
    return b.add("Pad", [x, pads, b.constant(np.array(fill, np.float32), "fill")] if fill else [x, pads])


def finish(b: Builder, made: str) -> None:
    """What was made takes the node's place: the node that made it gets its name and its output."""
    last = b.nodes[-1] if b.nodes else None
    if last is None or last.output[0] != made:
        b.end("Identity", [made])
        return
    last.output[0], last.name = b.node.output[0], b.node.name


def as_float(b: Builder, name: str) -> str:
    """A value in float32: itself, another constant, or a Cast."""
    if not name or b.scope.element(name) == TensorProto.FLOAT:
        return name
    array = b.scope.array(name)
    return b.cast(name, TensorProto.FLOAT) if array is None else b.constant(array.astype(np.float32), "in_float")


def through(element: int) -> Callable[[onnx.NodeProto, Builder], None]:
    """The node in another element type, with a Cast before it and one back."""

    def rewrite(node: onnx.NodeProto, b: Builder) -> None:
        own, kind = b.scope.element(b.input(0)), onnx.helper.tensor_dtype_to_np_dtype(element)
        inputs = []
        for name in node.input:
            array = b.scope.array(name) if name and b.scope.element(name) == own else None
            if array is not None:
                inputs.append(b.constant(array.astype(kind), "cast"))
            else:
                inputs.append(b.cast(name, element) if name and b.scope.element(name) == own else name)
        b.end_cast(b.add(node.op_type, inputs, **attributes_of(node)), own)

    return rewrite


def through_float(rewrite: Callable[[Builder, str], str]) -> Callable[[onnx.NodeProto, Builder], None]:
    """A rewrite of a float32 value into one, for a node of any element type."""

    def cast_around(node: onnx.NodeProto, b: Builder) -> None:
        element = b.scope.element(b.input(0))
        made = rewrite(b, as_float(b, b.input(0)))
        if element == TensorProto.FLOAT:
            finish(b, made)
        else:
            b.end_cast(made, element)

    return cast_around
