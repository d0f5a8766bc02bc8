"""What finds, gathers, scatters, sorts or masks by index."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one
from tests.helpers.onnx_models import constant, info

_INTEGERS = ("int32", "int64")
_K = constant("k", [1])


def _topk(shape=(2, 3), dtype="float32", *, k=2, **attributes) -> onnx.ModelProto:
    return one("TopK", "x k", "v i", x=(shape, dtype), weights=[constant("k", [k])], **attributes)


def _best(shape=(2, 3), dtype="float32", op_type="ArgMax", **attributes) -> onnx.ModelProto:
    return one(op_type, x=(shape, dtype), **attributes)


def _gather(op_type: str, dtype: str, indices=(0,), **attributes) -> onnx.ModelProto:
    return one(op_type, "x i", x=((3, 2), dtype), weights=[constant("i", indices, np.int64)], **attributes)


def _scatter(op_type: str, x, indices, *, dtype="float32", opset=13, updates=None, **attributes) -> onnx.ModelProto:
    shape = np.shape(indices) if updates is None else updates
    weights = [constant("i", indices, np.int64)]
    more = [info("u", shape, dtype)]
    return one(op_type, "x i u", x=(x, dtype), weights=weights, more=more, opset=opset, **attributes)


def _computed_scatter(reduction: str) -> onnx.ModelProto:
    more = [info("i", (2, 1), "int64"), info("u", (2,))]
    return one("ScatterND", "x i u", x=((4,), "float32"), more=more, opset=16, reduction=reduction)


def _boxes(inputs: str = "x s k t u", *, more=(), weights=None) -> onnx.ModelProto:
    """Inputs boxes, scores, count, overlap and score."""
    known = [constant("k", [2]), *(constant(name, [value], np.float32) for name, value in (("t", 0.5), ("u", 0.1)))]
    used = [tensor for tensor in known if tensor.name in inputs.split()] if weights is None else weights
    boxes = ((1, 6, 4), "float32")
    return one("NonMaxSuppression", inputs, x=boxes, more=[info("s", (1, 2, 6)), *more], weights=used)


_DEPTH = [constant("d", 4), constant("v", [0, 1], np.float32)]
_ONE_HOT = one("OneHot", "x d v", x=((3,), "int64"), weights=_DEPTH)


def _computed_depth(dtype: str) -> onnx.ModelProto:
    return one("OneHot", "x d v", x=((3,), "int64"), more=[info("d", (), dtype)], weights=_DEPTH[1:])


def _trilu(shape=(3, 3), dtype="float32", inputs="x k", **attributes) -> onnx.ModelProto:
    weights = [constant("k", 1)] if "k" in inputs else []
    return one("Trilu", inputs, x=(shape, dtype), weights=weights, opset=14, **attributes)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "argmax-integers": Sides(
        taken=(_best(), _best(op_type="ArgMin", axis=1)),
        refused=(
            *(_best(dtype=dtype, op_type=name, axis=1) for dtype in _INTEGERS for name in ("ArgMax", "ArgMin")),
            _best((2, 5, 3), "int32", axis=-2, keepdims=0, select_last_index=1),
            _best((5,), "int32", axis=0),
        ),
    ),
    "argmax-as-float": Sides(
        taken=(_best(),), refused=(_best(dtype="int32", axis=1), _best(dtype="int64", op_type="ArgMin"))
    ),
    "argmax-one-axis": Sides(
        taken=(_best((1, 3), axis=1),),
        refused=(
            _best((3,), axis=0),
            _best((3,), op_type="ArgMin", axis=-1, keepdims=0),
            _best((3,), axis=0, select_last_index=1),
        ),
    ),
    "argmax-last-index": Sides(
        taken=(_best(axis=1, select_last_index=1), _best(("N", 3), axis=1)),
        refused=(_best(("N", 3), axis=1, select_last_index=1), _best(("N", 3), op_type="ArgMin", select_last_index=1)),
    ),
    "last-four-axes": Sides(
        taken=(_best((2, 3, 4, 5), axis=0), _topk((5, 2, 2, 2), axis=-4), _topk((2, 5, 2, 2, 2), axis=1)),
        refused=(
            _best((2, 3, 4, 1, 2), axis=0),
            _best((2, 3, 4, 1, 2), op_type="ArgMin", axis=-5, keepdims=0),
            _topk((5, 2, 2, 2, 2), axis=0),
            _topk((2, 5, 2, 1, 2, 2), axis=1),
        ),
    ),
    "topk-integers": Sides(
        taken=(_topk(),),
        refused=(
            *(_topk(dtype=dtype) for dtype in _INTEGERS),
            _topk((2, 5, 3), "int32", axis=1, k=3, largest=0),
            _topk((4,), "int64", k=4),
        ),
    ),
    "topk-as-float": Sides(taken=(_topk(),), refused=tuple(_topk(dtype=dtype) for dtype in _INTEGERS)),
    "topk-largest": Sides(
        taken=(_topk(largest=1), _topk()),
        refused=(_topk(largest=0), _topk((2, 5, 3), axis=1, k=3, largest=0), _topk((4,), largest=0)),
    ),
    "gather-bool": Sides(
        taken=(_gather("Gather", "int32"), _gather("GatherElements", "int64", [[0, 1]])),
        refused=(
            _gather("Gather", "bool", [0, -1]),
            _gather("Gather", "bool", [[1]], axis=1),
            _gather("GatherElements", "bool", [[0, 1]]),
            _gather("GatherND", "bool", [[0]]),
        ),
    ),
    "nms-parameters": Sides(
        taken=(_boxes("x s k t u"), _boxes("x s k")),
        refused=(
            _boxes("x s k", more=[info("k", (1,), "int64")], weights=[]),
            _boxes("x s k t", more=[info("t", (1,))], weights=[constant("k", [2])]),
        ),
    ),
    "nms-rows": Sides(
        taken=(_topk((1, 1, 6)), _best((1, 2, 6), axis=1)),
        refused=(_boxes("x s k t u"), _boxes("x s k"), _boxes("x s k", more=[info("k", (1,), "int64")], weights=[])),
    ),
    "nms-score": Sides(taken=(_boxes("x s k t u"),), refused=(_boxes("x s k t"), _boxes("x s k t _"), _boxes("x s k"))),
    "onehot-depth": Sides(taken=(_ONE_HOT,), refused=(_computed_depth("int64"), _computed_depth("float32"))),
    "onehot-float-depth": Sides(taken=(_ONE_HOT, _computed_depth("int64")), refused=(_computed_depth("float32"),)),
    "scatter-sizes": Sides(
        taken=(_scatter("ScatterElements", (2, 3), [[0, 1, 0]], axis=0), _scatter("Scatter", (3,), [1], opset=10)),
        refused=(
            _scatter("ScatterElements", (2,), [0, 1, 0], axis=0),
            _scatter("ScatterElements", (2, 3), [[0, 1, 0], [1, 0, 0], [0, 0, 1]], axis=0),
            _scatter("ScatterElements", (2, 3), [[0, 1, 0, 2, 2, 1, -1]], axis=-1, dtype="int32"),
            _scatter("Scatter", (2,), [0, 1, 0], axis=0, opset=10),
        ),
    ),
    "scatterelements-reduction": Sides(
        taken=(_scatter("ScatterElements", (4,), [1, 2], opset=16),),
        refused=(
            _scatter("ScatterElements", (4,), [1, -1], opset=16, reduction="add"),
            _scatter("ScatterElements", (2, 3), [[0, 1, 1], [1, 0, 0]], opset=16, reduction="mul"),
            _scatter("ScatterElements", (2, 3), [[0, 1, 1], [1, 0, 0]], opset=18, reduction="max"),
        ),
    ),
    "scatternd-reduction": Sides(
        taken=(_scatter("ScatterND", (4,), [[1], [2]], updates=(2,), opset=16),),
        refused=(
            _scatter("ScatterND", (4,), [[1], [-1]], updates=(2,), opset=16, reduction="add"),
            _scatter("ScatterND", (4, 3), [[2], [0]], updates=(2, 3), opset=16, reduction="mul", dtype="int32"),
            _scatter("ScatterND", (4, 3), [[2, 0], [0, 1]], updates=(2,), opset=18, reduction="min"),
        ),
    ),
    "scatternd-no-reduction": Sides(
        taken=(_scatter("ScatterND", (4,), [[1], [2]], updates=(2,), opset=16),),
        refused=(_scatter("ScatterND", (4,), [[1], [2]], updates=(2,), opset=16, reduction="none"),),
    ),
    "trilu-axes": Sides(
        taken=(_trilu(), _trilu((2, 3, 3))),
        refused=(_trilu((1, 2, 3, 3)), _trilu((1, 2, 3, 3), "int32", upper=0), _trilu((1, 2, 3, 4), inputs="x")),
    ),
    "trilu-bool": Sides(
        taken=(_trilu(), _trilu(dtype="int32")),
        refused=(_trilu(dtype="bool"), _trilu((2, 3, 3), "bool", inputs="x", upper=0)),
    ),
}
