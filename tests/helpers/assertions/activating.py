"""Activations, Clip and Dropout."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.assertions.windows import WRONG
from tests.helpers.onnx_models import constant, info, op

_SELU = {"alpha": 1.6732631921768188, "gamma": 1.0507010221481323}


def _clip(dtype: str, inputs: str = "x lo hi", *, computed=(), **given) -> onnx.ModelProto:
    """Between -1 and 2."""
    names = [name for name in inputs.split()[1:] if name != "_"]
    weights = [constant(n, -1 if n == "lo" else 2, np.dtype(dtype)) for n in names if n not in computed]
    more = [info(name, (), dtype) for name in computed]
    return one("Clip", inputs, x=((2, 4), dtype), weights=weights, more=more, **given)


def _dropout(inputs: str = "x r t", *, training: bool | None = False) -> onnx.ModelProto:
    """Its mode is an input of the model if `training` is None."""
    weights = [constant("r", 0.0, np.float32)] if " r" in inputs else []
    more = [info("t", (), "bool")] if training is None else []
    if " t" in inputs and training is not None:
        weights.append(constant("t", training))
    return one("Dropout", inputs, weights=weights, more=more)


def _masked(read: str) -> onnx.ModelProto:
    nodes = [op("Dropout", read, "a m", name="n"), op("Add", "x a", "y")]
    return whole(nodes, [info("x", (2,))], ["y", "m"], [constant("k", [1, 2], np.float32)])


def _in_bfloat16(name: str, **given) -> onnx.ModelProto:
    model = one(name, opset=22, **given)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    return model


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "celu": Sides(taken=(one("Elu"),), refused=(one("Celu"), one("Celu", alpha=2.0))),
    "clip-bounds": Sides(
        taken=(
            _clip("float32"),
            _clip("int32"),
            _clip("float32", computed=["lo"]),
            _clip("float32", "x _ hi"),
            _clip("float16", "x"),
        ),
        refused=(
            _clip("float16"),
            _clip("float16", "x lo"),
            _clip("float16", "x _ hi"),
            _clip("float16", "x lo _"),
            _clip("float16", computed=["lo"]),
            _clip("int8"),
            _clip("int8", computed=["lo", "hi"]),
        ),
    ),
    "clip-int8": Sides(
        taken=(_clip("float32"), _clip("float16"), _clip("int32")), refused=(_clip("int8"), _clip("int8", "x _ hi"))
    ),
    "clip-computed": Sides(
        taken=(_clip("float32", computed=["lo"]), _clip("int32", computed=["lo", "hi"])),
        refused=(_clip("int8", computed=["lo"]), _clip("int8", "x _ hi", computed=["hi"])),
    ),
    "prelu-integers": Sides(
        taken=(one("PRelu", "x s", weights=[constant("s", [0.5], np.float32)]),),
        refused=(
            one("PRelu", "x s", x=((2, 2), "int32"), weights=[constant("s", [2], np.int32)]),
            one("PRelu", "x s", x=((2, 2), "int64"), weights=[constant("s", [2], np.int64)]),
        ),
        runs=False,
    ),
    "relu-int32": Sides(
        taken=(one("Relu"), one("Relu", opset=14)), refused=(one("Relu", x=((3,), "int32"), opset=14),)
    ),
    "selu-written": Sides(
        taken=(one("Selu", **_SELU),), refused=(one("Selu"), one("Selu", alpha=1.5), one("Selu", gamma=1.5)), rtx=WRONG
    ),
    "bfloat16": Sides(
        taken=(one("HardSwish", opset=22),),
        refused=(
            *(_in_bfloat16(name) for name in ("HardSwish", "Mish", "LpNormalization", "GlobalLpPool")),
            _in_bfloat16("LpPool", kernel_shape=[2, 2]),
        ),
        runs=False,
    ),
    "dropout-mode": Sides(taken=(_dropout(), _dropout("x r")), refused=(_dropout(training=None),)),
    "dropout-training": Sides(taken=(_dropout(), _dropout("x _ t")), refused=(_dropout(training=True),)),
    "dropout-mask": Sides(taken=(_masked("x"), one("Dropout", "x")), refused=(_masked("k"),)),
}
