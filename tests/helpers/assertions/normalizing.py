"""What normalises: by batch, instance, group, layer and neighbours, and Softmax."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.onnx_models import batch_norm, constant, info, op, random_weight

_VECTOR, _MATRIX = ((4,), "float32"), ((2, 4), "float32")
_NAMES = "s b m v"


def _batch(outputs: str = "y", *, opset: int = 13, **given) -> onnx.ModelProto:
    """Its other outputs are read by nobody."""
    node = op("BatchNormalization", "x bn.s bn.b bn.m bn.v", outputs, name="n", **given)
    return whole([node], [info("x", (1, 4, 8, 8))], ["y"], batch_norm("bn", 4), opset=opset)


def _computed_batch(dtype: str) -> onnx.ModelProto:
    """Its scale is an input of the model."""
    weights = [constant(name, np.full(4, 0.5), np.dtype(dtype)) for name in "bmv"]
    return one(
        "BatchNormalization", f"x {_NAMES}", x=((1, 4, 2), dtype), more=[info("s", (4,), dtype)], weights=weights
    )


def _by_batch_of_8(shape, **given) -> onnx.ModelProto:
    """Opset 7 has its parameters among the inputs too."""
    weights = [constant(name, np.full(shape, 0.5), np.float32) for name in _NAMES.split()]
    more = [info(name, shape) for name in _NAMES.split()]
    return one(
        "BatchNormalization", f"x {_NAMES}", x=((1, 2, 2), "float32"), more=more, weights=weights, opset=7, **given
    )


def _instance(shape=(1, 2, 4), dtype: str = "float32", *, more=()) -> onnx.ModelProto:
    known = {value.name for value in more}
    weights = [constant(name, [1.5, 2], np.dtype(dtype)) for name in "sb" if name not in known]
    return one("InstanceNormalization", "x s b", x=(shape, dtype), more=more, weights=weights)


def _group(shape) -> onnx.ModelProto:
    weights = [random_weight("s", 4), random_weight("b", 4)]
    model = one("GroupNormalization", "x s b", x=(shape, "float32"), weights=weights, num_groups=2, opset=21)
    model.graph.output[0].CopyFrom(info("y", shape))
    return model


def _layer(inputs: str = "x s", outputs: str = "y") -> onnx.ModelProto:
    return one("LayerNormalization", inputs, outputs, x=_MATRIX, weights=[random_weight("s", 4)], opset=17)


def _mean_variance(dtype: str) -> onnx.ModelProto:
    """Inference does not tell the shape of what it makes."""
    model = one("MeanVarianceNormalization", x=((1, 4, 3, 3), dtype))
    model.graph.output[0].CopyFrom(info("y", (1, 4, 3, 3), dtype))
    return model


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "batchnorm-outputs": Sides(
        taken=(_batch(), _batch(opset=9)), refused=(_batch("y m1 v1 m2 v2", opset=9), _batch("y m1 v1 m2 v2"))
    ),
    "training": Sides(taken=(_batch(opset=15),), refused=(_batch("y m v", opset=15, training_mode=1),)),
    "batchnorm-spatial": Sides(taken=(_by_batch_of_8((2,)),), refused=(_by_batch_of_8((2, 2), spatial=0),)),
    "instancenorm-parameters": Sides(
        taken=(_instance(), _instance((1, 2, 4, 4))),
        refused=(_instance(more=[info("s", (2,))]), _instance((1, 2, 4, 4), more=[info("b", (2,))])),
    ),
    "instancenorm-axes": Sides(
        taken=(_instance(), _instance((1, 2, 2, 2, 2))), refused=(_instance((1, 2, 1, 1, 1, 4)),)
    ),
    "instancenorm-half": Sides(
        taken=(_instance(),), refused=(_instance(dtype="float16"), _instance((1, 2, 4, 4), dtype="float16"))
    ),
    "lrn-size": Sides(
        taken=(one("LRN", size=3), one("LRN", size=15)),
        refused=(
            one("LRN", x=((1, 20, 2, 2), "float32"), size=17),
            one("LRN", x=((2, 20, 3, 1), "float32"), size=19, beta=0.5),
        ),
    ),
    "lrn-bias": Sides(
        taken=(one("LRN", size=3), one("LRN", size=3, bias=2.0)),
        refused=(one("LRN", size=3, bias=0.0), one("LRN", size=5, bias=1e-6, alpha=0.1)),
    ),
    "lrn-beta": Sides(taken=(one("LRN", size=3, beta=0.5),), refused=(one("LRN", size=3, beta=0.001, alpha=1.0),)),
    "groupnorm-axes": Sides(taken=(_group((1, 4, 2)),), refused=(_group((1, 4)),)),
    "outputs": Sides(taken=(_layer(),), refused=(_layer(outputs="y m"), _layer(outputs="y m d"))),
    "meanvariance-half": Sides(taken=(_mean_variance("float32"),), refused=(_mean_variance("float16"),), runs=False),
    "constants-of-float": Sides(
        taken=(one("GlobalLpPool"), one("LpNormalization")),
        refused=tuple(
            one(name, x=((1, 4, 8, 8), "float16"), **given)
            for name, given in (("GlobalLpPool", {}), ("LpNormalization", {}), ("LpPool", {"kernel_shape": [2, 2]}))
        ),
    ),
    "batchnorm-half": Sides(taken=(_batch(),), refused=(_computed_batch("float16"),)),
    "meanvariance-constants": Sides(
        taken=(_mean_variance("float32"),), refused=(_mean_variance("float16"),), runs=False
    ),
    "softmax-one-axis": Sides(
        taken=(one("Softmax", x=_MATRIX), one("LogSoftmax", x=_MATRIX), one("Softmax", x=_VECTOR, axis=0, opset=11)),
        refused=(one("Softmax", x=_VECTOR), one("LogSoftmax", x=_VECTOR), one("Softmax", x=((4,), "float16"), axis=0)),
    ),
    "hardmax-one-axis": Sides(
        taken=(one("Hardmax", x=_MATRIX),), refused=(one("Hardmax", x=_VECTOR), one("Hardmax", x=_VECTOR, axis=0))
    ),
}
