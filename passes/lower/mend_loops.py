"""Loop and Scan as a parser takes them that numbers, counts and ends iterations in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from coachc.frontend.order import fresh, rename
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite

#: The most iterations that are counted, one less than what stands for no end.
_MOST = 2**31 - 2


def counted(node: onnx.NodeProto, b: Builder) -> None:
    """A Loop that only its condition ends gets a trip count that no run reaches."""
    body = b.attribute("body")
    if len(body.output) - 1 > len(node.input) - 2:
        raise CannotLower("it collects iterations without a trip count", "give the number of iterations")
    b.keep(inputs=[b.constant(np.array(_MOST, np.int64), "trips"), *node.input[1:]])


def number_without_axes(node: onnx.NodeProto, b: Builder) -> None:
    """The iteration number is reshaped before it is read."""
    body = _copy(b.attribute("body"))
    name = body.input[0].name
    reshaped = b.value("number")
    _read_instead(body, name, reshaped, b)
    shape = b.constant(np.zeros(0, np.int64), "none")
    body.node.insert(0, helper.make_node("Reshape", [name, shape], [reshaped], name=reshaped))
    b.keep(body=body)


def true_inside(node: onnx.NodeProto, b: Builder) -> None:
    """The condition is true in every iteration that runs: so a constant is read in its place."""
    body = _copy(b.attribute("body"))
    _read_instead(body, body.input[1].name, b.constant(np.array(True), "true"), b)
    b.keep(body=body)


def _read_instead(body: onnx.GraphProto, name: str, other: str, b: Builder) -> None:
    """Let a body, and what lies in it, read another value in the place of an input."""
    inputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in body.input]
    outputs = [value.name for value in body.output]
    rename(body, {name: other})
    del body.input[:]
    body.input.extend(inputs)
    for place, output in enumerate(outputs):
        if output == name:
            made = fresh(f"{name}/out", b.scope.taken)
            body.node.append(helper.make_node("Identity", [other], [made], name=made))
            body.output[place].name = made


def with_state(node: onnx.NodeProto, b: Builder) -> None:
    """A Scan without state variables carries a number that nothing reads."""
    body = _copy(b.attribute("body"))
    before, after = b.value("state"), b.value("carried")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ()) for name in (before, after)]
    _put_first(body.input, values[0])
    _put_first(body.output, values[1])
    body.node.append(helper.make_node("Identity", [before], [after], name=after))
    b.keep(inputs=[b.constant(np.array(0, np.float32), "start"), *node.input], body=body)
    outputs = [b.value("end"), *node.output]
    del b.nodes[-1].output[:]
    b.nodes[-1].output.extend(outputs)


def _put_first(values: Any, value: onnx.ValueInfoProto) -> None:
    kept = list(values)
    del values[:]
    values.extend([value, *kept])


def axes_from_the_front(node: onnx.NodeProto, b: Builder) -> None:
    """Axes of a Scan that are counted from the end."""
    count = b.attribute("num_scan_inputs")
    states = len(node.input) - count
    written: dict[str, Any] = {
        "scan_input_axes": _positive(b.attribute("scan_input_axes"), node.input[states:], b),
        "scan_output_axes": _positive(b.attribute("scan_output_axes"), node.output[states:], b),
    }
    b.keep(**{name: axes for name, axes in written.items() if axes is not None})


def _positive(axes: Sequence[int] | None, names: Sequence[str], b: Builder) -> list[int] | None:
    if axes is None:
        return None
    return [axis if axis >= 0 else axis + len(b.shape(name)) for axis, name in zip(axes, names, strict=True)]


def _copy(graph: onnx.GraphProto) -> onnx.GraphProto:
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    return copy


#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    "Loop/loop-condition-inside": true_inside,
    "Loop/loop-iteration-number": counted,
    "Loop/loop-iteration-rank": number_without_axes,
    "Loop/loop-iteration-without-trip-count": counted,
    "Scan/scan-axes": axes_from_the_front,
    "Scan/scan-states": with_state,
}
