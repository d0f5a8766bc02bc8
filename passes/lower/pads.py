"""Pad before opset 18 names no axes, and before 19 does not wrap around."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower


def pads_of_all_axes(node: onnx.NodeProto, b: Builder) -> None:
    """Pads of the named axes among zeros for the others; "wrap" as slices set beside the tensor."""
    x, axes = b.input(0), b.input(3)
    rank = len(b.shape(x))
    if not axes and b.attribute("mode", "constant") != "wrap":
        b.keep()
        return
    given = b.array(b.input(1), "pads").astype(np.int64)
    named = [int(axis) % rank for axis in b.array(axes, "axes")] if axes else list(range(rank))
    pads = np.zeros(2 * rank, np.int64)
    for index, axis in enumerate(named):
        pads[axis], pads[rank + axis] = given[index], given[len(named) + index]
    if b.attribute("mode", "constant") == "wrap":
        _wrap(b, x, pads)
        return
    b.keep(inputs=[x, b.constant(pads, "pads"), *([b.input(2)] if b.input(2) else [])])


def _wrap(b: Builder, x: str, pads: np.ndarray) -> None:
    shape = b.shape(x)
    for axis, size in enumerate(shape):
        before, after = int(pads[axis]), int(pads[len(shape) + axis])
        if not 0 <= before <= size or not 0 <= after <= size:
            raise CannotLower("it wraps around by more than the tensor's size, or crops", "pad in two steps")
        parts = [x]
        if before:
            parts.insert(0, _slice(b, x, size - before, size, axis))
        if after:
            parts.append(_slice(b, x, 0, after, axis))
        if len(parts) > 1:
            x = b.add("Concat", parts, axis=axis)
    b.end("Identity", [x])


def _slice(b: Builder, x: str, start: int, end: int, axis: int) -> str:
    bounds = [b.constant(np.array([number], np.int64), hint) for number, hint in ((start, "start"), (end, "end"))]
    return b.add("Slice", [x, *bounds, b.constant(np.array([axis], np.int64), "axes")])
