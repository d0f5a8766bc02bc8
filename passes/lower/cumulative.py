"""CumSum as a product with a triangle of ones."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower


def by_triangle(node: onnx.NodeProto, b: Builder) -> None:
    """The axis goes last, is multiplied by the triangle and goes back; floats only, MatMul takes no integers."""
    x = b.input(0)
    shape = b.shape(x)
    if b.dtype(x).kind != "f":
        raise CannotLower("it sums integers", "cast to float32 before it")
    axis = int(b.array(b.input(1), "axis").item()) % len(shape)
    triangle = np.triu(np.ones((shape[axis], shape[axis])), 1 if b.attribute("exclusive", 0) else 0)
    if b.attribute("reverse", 0):
        triangle = triangle[::-1, ::-1]
    last = [*(index for index in range(len(shape)) if index != axis), axis]
    turned = b.add("Transpose", [x], perm=last)
    product = b.add("MatMul", [turned, b.constant(triangle.astype(b.dtype(x)), "triangle")])
    b.end("Transpose", [product], perm=[last.index(index) for index in range(len(shape))])
