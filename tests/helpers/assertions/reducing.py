"""Reductions."""

from __future__ import annotations

import onnx

from tests.helpers.assertions.pairs import Sides, one
from tests.helpers.onnx_models import constant, info, net, op

_ALL = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_AXES = constant("a", [1])
_NONE = constant("a", [], "int64")


def _reduce(op_type: str, shape=(2, 3), dtype="float32", **attributes) -> onnx.ModelProto:
    """Axes as an attribute, as all but ReduceSum have it at opset 13."""
    return one(op_type, x=(shape, dtype), **attributes)


def _sum(weights=(), *, inputs="x a", op_type="ReduceSum", shape=(2, 3), dtype="float32", **attributes):
    return one(op_type, inputs, x=(shape, dtype), weights=weights, **attributes)


def _computed(op_type: str, opset: int) -> onnx.ModelProto:
    """Inference finds no shape."""
    inputs = [info("x", (2, 3)), info("a", (1,), "int64")]
    return net([op(op_type, "x a", "y", name="n")], inputs, [info("y", (None, None))], opset=opset)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "reduce-axes": Sides(
        taken=(_sum([_AXES]), _sum(inputs="x"), _reduce("ReduceMean", axes=[1])),
        refused=(_computed("ReduceSum", 13), _computed("ReduceMean", 18), _computed("ReduceMax", 18)),
    ),
    "reduce-nothing": Sides(
        taken=(_sum([_AXES], noop_with_empty_axes=1), _sum(inputs="x"), _sum(inputs="x", noop_with_empty_axes=0)),
        refused=(
            _sum(inputs="x", noop_with_empty_axes=1),
            _sum([_NONE], noop_with_empty_axes=1),
            _sum(inputs="x _", noop_with_empty_axes=1, dtype="int32"),
        ),
    ),
    "reduce-empty-axes": Sides(
        taken=(_sum([_AXES]), _sum(inputs="x")),
        refused=(_sum([_NONE]), _sum([_NONE], keepdims=0), _sum([_NONE], noop_with_empty_axes=1)),
    ),
    "reduce-scalar": Sides(
        taken=tuple(_reduce(name) for name in _ALL),
        refused=tuple(_reduce(name, ()) for name in _ALL),
    ),
    "reduce-integers": Sides(
        taken=(_reduce("ReduceL2"), _reduce("ReduceSum", dtype="int32"), _reduce("ReduceSumSquare", dtype="int32")),
        refused=(
            *(_reduce(name, dtype="int32") for name in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp")),
            _reduce("ReduceL2", dtype="int32", axes=[1], keepdims=0),
            _reduce("ReduceLogSum", dtype="int32", axes=[-1]),
        ),
    ),
    "reduce-bool": Sides(
        taken=(_sum([_AXES], op_type="ReduceMax", opset=20), _reduce("ReduceMin", opset=20)),
        refused=(
            _sum([_AXES], op_type="ReduceMax", dtype="bool", opset=20),
            _sum([_AXES], op_type="ReduceMin", dtype="bool", opset=20, keepdims=0),
            _reduce("ReduceMin", dtype="bool", opset=20),
        ),
    ),
    "reduce-exponentials": Sides(
        taken=(_reduce("ReduceLogSumExp", opset=18), _sum([_AXES], op_type="ReduceMean", opset=18)),
        refused=(
            _sum([_AXES], op_type="ReduceLogSumExp", opset=18),
            _sum([_AXES], op_type="ReduceLogSumExp", opset=18, keepdims=0),
            _sum([constant("a", [-1, 0])], op_type="ReduceLogSumExp", opset=20, keepdims=0, dtype="float32"),
        ),
    ),
}
