"""Trilu as a choice by a constant mask."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder


def masked(node: onnx.NodeProto, b: Builder) -> None:
    """What is above, or below, the k-th diagonal is zero."""
    x = b.input(0)
    shape = b.shape(x)
    k = int(b.array(b.input(1), "k").item()) if b.input(1) else 0
    triangle = np.triu if b.attribute("upper", 1) else np.tril
    mask = triangle(np.ones(shape[-2:], bool), k)
    if b.dtype(x) == np.bool_:
        b.end("And", [b.constant(mask, "mask"), x])
        return
    b.end("Where", [b.constant(mask, "mask"), x, b.number(0, x, "zero")])
