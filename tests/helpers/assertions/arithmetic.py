"""Casts, comparisons, powers, remainders, random numbers and ranges."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.onnx_models import constant, info, op

_INTEGERS = ("int32", "int64")


def _cast(dtype: str, to: int) -> onnx.ModelProto:
    return one("Cast", x=((4,), dtype), to=to)


def _power(base: str, exponent, kind, *, opset=13) -> onnx.ModelProto:
    return one("Pow", "x e", x=((2, 3), base), weights=[constant("e", exponent, kind)], opset=opset)


def _cumsum(weights=(), more=()) -> onnx.ModelProto:
    return one("CumSum", "x a", x=((2, 3), "float32"), weights=weights, more=more)


def _random(op_type: str, *, weights=(), more=True, **attributes) -> onnx.ModelProto:
    like = op_type.endswith("Like")
    given = {} if like else {"shape": [2, 3]}
    node = op(op_type, "x" if like else "", "y", name="n", **given, **attributes)
    inputs = [info("x", (2, 3))] if like and not weights else []
    return whole([node], inputs, ["y"], weights)


def _mean(dtype: str, count: int = 2) -> onnx.ModelProto:
    more = [info(f"x{number}", (2, 3), dtype) for number in range(1, count)]
    return one("Mean", " ".join(["x", *(value.name for value in more)]), x=((2, 3), dtype), more=more)


def _mod(dtype: str, *, more=(), weights=(), **attributes) -> onnx.ModelProto:
    return one("Mod", "x m", x=((4,), dtype), more=more, weights=weights or [constant("m", [3], dtype)], **attributes)


def _range(*values: float, dtype=np.float32) -> onnx.ModelProto:
    weights = [constant(name, value, dtype) for name, value in zip("abc", values, strict=True)]
    return whole([op("Range", "a b c", "y", name="n")], [], ["y"], weights)


def _range_of_input(dtype: str) -> onnx.ModelProto:
    weights = [constant("a", 0, dtype), constant("c", 1, dtype)]
    return whole([op("Range", "a x c", "y", name="n")], [info("x", (), dtype)], ["y"], weights)


def _range_of_size() -> onnx.ModelProto:
    weights = [constant("a", 0, np.float32), constant("c", 1, np.float32)]
    size = [op("Size", "x", "s"), op("Cast", "s", "b", to=TensorProto.FLOAT)]
    return whole([*size, op("Range", "a b c", "y", name="n")], [info("x", ("N",))], ["y"], weights)


def _where(dtype: str, *, weights=(), inputs="c x y0") -> onnx.ModelProto:
    more = [info("c", (2,), "bool"), *([] if weights else [info("y0", (2,), dtype)])]
    return one("Where", inputs, x=((2,), dtype), more=more, weights=weights)


def _is_infinite(dtype: str, **attributes) -> onnx.ModelProto:
    return one("IsInf", x=((4,), dtype), opset=20, **attributes)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "cast-to-int8": Sides(
        taken=(_cast("int32", TensorProto.FLOAT),),
        refused=(_cast("float32", TensorProto.INT8), _cast("int32", TensorProto.INT8)),
    ),
    "cast-from-int8": Sides(
        taken=(_cast("int32", TensorProto.FLOAT), _cast("bool", TensorProto.INT32)),
        refused=(_cast("int8", TensorProto.FLOAT), _cast("int8", TensorProto.INT32)),
    ),
    "cast-uint8": Sides(
        taken=(
            _cast("uint8", TensorProto.FLOAT),
            _cast("float16", TensorProto.UINT8),
            _cast("int32", TensorProto.FLOAT),
        ),
        refused=(
            _cast("uint8", TensorProto.INT32),
            _cast("uint8", TensorProto.BOOL),
            _cast("uint8", TensorProto.INT64),
        ),
    ),
    "cumsum-axis": Sides(
        taken=(_cumsum([constant("a", 1)]), _cumsum([constant("a", [0], np.int32)])),
        refused=(_cumsum(more=[info("a", (), "int64")]), _cumsum(more=[info("a", (), "int32")])),
    ),
    "equal-bool": Sides(
        taken=(one("Equal", "x z", x=((3,), "int32"), more=[info("z", (3,), "int32")]),),
        refused=(
            one("Equal", "x z", x=((3,), "bool"), more=[info("z", (3,), "bool")]),
            one("Equal", "x z", x=((2, 3), "bool"), weights=[constant("z", [True, False, True])]),
        ),
    ),
    "eyelike-static": Sides(
        taken=(one("EyeLike", x=((2, 3), "float32")),),
        refused=(one("EyeLike", x=(("N", 3), "float32")), one("EyeLike", x=((2, "N"), "int32"), dtype=1)),
    ),
    "isinf-half": Sides(
        taken=(_is_infinite("float32", detect_negative=0), _is_infinite("float16")),
        refused=(_is_infinite("float16", detect_negative=0),),
    ),
    "isinf-half-negative": Sides(
        taken=(_is_infinite("float32", detect_positive=0), _is_infinite("float16")),
        refused=(_is_infinite("float16", detect_positive=0),),
    ),
    "mean-half": Sides(taken=(_mean("float32"),), refused=(_mean("float16"), _mean("float16", 3))),
    "mean-half-factor": Sides(
        taken=(_mean("float32"),),
        refused=(_mean("float16"), _mean("float16", 3)),
        rtx="it parses: the factor in the network is 0",
    ),
    "mod-small": Sides(
        taken=(_mod("int32"), _mod("int64"), _mod("float32", fmod=1)),
        refused=(_mod("int8"), _mod("int8", more=[info("m", (4,), "int8")], weights=[constant("unused", [1])])),
    ),
    "pow-integers": Sides(
        taken=(_power("float32", 2, np.float32), _power("float16", [2, 3, 1], np.float16)),
        refused=(
            _power("float32", 2, np.int64),
            _power("float32", [1, 2, 3], np.int32),
            _power("float32", -2, np.int64),
            *(_power(dtype, 3, dtype) for dtype in _INTEGERS),
            _power("int32", [0], np.int64),
            _power("int32", 2, np.float32),
        ),
    ),
    "pow-integer-base": Sides(
        taken=(_power("float32", 2, np.float32), _power("float32", 2, np.int64)),
        refused=(*(_power(dtype, 3, dtype) for dtype in _INTEGERS), _power("int32", 2, np.float32)),
    ),
    "random-type": Sides(
        taken=(_random("RandomUniform"), _random("RandomUniform", dtype=1), _random("RandomUniformLike")),
        refused=(
            _random("RandomUniform", dtype=11),
            _random("RandomUniformLike", dtype=11),
            _random("RandomNormal", dtype=11),
            _random("RandomNormalLike", dtype=11),
        ),
    ),
    "random-like-constant": Sides(
        taken=(_random("RandomUniformLike"), _random("RandomUniform")),
        refused=tuple(
            _random(name, weights=[constant("x", [1, 2], np.float32)])
            for name in ("RandomUniformLike", "RandomNormalLike")
        ),
    ),
    "range-empty": Sides(
        taken=(_range(0, 5, 1), _range(5, 0, -1), _range(5, 0, 1, dtype=np.int32)),
        refused=(_range(5, 0, 1), _range(0, 5, -1), _range(1, 1, 1)),
    ),
    "range-constant": Sides(
        taken=(_range(0, 5, 1), _range_of_input("int32"), _range_of_input("int64")),
        refused=(_range_of_input("float32"), _range_of_size()),
    ),
    "range-of-floats": Sides(
        taken=(_range(0, 5, 1), _range_of_input("int32"), _range_of_size()),
        refused=(_range_of_input("float32"), _range_of_input("float64")),
    ),
    "sign-integers": Sides(
        taken=(one("Sign", x=((3,), "float32")),),
        refused=tuple(one("Sign", x=((3,), dtype)) for dtype in _INTEGERS),
    ),
    "where-bool": Sides(taken=(_where("float32"), _where("int64")), refused=(_where("bool"),), runs=False),
    "where-half-constant": Sides(
        taken=(_where("float16"), _where("float32", weights=[constant("y0", [1, 2], np.float32)])),
        refused=(
            _where("float16", weights=[constant("y0", [1, 2], np.float16)]),
            _where("float16", weights=[constant("y0", [1, 2], np.float16)], inputs="c y0 x"),
        ),
    ),
}
