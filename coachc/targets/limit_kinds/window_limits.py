"""Checks of the windows of pools and transposed convolutions: their pads, their last window, the sizes they make."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check


def _zeros(node: onnx.NodeProto, facts: Facts, attribute: str) -> str:
    value = walk.attribute(node, attribute)
    return f"{attribute} {list(value)}" if value is not None and any(value) else ""


def _pads(node: onnx.NodeProto, axes: int) -> tuple[list[int], list[int]]:
    found = walk.attribute(node, "pads") or [0] * 2 * axes
    return list(found[:axes]), list(found[axes:])


def _auto(node: onnx.NodeProto) -> str:
    return str(walk.attribute(node, "auto_pad", b"NOTSET").decode())


def _absent_unless_auto(node: onnx.NodeProto, facts: Facts, attribute: str, allowed: Sequence[str]) -> str:
    """An attribute that is only looked at with some values of auto_pad; zeros are as good as none."""
    value = walk.attribute(node, attribute)
    zeros_count = attribute != "output_padding"
    if value is None or _auto(node) in allowed or not (zeros_count or any(value)):
        return ""
    return f"{attribute} {list(value)} and auto_pad {_auto(node)}"


def _absent_at_rank(node: onnx.NodeProto, facts: Facts, attribute: str, rank: int) -> str:
    value = walk.attribute(node, attribute)
    shape = facts.shapes.get(node.input[0])
    return f"{attribute} {list(value)}" if value is not None and shape is not None and len(shape) == rank else ""


def _near_symmetric_pads(node: onnx.NodeProto, facts: Facts) -> str:
    """On the first two spatial axes the end has as much as the beginning, or one more."""
    pads = walk.attribute(node, "pads")
    if not pads or _auto(node).startswith("SAME"):
        return ""
    begin, end = _pads(node, len(pads) // 2)
    return "" if all(b in (a, a + 1) for a, b in list(zip(begin, end, strict=True))[:2]) else f"pads {list(pads)}"


def _symmetric_pads(node: onnx.NodeProto, facts: Facts) -> str:
    pads = walk.attribute(node, "pads")
    return f"pads {list(pads)}" if pads and pads[: len(pads) // 2] != pads[len(pads) // 2 :] else ""


def _ceil_windows(node: onnx.NodeProto, facts: Facts) -> str:
    """Rounded up, a window that would start in the padding at the end: ONNX drops it."""
    shape, kernel = facts.shapes.get(node.input[0]), walk.attribute(node, "kernel_shape")
    if shape is None or not kernel or not facts.attribute(node, "ceil_mode") or _auto(node).startswith("SAME"):
        return ""
    strides = walk.attribute(node, "strides") or [1] * len(kernel)
    begin, end = _pads(node, len(kernel))
    for size, window, stride, before, after in zip(shape[2:], kernel, strides, begin, end, strict=False):
        if size is not None and -(-(size + before + after - window) // stride) * stride >= size + before:
            return f"size {size}, kernel {window}, stride {stride}, pads {before} and {after}"
    return ""


def _transposed(node: onnx.NodeProto, facts: Facts) -> list[int]:
    """For every axis of a ConvTranspose with output_shape, by how much it makes more than that; [] if not known."""
    wanted, shape = walk.attribute(node, "output_shape"), facts.shapes.get(node.input[0])
    kernel = facts.shapes.get(node.input[1])
    if not wanted or shape is None or kernel is None or None in (*shape[2:], *kernel[2:]) or _auto(node) != "NOTSET":
        return []
    axes = len(shape) - 2
    strides, dilations = (walk.attribute(node, name) or [1] * axes for name in ("strides", "dilations"))
    beyond = walk.attribute(node, "output_padding") or [0] * axes
    found = []
    for index, size in enumerate(wanted[-axes:]):
        reach = (int(kernel[2 + index] or 0) - 1) * dilations[index] + 1
        found.append((int(shape[2 + index] or 0) - 1) * strides[index] + beyond[index] + reach - size)
    return found


def _output_shape_even(node: onnx.NodeProto, facts: Facts) -> str:
    odd = [total for total in _transposed(node, facts) if total > 0 and total % 2]
    return f"padding {odd[0]}" if odd else ""


def _output_shape_reach(node: onnx.NodeProto, facts: Facts) -> str:
    beyond = [-total for total in _transposed(node, facts) if total < -1]
    return f"{beyond[0]} more" if beyond else ""


def _output_shape_static(node: onnx.NodeProto, facts: Facts) -> str:
    shape = facts.shapes.get(node.input[0])
    unknown = shape is not None and None in shape[2:] and walk.attribute(node, "output_shape")
    return "an axis of unknown size" if unknown else ""


def _even_3d_pads(node: onnx.NodeProto, facts: Facts) -> str:
    """In 3D, pads at the end that output_padding leaves, and those at the beginning."""
    shape, pads = facts.shapes.get(node.input[0]), walk.attribute(node, "pads")
    beyond = walk.attribute(node, "output_padding") or [0] * 3
    if shape is None or len(shape) != 5 or not pads or _auto(node) != "NOTSET":
        return ""
    begin, end = _pads(node, 3)
    left = [max(0, after - more) for after, more in zip(end, beyond, strict=True)]
    return "" if begin == left else f"{begin} and {left}"


def _bias_in_padding(node: onnx.NodeProto, facts: Facts) -> str:
    """Rows that output_padding adds beyond the pads, where the bias is computed."""
    bias = node.input[2] if len(node.input) > 2 else ""
    beyond = walk.attribute(node, "output_padding")
    if not bias or bias in facts.initializers or not beyond or _auto(node) != "NOTSET":
        return ""
    _, end = _pads(node, len(beyond))
    return f"'{bias}'" if any(more > after for more, after in zip(beyond, end, strict=True)) else ""


#: By the name that TOML gives it.
CHECKS: dict[str, Check] = {
    "zeros": Check(_zeros, {"attribute": str}),
    "absent_unless_auto": Check(_absent_unless_auto, {"attribute": str, "allowed": list[str]}),
    "absent_at_rank": Check(_absent_at_rank, {"attribute": str, "rank": int}),
    "near_symmetric_pads": Check(_near_symmetric_pads, {}),
    "symmetric_pads": Check(_symmetric_pads, {}),
    "ceil_windows": Check(_ceil_windows, {}),
    "output_shape_even": Check(_output_shape_even, {}),
    "output_shape_reach": Check(_output_shape_reach, {}),
    "output_shape_static": Check(_output_shape_static, {}),
    "even_3d_pads": Check(_even_3d_pads, {}),
    "bias_in_padding": Check(_bias_in_padding, {}),
}
