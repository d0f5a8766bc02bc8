"""Checks of how values are reshaped, cut and made: axes, bounds, shapes and constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check

#: Nodes that an importer may hand on as they are, so that value and result are one tensor.
_PASSED_ON = frozenset((
    "Dropout", "Flatten", "Transpose",
))  # fmt: skip


def _attributes_absent(node: onnx.NodeProto, facts: Facts, attributes: Sequence[str]) -> str:
    given = [name for name in attributes if walk.attribute(node, name) is not None]
    return f"{given[0]}" if given else ""


def _constants_with_elements(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    """Constants without elements among some inputs, or among all where none are named."""
    for index in inputs or range(len(node.input)):
        name = node.input[index] if index < len(node.input) else ""
        if name in facts.initializers and 0 in facts.initializers[name].dims:
            return f"'{name}' of shape {list(facts.initializers[name].dims)}"
    return ""


def _constant_without(node: onnx.NodeProto, facts: Facts, input: int, value: int) -> str:
    found = facts.constant(node.input[input]) if input < len(node.input) else None
    return f"{found.tolist()}" if found is not None and value in found else ""


def _flatten_kept(node: onnx.NodeProto, facts: Facts) -> str:
    before, after = facts.shapes.get(node.input[0]), facts.shapes.get(node.output[0])
    if before is None or len(before) > 2 or after is None or None in (*before, *after) or before == after:
        return ""
    return f"{list(before)} to {list(after)}"


def _passed_on(node: onnx.NodeProto, facts: Facts) -> str:
    """A node that changes nothing, of an input of the network or of a value that is an output of it, too."""
    name = node.input[0]
    if node.op_type not in _PASSED_ON or name not in facts.inputs | facts.outputs:
        return ""
    shape = facts.shapes.get(name)
    if node.op_type == "Transpose":
        order = walk.attribute(node, "perm") or (list(range(len(shape)))[::-1] if shape is not None else [1, 0])
        same = list(order) == sorted(order)
    elif node.op_type == "Flatten":
        same = shape is not None and len(shape) <= 2
    else:
        same = len(node.output) > 1
    return f"'{name}'" if same else ""


def _shape_window(node: onnx.NodeProto, facts: Facts) -> str:
    start, end = facts.attribute(node, "start"), walk.attribute(node, "end")
    return f"start {start}" if start else f"end {end}" if end is not None else ""


def _all_starts(node: onnx.NodeProto, facts: Facts) -> str:
    if len(node.input) < 3 or any(node.input[3:4]):
        return ""
    shape, starts = facts.shapes.get(node.input[0]), facts.shapes.get(node.input[1])
    if shape is None or not starts or starts[0] is None or starts[0] == len(shape):
        return ""
    return f"{starts[0]} for {len(shape)} axes"


def _bounds_in_order(node: onnx.NodeProto, facts: Facts) -> str:
    for axis, start, end, step in slice_bounds(node, facts):
        if (end - start) * step < 0:
            return f"{start} to {end} by {step} of axis {axis}"
    return ""


def slice_bounds(node: onnx.NodeProto, facts: Facts) -> Iterator[tuple[int, int, int, int]]:
    """(axis, start, end, step) of what is known of a Slice, counted from the front and within the axis."""
    shape = facts.shapes.get(node.input[0])
    lists = [facts.constant(name) if name else None for name in (*node.input[1:], "", "")[:4]]
    starts, ends, axes, steps = lists
    if shape is None or starts is None or ends is None or (axes is None and any(node.input[3:4])):
        return
    if steps is None and any(node.input[4:5]):
        return
    axes = np.arange(starts.size) if axes is None else axes.reshape(-1)
    steps = np.ones(starts.size, np.int64) if steps is None else steps.reshape(-1)
    for start, end, axis, step in zip(starts.reshape(-1), ends.reshape(-1), axes, steps, strict=True):
        size = shape[int(axis)]
        if size is not None:
            lowest, highest = (0, size) if step > 0 else (-1, size - 1)
            first, last = (int(bound) + size if bound < 0 else int(bound) for bound in (start, end))
            bounds = min(max(first, 0), highest), min(max(last, lowest), highest)
            yield int(axis) % len(shape), *bounds, int(step)


def _static_without_axes(node: onnx.NodeProto, facts: Facts) -> str:
    if any(node.input[1:2]) or walk.attribute(node, "axes") is not None:
        return ""
    shape = facts.shapes.get(node.input[0])
    return "an axis of unknown size" if shape is not None and None in shape else ""


def _static_axis(node: onnx.NodeProto, facts: Facts, attribute: str) -> str:
    shape, axis = facts.shapes.get(node.input[0]), facts.attribute(node, attribute)
    if shape is None or not isinstance(axis, int):
        return ""
    return f"axis {axis} of unknown size" if shape[axis] is None else ""


def _constant_transposed(node: onnx.NodeProto, facts: Facts) -> str:
    tensor = facts.initializers.get(node.input[0])
    if tensor is None:
        return ""
    kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
    if kind in ("float", "float16", "double") and len(tensor.dims) <= 4:
        return ""
    return f"a constant of {kind} with {len(tensor.dims)} axes"


def _real_signal(node: onnx.NodeProto, facts: Facts, input: int) -> str:
    """The last axis of an input, where it holds more than one number."""
    shape = facts.shapes.get(node.input[input]) if input < len(node.input) else None
    return f"{list(shape)}" if shape and len(shape) == 3 and shape[-1] not in (None, 1) else ""


def _any_given(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    return "" if any(index < len(node.input) and node.input[index] for index in inputs) else "none of them"


#: By the name that TOML gives it.
CHECKS = {
    "attributes_absent": Check(_attributes_absent, {"attributes": list[str]}),
    "constants_with_elements": Check(_constants_with_elements, {"inputs": list[int]}),
    "constant_without": Check(_constant_without, {"input": int, "value": int}),
    "flatten_kept": Check(_flatten_kept, {}),
    "passed_on": Check(_passed_on, {}),
    "shape_window": Check(_shape_window, {}),
    "all_starts": Check(_all_starts, {}),
    "bounds_in_order": Check(_bounds_in_order, {}),
    "static_without_axes": Check(_static_without_axes, {}),
    "static_axis": Check(_static_axis, {"attribute": str}),
    "constant_transposed": Check(_constant_transposed, {}),
    "real_signal": Check(_real_signal, {"input": int}),
    "any_given": Check(_any_given, {"inputs": list[int]}),
}
