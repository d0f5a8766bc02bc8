"""OneHot as a comparison with the numbers of the classes."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder


def compared(node: onnx.NodeProto, b: Builder) -> None:
    """True where the index, counted from the end if negative, is the class; then the value for on or off."""
    indices, depth = b.input(0), int(b.array(b.input(1), "depth").item())
    rank = len(b.shape(indices)) + 1
    axis = b.attribute("axis", -1) % rank
    classes = np.arange(depth).reshape([-1 if index == axis else 1 for index in range(rank)])
    kind = b.dtype(indices)
    sizes = list(b.shape(indices))
    spread = b.reshape(indices, [*sizes[:axis], 1, *sizes[axis:]])
    hits = [
        b.add("Equal", [spread, b.constant(numbers.astype(kind), "classes")]) for numbers in (classes, classes - depth)
    ]
    off, on = b.array(b.input(2), "values")
    kind = b.dtype(b.input(2))
    choices = [b.constant(np.array(value, kind), hint) for value, hint in ((on, "on"), (off, "off"))]
    b.end("Where", [b.add("Or", hits), *choices])
