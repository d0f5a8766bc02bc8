"""QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one
from tests.helpers.onnx_models import constant, info


def _dequantize(scale=0.5, *, inputs="x s z", shape=(3, 3), opset=13, zero=np.int8, **attributes) -> onnx.ModelProto:
    weights = [constant("s", scale, np.float32), constant("z", np.zeros(np.shape(scale)), zero)][: inputs.count(" ")]
    return one("DequantizeLinear", inputs, x=(shape, "int8"), weights=weights, opset=opset, **attributes)


def _quantize(scale=0.5, *, shape=(3, 3), **attributes) -> onnx.ModelProto:
    weights = [constant("s", scale, np.float32), constant("z", np.zeros(np.shape(scale)), np.int8)]
    return one("QuantizeLinear", "x s z", x=(shape, "float32"), weights=weights, **attributes)


def _of_unknown_scale(op_type: str, length) -> onnx.ModelProto:
    dtype = "float32" if op_type == "QuantizeLinear" else "int8"
    weights = [constant("z", [0, 0, 0], np.int8)]
    return one(op_type, "x s z", x=((3, 3), dtype), more=[info("s", (length,))], weights=weights, axis=0)


_SCALES = [0.5, 0.25, 0.125]
_BLOCKED = np.ones((2, 3), np.float32)

#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "quantizer-zero-point": Sides(
        taken=(_dequantize(), _quantize()),
        refused=(
            _dequantize(inputs="x s"),
            _dequantize(_SCALES, inputs="x s", axis=1),
        ),
    ),
    "quantizer-axis": Sides(
        taken=(_dequantize(), _dequantize([0.5]), _dequantize(_SCALES, axis=1), _quantize(_SCALES, axis=0)),
        refused=(_dequantize(_SCALES), _dequantize(_SCALES, shape=(2, 3)), _quantize(_SCALES)),
    ),
    "quantizer-static-scale": Sides(
        taken=(_dequantize(_SCALES, axis=0), _of_unknown_scale("DequantizeLinear", 3)),
        refused=(_of_unknown_scale("DequantizeLinear", "N"), _of_unknown_scale("QuantizeLinear", "N")),
    ),
    "quantizer-blocks": Sides(
        taken=(_dequantize(_BLOCKED, shape=(4, 3), opset=21, axis=0, block_size=2), _dequantize(opset=21)),
        refused=(_dequantize(_BLOCKED, shape=(3, 3), opset=21, axis=0, block_size=2),),
    ),
}
