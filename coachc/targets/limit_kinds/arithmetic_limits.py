"""Checks of arithmetic: reductions, bounds, indices, quantizers and types of several inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check

_FLOATS = ("float", "float16", "bfloat16", "double")
_FLOAT, _FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def _given(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    missing = [index for index in inputs if index >= len(node.input) or not node.input[index]]
    return f"no input {missing[0]}" if missing else ""


def _computed(node: onnx.NodeProto, facts: Facts, input: int) -> str:
    name = node.input[input] if input < len(node.input) else ""
    return f"the constant '{name}'" if name in facts.initializers else ""


def _unwritten(node: onnx.NodeProto, facts: Facts, attribute: str, value: str) -> str:
    return f"{attribute} = {value} written out" if walk.attribute(node, attribute) == value.encode() else ""


def _all_types(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int], allowed: Sequence[str]) -> str:
    found = [facts.input_type(node, index) for index in inputs]
    return next((one for one in found if one and one not in allowed), "")


def _axis_from_end(node: onnx.NodeProto, facts: Facts, at_most: int) -> str:
    shape, axis = facts.shapes.get(node.input[0]), facts.attribute(node, "axis")
    if shape is None or not isinstance(axis, int):
        return ""
    back = len(shape) - axis if axis >= 0 else -axis
    return f"axis {axis} of {len(shape)}" if back > at_most else ""


def _sizes_within(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    """Sizes of inputs against those of the first one, axis by axis."""
    outer = facts.shapes.get(node.input[0], ())
    for index in inputs:
        name = node.input[index] if index < len(node.input) else ""
        for axis, (size, most) in enumerate(zip(facts.shapes.get(name, ()), outer, strict=False)):
            if size is not None and most is not None and size > most:
                return f"{size} at axis {axis} of '{name}'"
    return ""


def _not_empty(node: onnx.NodeProto, facts: Facts, input: int) -> str:
    name = node.input[input] if input < len(node.input) else ""
    return f"'{name}' of no element" if name in facts.initializers and 0 in facts.shapes.get(name, ()) else ""


def _reduces(node: onnx.NodeProto, facts: Facts) -> str:
    """`noop_with_empty_axes` where there are no axes."""
    if not walk.attribute(node, "noop_with_empty_axes", 0) or walk.attribute(node, "axes"):
        return ""
    name = node.input[1] if len(node.input) > 1 else ""
    return "noop_with_empty_axes 1" if not name or 0 in facts.shapes.get(name, ()) else ""


def _written_axis(node: onnx.NodeProto, facts: Facts) -> str:
    """A quantizer with several scales has its axis written out; ONNX's default is not looked up."""
    sizes = facts.shapes.get(node.input[1], ())
    several = any(size is not None and size > 1 for size in sizes)
    return f"{max(size or 0 for size in sizes)} scales" if several and walk.attribute(node, "axis") is None else ""


def _blocks(node: onnx.NodeProto, facts: Facts) -> str:
    """Blocks of a blocked quantizer: as many axes as the input, one of them shorter, which divides it."""
    sizes, scales = (facts.shapes.get(node.input[index]) for index in (0, 1))
    if not walk.attribute(node, "block_size", 0) or sizes is None or scales is None or None in (*sizes, *scales):
        return ""
    uneven = [f"{n} in {k} blocks" for n, k in zip(sizes, scales, strict=False) if k and (n or 0) % k]
    return uneven[0] if uneven else ""


def _range_of_some(node: onnx.NodeProto, facts: Facts) -> str:
    """A constant range of floats that holds a number."""
    if facts.input_type(node, 0) not in ("float", "double"):
        return ""
    values = [facts.constant(name) for name in node.input]
    if any(value is None or value.size != 1 for value in values):
        return ""
    start, limit, delta = (float(value.item()) for value in values if value is not None)
    return "" if not delta or math.ceil((limit - start) / delta) > 0 else f"{start:g} to {limit:g} by {delta:g}"


def _from_integers(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    """Whether inputs come from constants, sizes of tensors and integers only."""
    waiting, seen = [name for index, name in enumerate(node.input) if index in inputs and name], set()
    while waiting:
        name = waiting.pop()
        if name in seen or facts.types.get(name, "float") not in _FLOATS:
            continue
        seen.add(name)
        if name in facts.inputs:
            return f"it depends on the contents of '{name}'"
        if name in facts.makers:
            waiting += [read for read in facts.makers[name].input if read]
    return ""


def _cast_of_bytes(node: onnx.NodeProto, facts: Facts) -> str:
    """uint8 is cast from and to floats only."""
    made = walk.attribute(node, "to")
    given, wide = facts.input_type(node, 0), ("float", "float16", "double", "uint8")
    if given == "uint8" and made not in (_FLOAT, _FLOAT16, onnx.TensorProto.DOUBLE):
        return f"uint8 to {onnx.TensorProto.DataType.Name(made).lower()}"
    return f"{given} to uint8" if made == onnx.TensorProto.UINT8 and given and given not in wide else ""


def _rows_of_boxes(node: onnx.NodeProto, facts: Facts) -> str:
    """How many rows come out, which is never how many were found."""
    most = facts.constant(node.input[2]) if len(node.input) > 2 else None
    return "rows as many as boxes" if most is None or not most.size else f"{int(most.flat[0])} rows a picture"


def _constant_half(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    """A float16 constant beside a float16 value that is computed."""
    names = [node.input[index] for index in inputs if index < len(node.input)]
    halves = [name for name in names if name in facts.initializers and facts.types.get(name) == "float16"]
    return f"the constant '{halves[0]}'" if halves and len(halves) < len(names) else ""


#: By the name that TOML gives it.
CHECKS: dict[str, Check] = {
    "given": Check(_given, {"inputs": list[int]}),
    "computed": Check(_computed, {"input": int}),
    "unwritten": Check(_unwritten, {"attribute": str, "value": str}),
    "all_types": Check(_all_types, {"inputs": list[int], "allowed": list[str]}),
    "axis_from_end": Check(_axis_from_end, {"at_most": int}),
    "sizes_within": Check(_sizes_within, {"inputs": list[int]}),
    "not_empty": Check(_not_empty, {"input": int}),
    "reduces": Check(_reduces, {}),
    "written_axis": Check(_written_axis, {}),
    "blocks": Check(_blocks, {}),
    "range_of_some": Check(_range_of_some, {}),
    "from_integers": Check(_from_integers, {"inputs": list[int]}),
    "cast_of_bytes": Check(_cast_of_bytes, {}),
    "rows_of_boxes": Check(_rows_of_boxes, {}),
    "constant_half": Check(_constant_half, {"inputs": list[int]}),
}
