"""ScatterElements and ScatterND as a parser takes them that refuses how they are written.

Each is exact, and is called only for nodes that break the limit it is listed by.
"""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower, Rewrite

_OPERATORS = {"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}
_MOST_PARTS = 64


def in_parts(node: onnx.NodeProto, b: Builder) -> None:
    """Parts no longer than the data, one after the other: what is written later stays."""
    data, indices, updates = (b.input(index) for index in range(3))
    axis = b.attribute("axis", 0) % len(b.shape(data))
    most, length = b.shape(data)[axis], b.shape(indices)[axis]
    starts = range(0, length, most)
    if len(starts) > _MOST_PARTS:
        raise CannotLower(f"it scatters {length} values into {most} places", "scatter each of them once")
    for start in starts:
        parts = [_part(b, name, start, min(start + most, length), axis) for name in (indices, updates)]
        reduction = {"reduction": b.attribute("reduction")} if b.attribute("reduction") else {}
        if start + most >= length:
            b.end("ScatterElements", [data, *parts], axis=axis, **reduction)
        else:
            data = b.add("ScatterElements", [data, *parts], axis=axis, **reduction)


def without_reduction(node: onnx.NodeProto, b: Builder) -> None:
    """The reduction by an operator of its own on what is gathered, where constant indices name no place twice."""
    data, indices, updates = (b.input(index) for index in range(3))
    reduction = b.attribute("reduction", "none")
    if reduction == "none":
        b.keep(drop=["reduction"])
        return
    found, sizes = b.scope.array(indices), b.shape(data)
    if found is None or reduction not in _OPERATORS:
        raise CannotLower(f"reduction = {reduction} at computed places", "add where indices are known to differ")
    if node.op_type == "ScatterND":
        places = found % np.array(sizes[: found.shape[-1]], found.dtype)
        rows = places.reshape(-1, places.shape[-1])
        once = len(np.unique(rows, axis=0)) == len(rows)
        along: dict[str, int] = {}
    else:
        along = {"axis": b.attribute("axis", 0) % len(sizes)}
        places = found % sizes[along["axis"]]
        once = bool(np.diff(np.sort(places, along["axis"]), axis=along["axis"]).all())
    if not once:
        raise CannotLower(f"reduction = {reduction} at one place more than once", "add the updates before scattering")
    front = b.constant(places, "places")
    gathered = b.add(node.op_type.replace("Scatter", "Gather"), [data, front], **along)
    b.end(node.op_type, [data, front, b.add(_OPERATORS[reduction], [gathered, updates])], **along)


def _part(b: Builder, name: str, start: int, end: int, axis: int) -> str:
    array = b.scope.array(name)
    if array is not None:
        return b.constant(np.take(array, range(start, end), axis), "part")
    return b.add("Slice", [name, *(b.constant(np.array([number], np.int64), "bound") for number in (start, end, axis))])


MENDS: dict[str, Rewrite] = {
    "ScatterElements/scatter-sizes": in_parts,
    "ScatterElements/scatterelements-reduction": without_reduction,
    "ScatterND/scatternd-no-reduction": without_reduction,
    "ScatterND/scatternd-reduction": without_reduction,
}
