"""Checks of convolutions, pools, paddings and what resizes; their windows are in `window_limits`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds import window_limits
from coachc.targets.limit_kinds.check import Check


def _computed(name: str, facts: Facts) -> bool:
    return bool(name) and name not in facts.initializers


def _written(node: onnx.NodeProto, facts: Facts, attributes: Sequence[str]) -> str:
    left = [name for name in attributes if walk.attribute(node, name) is None]
    return f"no {left[0]}" if left else ""


def _written_as(node: onnx.NodeProto, facts: Facts, attribute: str, allowed: Sequence[object]) -> str:
    """As `attribute`, but ONNX's default of an attribute that is not written is no matter."""
    value = walk.attribute(node, attribute)
    value = value.decode() if isinstance(value, bytes) else value
    return "" if value is None or value in allowed else f"{attribute} {value}"


def _attribute_at_least(node: onnx.NodeProto, facts: Facts, attribute: str, minimum: float) -> str:
    value = facts.attribute(node, attribute)
    return f"{attribute} {value:g}" if isinstance(value, float) and value < minimum else ""


def _at_least(node: onnx.NodeProto, facts: Facts, input: int, minimum: int) -> str:
    value = facts.constant(node.input[input]) if input < len(node.input) else None
    return "" if value is None or not value.size or value.min() >= minimum else f"{value.min()}"


def _types_when_given(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int], allowed: Sequence[str]) -> str:
    given = any(index in inputs and name for index, name in enumerate(node.input))
    found = facts.input_type(node, 0)
    return found if given and found and found not in allowed else ""


def _types_when_computed(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int], allowed: Sequence[str]) -> str:
    computed = any(index in inputs and _computed(name, facts) for index, name in enumerate(node.input))
    found = facts.input_type(node, 0)
    return found if computed and found and found not in allowed else ""


def _types_when_constant(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int], allowed: Sequence[str]) -> str:
    names = [name for index, name in enumerate(node.input) if index in inputs and name]
    found = facts.input_type(node, 0)
    if not names or any(_computed(name, facts) for name in names) or not found or found in allowed:
        return ""
    return found


def _kernel_shape_written(node: onnx.NodeProto, facts: Facts) -> str:
    computed = [name for name in node.input[1:] if _computed(name, facts)]
    return f"none, and '{computed[0]}' is computed" if computed and not walk.attribute(node, "kernel_shape") else ""


def _weight_known(node: onnx.NodeProto, facts: Facts) -> str:
    name = node.input[1]
    maker = facts.makers.get(name)
    # What ConstantOfShape makes was not tried: nothing is said of it.
    if not _computed(name, facts) or (maker is not None and maker.op_type in ("DequantizeLinear", "ConstantOfShape")):
        return ""
    return f"'{name}' is computed"


def _fill_as_float(node: onnx.NodeProto, facts: Facts) -> str:
    """Whether a constant fill value whose bytes are read as float32 stays what it is."""
    name = node.input[2] if len(node.input) > 2 else ""
    kind, value = facts.types.get(name, ""), facts.constant(name)
    if value is None or kind in ("float", "double") or (kind in ("int32", "int64") and not value.any()):
        return ""
    return kind


def _half_fill(node: onnx.NodeProto, facts: Facts) -> str:
    """A fill value in float16 that is not 0."""
    name = node.input[2] if len(node.input) > 2 else ""
    value = facts.constant(name)
    return "float16" if value is not None and value.dtype == np.float16 and value.any() else ""


def _mask_of_constant(node: onnx.NodeProto, facts: Facts) -> str:
    return f"'{node.input[0]}'" if len(node.output) > 1 and node.input[0] in facts.initializers else ""


def _ones_but_last(node: onnx.NodeProto, facts: Facts, input: int, count: int) -> str:
    value = facts.constant(node.input[input]) if input < len(node.input) else None
    if value is None or (np.asarray(value).ravel()[:-count] == 1).all() or walk.attribute(node, "axes"):
        return ""
    return f"{[float(scale) for scale in value]}"


def _trailing_axes(node: onnx.NodeProto, facts: Facts) -> str:
    axes, shape = walk.attribute(node, "axes"), facts.shapes.get(node.input[0])
    if not axes or shape is None or not any(_computed(name, facts) for name in node.input[2:]):
        return ""
    found = [axis % len(shape) for axis in axes]
    return "" if found == list(range(len(shape) - len(found), len(shape))) else f"axes {list(axes)}"


#: By the name that TOML gives it.
CHECKS: dict[str, Check] = {
    "written": Check(_written, {"attributes": list[str]}),
    "written_as": Check(_written_as, {"attribute": str, "allowed": list}),
    "attribute_at_least": Check(_attribute_at_least, {"attribute": str, "minimum": float}),
    "at_least": Check(_at_least, {"input": int, "minimum": int}),
    "types_when_given": Check(_types_when_given, {"inputs": list[int], "allowed": list[str]}),
    "types_when_computed": Check(_types_when_computed, {"inputs": list[int], "allowed": list[str]}),
    "types_when_constant": Check(_types_when_constant, {"inputs": list[int], "allowed": list[str]}),
    "kernel_shape_written": Check(_kernel_shape_written, {}),
    "weight_known": Check(_weight_known, {}),
    "fill_as_float": Check(_fill_as_float, {}),
    "half_fill": Check(_half_fill, {}),
    "mask_of_constant": Check(_mask_of_constant, {}),
    "ones_but_last": Check(_ones_but_last, {"input": int, "count": int}),
    "trailing_axes": Check(_trailing_axes, {}),
    **window_limits.CHECKS,
}
