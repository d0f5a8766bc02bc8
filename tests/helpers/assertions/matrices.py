"""Gemm, MatMul and Einsum."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one
from tests.helpers.onnx_models import constant, info

_B, _C = constant("b", np.arange(12).reshape(3, 4) / 8, np.float32), constant("c", [1, 2, 3, 4], np.float32)
_SQUARE = constant("b", np.arange(9).reshape(3, 3) / 8, np.float32)


def _gemm(inputs: str, x=(2, 3), *, weights=(_B,), more=(), dtype="float32", **attributes) -> onnx.ModelProto:
    return one("Gemm", inputs, x=(x, dtype), weights=weights, more=more, **attributes)


def _half(**attributes) -> onnx.ModelProto:
    weights = [constant(name, values, np.float16) for name, values in (("b", np.eye(3)), ("c", [1, 2, 3]))]
    return _gemm("x b c", weights=weights, dtype="float16", **attributes)


def _matmul(x, y, dtype="float32") -> onnx.ModelProto:
    return one("MatMul", "x w", x=(x, dtype), more=[info("w", y, dtype)])


def _einsum(equation: str, *shapes, dtype="float32") -> onnx.ModelProto:
    names = [f"x{number or ''}" for number in range(len(shapes))]
    more = [info(name, shape, dtype) for name, shape in zip(names[1:], shapes[1:], strict=True)]
    return one("Einsum", " ".join(names), x=(shapes[0], dtype), more=more, equation=equation)


_INTEGERS = ("int32", "int64")

#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "gemm-no-bias": Sides(
        taken=(
            _gemm("x b c", weights=[_B, _C]),
            _gemm("x b", alpha=0.5),
            _gemm("x b", weights=[], more=[info("b", (3, 4))]),
        ),
        refused=(_gemm("x b"), _gemm("x b", weights=[_SQUARE], transB=1), _gemm("x b", (3, 2), transA=1)),
    ),
    "gemm-transposed-input": Sides(
        taken=(_gemm("x b c", weights=[_B, _C]), _gemm("x b c", (3, 2), weights=[_B, _C], transA=1, beta=2.0)),
        refused=(
            _gemm("x b c", (3, 2), weights=[_B, _C], transA=1),
            _gemm("x b c", (3, 3), weights=[_B, _C], transA=1),
            _gemm("x b", (3, 3), transA=1),
        ),
    ),
    "gemm-bias-size": Sides(
        taken=(
            _gemm("x b c", weights=[_B, _C]),
            _gemm("x b c", weights=[_B, constant("c", [[1]], np.float32)]),
            _gemm("x b c", weights=[_B], more=[info("c", (1,))]),
        ),
        refused=(
            _gemm("x b c", weights=[_B, constant("c", [1], np.float32)]),
            _gemm("x b c", weights=[_SQUARE, constant("c", [1], np.float32)], transB=1),
        ),
    ),
    "gemm-column": Sides(
        taken=(
            _gemm("x b c", alpha=0.5, weights=[_B, _C]),
            _gemm("x b c", (2, 1), weights=[constant("b", [[1, 2, 3, 4]], np.float32), _C]),
        ),
        refused=(
            _gemm("x b c", (2, 1), weights=[constant("b", [[1, 2, 3, 4]], np.float32), _C], alpha=0.5),
            _gemm("x b", (2, 1), weights=[], more=[info("b", (1, 4))]),
            _gemm("x b c", (3, 1), weights=[_C], more=[info("b", (3, 4))], transA=1, beta=0.5),
            _gemm("x b c", (1, 1), weights=[_C], more=[info("b", (4, 1))], transB=1),
        ),
    ),
    "gemm-half-alpha": Sides(
        taken=(_half(), _gemm("x b c", weights=[_B, _C], alpha=0.5)),
        refused=(_half(alpha=0.5), _half(alpha=2.0, transB=1)),
    ),
    "gemm-half-beta": Sides(
        taken=(_half(), _gemm("x b c", weights=[_B, _C], beta=0.5)),
        refused=(_half(beta=0.5), _half(beta=2.0, transA=1, x=(3, 2))),
    ),
    "matmul-integers": Sides(
        taken=(_matmul((2, 3), (3, 4)),),
        refused=(
            *(_matmul((2, 3), (3, 4), dtype) for dtype in _INTEGERS),
            _matmul((2, 1, 2, 3), (4, 3, 2), "int32"),
            _matmul((3,), (3, 4), "int64"),
            _matmul((2, 3), (3,), "int32"),
            _matmul((3,), (3,), "int32"),
        ),
    ),
    "vector-by-batch": Sides(
        taken=(_matmul((3,), (3, 4)), _matmul((3,), (1, 3, 4)), _matmul((2, 3), (2, 3, 4)), _matmul((2, 3), (3,))),
        refused=(_matmul((3,), (2, 3, 4)), _matmul((3,), (2, 1, 3, 4))),
    ),
    "einsum-letters": Sides(
        taken=(_einsum("ij,jk->ik", (2, 3), (3, 4)),),
        refused=(
            _einsum("Ij,Ij->I", (2, 3), (2, 3)),
            _einsum("AB,BC->AC", (2, 3), (3, 4)),
            _einsum("bA,Ac", (2, 3), (3, 4)),
            _einsum("bA,Ab", (2, 3), (3, 2)),
        ),
    ),
    "einsum-operands": Sides(
        taken=(_einsum("ij,jk->ik", (2, 3), (3, 4)),),
        refused=(
            _einsum("ij,ij,ij->i", (2, 3), (2, 3), (2, 3)),
            _einsum("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
            _einsum("ab,bc,cd,ae", (2, 3), (3, 4), (4, 5), (2, 2)),
        ),
    ),
    "einsum-integers": Sides(
        taken=(_einsum("ij,jk->ik", (2, 3), (3, 4)),),
        refused=tuple(
            _einsum(equation, (2, 3), (2, 3), dtype=dtype)
            for equation in ("ij,ij->i", "ij,kj->ik")
            for dtype in _INTEGERS
        ),
    ),
}
