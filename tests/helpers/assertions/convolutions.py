"""Convolutions, transposed and deformed ones too."""

from __future__ import annotations

import numpy as np
import onnx

from tests.helpers.assertions.pairs import Sides, one, whole
from tests.helpers.assertions.windows import WRONG
from tests.helpers.onnx_models import constant, info, op, random_weight

_B = random_weight("b", 2)
_PLANE, _SOLID = ((1, 1, 3, 3), "float32"), ((1, 1, 2, 2, 2), "float32")
_LINE, _GRID = ((1, 1, 3), "float32"), ((1, 2, 3, 3, 3, 3), "float32")


def _conv(inputs: str = "x w", *, weights=(), shape=(2, 4, 3, 3), **given) -> onnx.ModelProto:
    """A Conv of 4 channels into 2 unless said otherwise."""
    known = {tensor.name for tensor in weights} | {value.name for value in given.get("more", ())}
    own = [] if "w" in known else [random_weight("w", *shape)]
    return one("Conv", inputs, weights=[*own, *weights], **given)


def _up(kernel, *, x=_PLANE, inputs: str = "x w", weights=(), **given) -> onnx.ModelProto:
    """A ConvTranspose of one channel."""
    return one("ConvTranspose", inputs, x=x, weights=[random_weight("w", 1, 1, *kernel), *weights], **given)


def _dequantized(**given) -> onnx.ModelProto:
    """Its weight comes from DequantizeLinear."""
    codes = [constant("c", np.arange(8).reshape(2, 4, 1, 1) - 4, np.int8), constant("s", 0.1, np.float32)]
    codes.append(constant("z", 0, np.int8))
    nodes = [op("DequantizeLinear", "c s z", "w", name="d"), op("Conv", "x w", "y", name="n", **given)]
    return whole(nodes, [info("x", (1, 4, 8, 8))], ["y"], codes)


def _deformed(inputs: str = "x w o", *, pads=(0, 0, 0, 0), out: int = 2, **given) -> onnx.ModelProto:
    more = [info("o", (1, 18, out, out)), *([info("m", (1, 9, out, out))] if inputs.endswith("m") else [])]
    weights = [random_weight("w", 2, 2, 3, 3), *([_B] if " b" in inputs else [])]
    return one(
        "DeformConv", inputs, x=((1, 2, 4, 4), "float32"), more=more, weights=weights, pads=pads, opset=19, **given
    )


#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "conv-axes": Sides(
        taken=(
            _conv(),
            _conv(x=((1, 4, 8), "float32"), shape=(2, 4, 3)),
            _conv(x=((1, 4, 8), "float32"), shape=(2, 4, 3), strides=[2], pads=[1, 0], dilations=[2]),
            _up([3], x=_LINE, strides=[2]),
        ),
        refused=(
            _conv(x=_GRID, shape=(2, 2, 2, 2, 2, 2)),
            one("ConvTranspose", "x w", x=_GRID, weights=[random_weight("w", 2, 2, 2, 2, 2, 2)]),
        ),
    ),
    "bias": Sides(
        taken=(_conv(), _conv("x w b", weights=[_B])),
        refused=(
            _conv("x w b", more=[info("b", (2,))]),
            _conv("x w b", x=((1, 4, 8), "float32"), shape=(2, 4, 3), more=[info("b", (2,))], kernel_shape=[3]),
            _up([3, 3], inputs="x w b", more=[info("b", (1,))], strides=[2, 2]),
            _up([3], x=_LINE, inputs="x w b", more=[info("b", (1,))]),
        ),
    ),
    "kernel-shape": Sides(
        taken=(_conv(), _dequantized(kernel_shape=[1, 1])),
        refused=(
            _dequantized(),
            _dequantized(strides=[2, 2]),
            _conv("x w b", more=[info("b", (2,))]),
        ),
    ),
    "weight": Sides(
        taken=(_conv(), _dequantized(kernel_shape=[1, 1])),
        refused=(
            _conv(more=[info("w", (2, 4, 3, 3))], kernel_shape=[3, 3]),
            one("ConvTranspose", "x w", more=[info("w", (4, 2, 3, 3))]),
        ),
    ),
    "output-shape-odd": Sides(
        taken=(
            _up([4, 4], strides=[2, 2], output_shape=[6, 6]),
            _up([3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
            _up([2, 2], output_shape=[4, 4]),
        ),
        refused=(
            _up([2, 2], output_shape=[3, 3]),
            _up([3, 3], strides=[2, 2], output_shape=[6, 4]),
            _up([3, 3], strides=[2, 2], output_shape=[6, 6], inputs="x w b", weights=[random_weight("b", 1)]),
            _up([3, 3], strides=[2, 2], output_shape=[5, 7], output_padding=[1, 1]),
            _up([3, 3, 3], x=_SOLID, strides=[2, 2, 2], output_shape=[4, 4, 4]),
        ),
        rtx=WRONG,
    ),
    "output-shape-reach": Sides(
        taken=(_up([2, 2], strides=[3, 3], output_shape=[9, 9]), _up([2, 2], strides=[3, 3], output_shape=[8, 8])),
        refused=(
            _up([2, 2], strides=[3, 3], output_shape=[10, 10]),
            _up([1, 1], strides=[4, 1], output_shape=[12, 3]),
            _up([1, 1], strides=[4, 1], output_shape=[12, 3], inputs="x w b", weights=[random_weight("b", 1)]),
        ),
    ),
    "output-shape-auto": Sides(
        taken=(_up([3, 3], strides=[2, 2], auto_pad="SAME_UPPER"), _up([3, 3], strides=[2, 2], output_shape=[7, 7])),
        refused=(
            _up([3, 3], strides=[2, 2], auto_pad="SAME_UPPER", output_shape=[7, 7]),
            _up([3, 3], strides=[2, 2], auto_pad="SAME_LOWER", output_shape=[6, 5]),
            _up([3, 3], strides=[2, 2], auto_pad="SAME_UPPER", output_shape=[6, 8], output_padding=[1, 1]),
        ),
        rtx=WRONG,
    ),
    "output-shape-static": Sides(
        taken=(_up([3, 3], x=((1, 1, "h", "w"), "float32")), _up([3, 3], output_shape=[5, 5])),
        refused=(_up([3, 3], x=((1, 1, "h", "w"), "float32"), strides=[2, 2], output_shape=[8, 8]),),
    ),
    "output-shape-1d": Sides(
        taken=(_up([2], x=_LINE), _up([2], x=_LINE, pads=[1, 0])),
        refused=(
            _up([2], x=_LINE, output_shape=[4]),
            _up([3], x=_LINE, strides=[2], output_shape=[6]),
            _up([3], x=_LINE, strides=[2], output_shape=[8], inputs="x w b", weights=[random_weight("b", 1)]),
        ),
    ),
    "output-padding-1d": Sides(
        taken=(_up([3], x=_LINE, strides=[2]),),
        refused=(
            _up([3], x=_LINE, strides=[2], output_padding=[1]),
            _up([3], x=_LINE, strides=[2], pads=[1, 1], output_padding=[1]),
            _up([3], x=_LINE, strides=[2], output_padding=[0]),
            _up([3], x=_LINE, strides=[2], output_padding=[1], inputs="x w b", weights=[random_weight("b", 1)]),
        ),
    ),
    "output-padding-auto": Sides(
        taken=(
            _up([3, 3], strides=[2, 2], output_padding=[1, 1]),
            _up([3, 3], strides=[2, 2], output_padding=[0, 0], auto_pad="VALID"),
        ),
        refused=tuple(
            _up([3, 3], strides=[2, 2], output_padding=[1, 1], auto_pad=auto)
            for auto in ("VALID", "SAME_UPPER", "SAME_LOWER")
        ),
        rtx=WRONG,
    ),
    "output-padding-bias": Sides(
        taken=(
            _up([3, 3], inputs="x w b", weights=[random_weight("b", 1)], strides=[2, 2], output_padding=[1, 1]),
            _up([3, 3], inputs="x w b", more=[info("b", (1,))], strides=[2, 2], output_padding=[1, 1], pads=[1] * 4),
        ),
        refused=(
            _up([3, 3], inputs="x w b", more=[info("b", (1,))], strides=[2, 2], output_padding=[1, 1]),
            _up(
                [3, 3], inputs="x w b", more=[info("b", (1,))], strides=[2, 1], output_padding=[1, 0], pads=[1, 1, 0, 1]
            ),
        ),
    ),
    "transposed-3d-pads": Sides(
        taken=(
            _up([3, 3, 3], x=_SOLID, pads=[1] * 6),
            _up([3, 3, 3], x=_SOLID, strides=[2] * 3, output_padding=[1] * 3),
        ),
        refused=(
            _up([3, 3, 3], x=_SOLID, strides=[2] * 3, pads=[1] * 6, output_padding=[1] * 3),
            _up([3, 3, 3], x=_SOLID, pads=[1, 1, 1, 0, 0, 0]),
            _up([3, 3, 3], x=_SOLID, pads=[0, 1, 0, 1, 0, 1], inputs="x w b", weights=[random_weight("b", 1)]),
        ),
    ),
    "deformconv-pads": Sides(
        taken=(_deformed(), _deformed(pads=(1, 1, 1, 1), out=4)),
        refused=(_deformed(pads=(0, 0, 1, 1), out=3), _deformed("x w o b m", pads=(1, 0, 0, 1), out=3)),
    ),
}
