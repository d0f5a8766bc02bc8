"""Inputs and outputs left out by "" where they may only be left out by a shorter list."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one
from tests.helpers.onnx_models import batch_norm, constant, random_weight

KERNEL, BIAS = random_weight("w", 4, 4, 3, 3), random_weight("b", 4)
MATRIX = ((2, 4), "float32")
SQUARE, ROW = random_weight("m", 4, 4), random_weight("r", 4)


def conv(op_type: str, inputs: str, **attributes: object) -> onnx.ModelProto:
    return one(op_type, inputs, weights=[KERNEL, BIAS], **attributes)


def gemm(inputs: str) -> onnx.ModelProto:
    return one("Gemm", inputs, x=MATRIX, weights=[SQUARE, ROW])


def clip(inputs: str) -> onnx.ModelProto:
    return one("Clip", inputs, weights=[constant("low", np.float32(0)), constant("high", np.float32(6))])


def pad(inputs: str) -> onnx.ModelProto:
    return one("Pad", inputs, weights=[constant("pads", [0, 0, 1, 1, 0, 0, 1, 1]), constant("value", np.float32(1))])


def resize(inputs: str) -> onnx.ModelProto:
    return one("Resize", inputs, weights=[constant("scales", [1, 1, 2, 2], "f"), constant("sizes", [1, 4, 16, 16])])


def dropout(inputs: str, outputs: str = "y") -> onnx.ModelProto:
    return one("Dropout", inputs, outputs, weights=[constant("ratio", np.float32(0.5)), constant("no", False)])


def boxes(inputs: str) -> onnx.ModelProto:
    scores = onnx.helper.make_tensor_value_info("s", onnx.TensorProto.FLOAT, (1, 2, 5))
    limits = [constant("n", [3]), constant("iou", [0.5], "f"), constant("least", [0.1], "f")]
    return one("NonMaxSuppression", inputs, x=((1, 5, 4), "float32"), more=[scores], weights=limits)


def quantize(inputs: str, op_type: str = "QuantizeLinear") -> onnx.ModelProto:
    kind = "float32" if op_type == "QuantizeLinear" else "int8"
    weights = [constant("scale", np.float32(0.1)), constant("zero", np.int8(0))]
    return one(op_type, inputs, x=((2, 4), kind), weights=weights)


def cut(inputs: str, axes: int = 2, kind: str = "float32") -> onnx.ModelProto:
    bounds = {"starts": 0, "ends": 3, "steps": 1}
    weights = [constant(name, [value] * axes) for name, value in bounds.items()]
    return one("Slice", inputs, x=((4, 4), kind), weights=[*weights, constant("axes", list(range(axes)))])


def split(inputs: str, outputs: str = "y z") -> onnx.ModelProto:
    return one("Split", inputs, outputs, x=MATRIX, weights=[constant("sizes", [1, 3])], axis=1)


def pool(outputs: str, **attributes: object) -> onnx.ModelProto:
    return one("MaxPool", "x", outputs, kernel_shape=[2, 2], **attributes)


def norm(outputs: str) -> onnx.ModelProto:
    parameters = batch_norm("n", 4)
    return one("BatchNormalization", "x n.s n.b n.m n.v", outputs, weights=parameters)


def layer_norm(inputs: str, outputs: str = "y") -> onnx.ModelProto:
    return one("LayerNormalization", inputs, outputs, x=MATRIX, weights=[ROW, constant("c", np.ones(4, "f"))], opset=17)


def attention(outputs: str) -> onnx.ModelProto:
    more = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2, 4, 8)) for name in "kv"]
    return one("Attention", "x k v", outputs, x=((1, 2, 4, 8), "float32"), more=more, opset=23)


def deform(inputs: str) -> onnx.ModelProto:
    shapes = {"o": (1, 18, 6, 6), "k": (1, 9, 6, 6)}
    more = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n, shape in shapes.items()]
    return one("DeformConv", inputs, more=more, weights=[KERNEL, BIAS], opset=19)


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "spelled-empty-bias": Sides(
        taken=(conv("Conv", "x w"), conv("Conv", "x w b")),
        refused=(conv("Conv", "x w _"), conv("Conv", "x w _", group=1, pads=[1, 1, 1, 1])),
    ),
    "spelled-empty-transposed-bias": Sides(
        taken=(conv("ConvTranspose", "x w"), conv("ConvTranspose", "x w b")),
        refused=(conv("ConvTranspose", "x w _"), conv("ConvTranspose", "x w _", strides=[2, 2])),
    ),
    "spelled-empty-fill": Sides(
        taken=(pad("x pads"), pad("x pads value")),
        refused=(pad("x pads _"),),
    ),
    "spelled-empty-deform-bias": Sides(
        taken=(deform("x w o b k"), deform("x w o")),
        refused=(deform("x w o _ k"),),
    ),
    "spelled-empty-c": Sides(
        taken=(gemm("x m r"),),
        refused=(gemm("x m _"),),
    ),
    "spelled-empty-bounds": Sides(
        taken=(clip("x"), clip("x low high")),
        refused=(clip("x _"),),
    ),
    "spelled-empty-sizes": Sides(
        taken=(resize("x _ scales"), resize("x _ _ sizes")),
        refused=(resize("x _ scales _"),),
    ),
    "spelled-empty-training": Sides(
        taken=(dropout("x"), dropout("x ratio"), dropout("x ratio no")),
        refused=(dropout("x ratio _"), dropout("x _ _")),
    ),
    "spelled-empty-thresholds": Sides(
        taken=(boxes("x s n iou least"), boxes("x s n")),
        refused=(boxes("x s n _ least"), boxes("x s n iou _"), boxes("x s n _ _")),
    ),
    "spelled-empty-zero-point": Sides(
        taken=(quantize("x scale zero"), quantize("x scale zero", "DequantizeLinear")),
        refused=(quantize("x scale _", "DequantizeLinear"),),
    ),
    "spelled-empty-axes": Sides(
        taken=(cut("x starts ends"), cut("x starts ends axes steps"), cut("x starts ends axes", 1)),
        refused=(
            cut("x starts ends _ steps"),
            cut("x starts ends _"),
            cut("x starts ends _ _"),
            cut("x starts ends _ steps", 1),
            cut("x starts ends _ steps", kind="int32"),
        ),
    ),
    "spelled-empty-steps": Sides(
        taken=(cut("x starts ends axes"), cut("x starts ends axes steps")),
        refused=(cut("x starts ends axes _"), cut("x starts ends axes _", 1), cut("x starts ends _ _")),
    ),
    "spelled-empty-split": Sides(
        taken=(split("x"), split("x sizes")),
        refused=(split("x _"),),
    ),
    "spelled-empty-k": Sides(
        taken=(one("Trilu", "x", x=MATRIX, opset=14),),
        refused=(one("Trilu", "x _", x=MATRIX, opset=14), one("Trilu", "x _", x=MATRIX, opset=14, upper=0)),
    ),
    "spelled-empty-normalization-bias": Sides(
        taken=(layer_norm("x r c"), layer_norm("x r")),
        refused=(layer_norm("x r _"),),
    ),
    "spelled-empty-indices": Sides(
        taken=(pool("y"),),
        refused=(pool("y _"), pool("y _", strides=[2, 2])),
    ),
    "spelled-empty-statistics": Sides(
        taken=(layer_norm("x r c"),),
        refused=(layer_norm("x r c", "y _"), layer_norm("x r c", "y _ _")),
    ),
    "spelled-empty-averages": Sides(
        taken=(norm("y"),),
        refused=(norm("y _ _ _ _"),),
    ),
    "spelled-empty-mask": Sides(
        taken=(dropout("x"), dropout("x", "y mask")),
        refused=(dropout("x", "y _"),),
    ),
    "spelled-empty-presents": Sides(
        taken=(attention("y"),),
        refused=(attention("y _"), attention("y _ _")),
    ),
}
