"""Reshape before opset 14 and Shape before 15."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower


def reshape_without_allowzero(node: onnx.NodeProto, b: Builder) -> None:
    """A zero copies a size unless `allowzero`, when it means an empty axis."""
    if not b.attribute("allowzero", 0):
        b.keep(drop=["allowzero"])
        return
    shape = b.scope.array(b.input(1))
    if shape is not None and not (shape == 0).any():
        b.keep(drop=["allowzero"])
        return
    made = b.shape(node.output[0])
    if 0 in made:
        raise CannotLower("it makes a tensor without elements (allowzero = 1)", "remove the empty tensor")
    b.end_reshape(b.input(0), made)


def shape_without_window(node: onnx.NodeProto, b: Builder) -> None:
    """`start` and `end` cut a part out of the shape: a constant where it is known, else a Slice does."""
    start, end = b.attribute("start", 0), b.attribute("end")
    if start == 0 and end is None:
        b.keep(drop=["start", "end"])
        return
    known = b.scope.shape(b.input(0))
    if known is not None:
        b.become(np.array(known[start:end], np.int64))
        return
    whole = b.add("Shape", [b.input(0)])
    bounds = [start, np.iinfo(np.int64).max if end is None else end]
    names = [
        b.constant(np.array([bound], np.int64), hint) for bound, hint in zip(bounds, ("start", "end"), strict=True)
    ]
    b.end("Slice", [whole, *names])
