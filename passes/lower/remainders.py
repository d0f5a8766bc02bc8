"""Mod of integers as division and multiplication."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder, CannotLower


def integer_mod(node: onnx.NodeProto, b: Builder) -> None:
    """a - (a / b) b, with the sign of the dividend; with fmod = 0 moved by b where the signs differ."""
    x, y = b.input(0), b.input(1)
    if b.scope.element(x) not in (TensorProto.INT32, TensorProto.INT64):
        raise CannotLower(f"it is a remainder of {b.dtype(x).name}, which no division gives exactly", "use int32")
    rest = b.add("Sub", [x, b.add("Mul", [b.add("Div", [x, y]), y])])
    if b.attribute("fmod", 0):
        b.end("Identity", [rest])
        return
    divisor = b.scope.array(y)
    if divisor is not None and (np.sign(divisor) == np.sign(divisor.flat[0])).all():
        op = "Less" if divisor.flat[0] > 0 else "Greater"
        differs = b.add(op, [rest, b.number(0, x, "zero")])
    else:
        product = b.add("Mul", [b.cast(rest, TensorProto.FLOAT), b.cast(y, TensorProto.FLOAT)])
        differs = b.add("Less", [product, b.constant(np.array(0, np.float32), "zero")])
    b.end("Where", [differs, b.add("Add", [rest, y]), rest])
