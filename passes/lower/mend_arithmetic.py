"""Arithmetic, flags and quantizers as a parser takes them that refuses how they are written.

Each is exact, and is called only for nodes that break the limit it is listed by. Matrices, reductions and what goes by
index have files of their own.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower import mend_matrices, mend_reductions, mend_scatters, mend_searches, triangles
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.writing import attributes_of, through

#: The largest exponent that is written as products.
_MOST_PRODUCTS = 16


def compared_as_int32(node: onnx.NodeProto, b: Builder) -> None:
    """Flags are compared as 0 and 1."""
    b.end(node.op_type, [b.cast(name, TensorProto.INT32) for name in node.input])


def asked_of_float(node: onnx.NodeProto, b: Builder) -> None:
    """A question about numbers that are float32 without a loss."""
    b.end(node.op_type, [b.cast(b.input(0), TensorProto.FLOAT)], **attributes_of(node))


def cast_through_float(node: onnx.NodeProto, b: Builder) -> None:
    """uint8 as float32, which holds all of it."""
    if b.scope.element(b.input(0)) not in (TensorProto.UINT8, TensorProto.BOOL):
        raise CannotLower("integers that do not fit uint8 would become other ones", "cast to float32 before it")
    b.end_cast(b.cast(b.input(0), TensorProto.FLOAT), b.attribute("to"))


def power(node: onnx.NodeProto, b: Builder) -> None:
    """An integer exponent of a float base as a float; of an integer base as products."""
    x, exponent = b.input(0), b.input(1)
    constant = b.scope.array(exponent)
    if b.dtype(x).kind == "f":
        if constant is None:
            b.end("Pow", [x, b.cast(exponent, b.scope.element(x))])
        else:
            b.end("Pow", [x, b.constant(constant.astype(b.dtype(x)), "exponent")])
        return
    value = constant.item() if constant is not None and constant.size == 1 else -1
    small = value == int(value) and 0 <= value <= _MOST_PRODUCTS
    if constant is None or not small or constant.ndim > len(b.shape(x)):
        raise CannotLower("it is a power of integers that is no small constant one", "cast the base to float32")
    _products(b, x, int(value))


def _products(b: Builder, x: str, count: int) -> None:
    if count == 0:
        b.end("Add", [b.add("Sub", [x, x]), b.number(1, x, "one")])
        return
    made = x
    for _ in range(count - 2):
        made = b.add("Mul", [made, x])
    if count == 1:
        b.end("Identity", [x])
    else:
        b.end("Mul", [made, x])


def zero_point(node: onnx.NodeProto, b: Builder) -> None:
    """The zeros that a missing zero point is."""
    x, scale = b.input(0), b.input(1)
    b.keep(inputs=[x, scale, b.constant(np.zeros(b.shape(scale), b.dtype(x)), "zero_point")])


def written_axis(node: onnx.NodeProto, b: Builder) -> None:
    """ONNX's default."""
    b.keep(axis=1)


_IN_FLOAT, _IN_INT32 = through(TensorProto.FLOAT), through(TensorProto.INT32)

#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    **mend_matrices.MENDS,
    **mend_reductions.MENDS,
    **mend_scatters.MENDS,
    **mend_searches.MENDS,
    **{f"{name}/gather-bool": _IN_INT32 for name in ("Gather", "GatherElements", "GatherND")},
    "Cast/cast-uint8": cast_through_float,
    "DequantizeLinear/quantizer-axis": written_axis,
    "DequantizeLinear/quantizer-zero-point": zero_point,
    "Equal/equal-bool": compared_as_int32,
    "IsInf/isinf-half": asked_of_float,
    "IsInf/isinf-half-negative": asked_of_float,
    "Mean/mean-half": _IN_FLOAT,
    "Mean/mean-half-factor": _IN_FLOAT,
    "Mod/mod-small": _IN_INT32,
    "Pow/pow-integer-base": power,
    "Pow/pow-integers": power,
    "QuantizeLinear/quantizer-axis": written_axis,
    "Sign/sign-integers": _IN_FLOAT,
    "Trilu/trilu-axes": triangles.masked,
    "Trilu/trilu-bool": triangles.masked,
}
