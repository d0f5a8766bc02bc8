"""Pools: their windows, pads and powers."""

from __future__ import annotations

from tests.helpers.assertions.pairs import Sides, one

WRONG = "it takes them, and computes something else"

_LINE, _GRID = ((1, 4, 8), "float32"), ((1, 2, 3, 3, 3, 3), "float32")
_SMALL = ((1, 1, 3, 3), "float32")

#: By the assertion's id.
SIDES: dict[str, Sides] = {
    "dilations": Sides(
        taken=(one("MaxPool", kernel_shape=[2, 2]), one("MaxPool", kernel_shape=[2, 2], dilations=[1, 1])),
        refused=(
            one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
            one("MaxPool", kernel_shape=[3, 2], dilations=[2, 1], strides=[2, 1], pads=[2, 0, 1, 1]),
            one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2], ceil_mode=1, strides=[2, 2]),
            one("MaxPool", kernel_shape=[2, 3], dilations=[2, 2], auto_pad="SAME_LOWER", strides=[2, 1]),
            one("MaxPool", x=_LINE, kernel_shape=[3], dilations=[2]),
            one("MaxPool", x=((1, 2, 4, 4, 4), "float32"), kernel_shape=[2, 2, 2], dilations=[2, 1, 1]),
            one("MaxPool", x=((1, 4, 8, 8), "float16"), kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1]),
            one("MaxPool", x=((1, 4, 8, 8), "int8"), kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1]),
            one("LpPool", kernel_shape=[2, 2], dilations=[2, 2], opset=18),
            one("LpPool", kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 1, 1, 1], p=1, opset=18),
            one("AveragePool", kernel_shape=[2, 2], dilations=[2, 2], opset=19),
            one("AveragePool", kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 2, 1, 2], opset=19),
            one("AveragePool", kernel_shape=[3, 3], dilations=[2, 2], pads=[1] * 4, count_include_pad=1, opset=19),
        ),
    ),
    "pool-axes": Sides(
        taken=(
            one("MaxPool", x=_LINE, kernel_shape=[2]),
            one("AveragePool", x=_LINE, kernel_shape=[2], strides=[2], pads=[1, 1]),
            one("MaxPool", kernel_shape=[2, 2]),
        ),
        refused=(one("MaxPool", x=_GRID, kernel_shape=[2] * 4), one("AveragePool", x=_GRID, kernel_shape=[2] * 4)),
    ),
    "lppool-axes": Sides(
        taken=(one("LpPool", kernel_shape=[2, 2]),),
        refused=(
            one("LpPool", x=_LINE, kernel_shape=[2]),
            one("LpPool", x=_LINE, kernel_shape=[3], strides=[2], pads=[1, 0], p=1),
            one("LpPool", x=_LINE, kernel_shape=[3], auto_pad="SAME_UPPER"),
        ),
    ),
    "lppool-power": Sides(
        taken=(one("LpPool", kernel_shape=[2, 2]), one("LpPool", kernel_shape=[2, 2], p=1)),
        refused=(
            one("LpPool", kernel_shape=[2, 2], p=3),
            one("LpPool", kernel_shape=[3, 2], p=4, strides=[2, 1], pads=[1, 0, 2, 1]),
            one("LpPool", kernel_shape=[3, 3], p=3, auto_pad="SAME_LOWER"),
        ),
    ),
    "globallppool-odd": Sides(
        taken=(one("GlobalLpPool"), one("GlobalLpPool", p=2)),
        refused=(one("GlobalLpPool", p=1), one("GlobalLpPool", p=3), one("GlobalLpPool", x=_LINE, p=1)),
    ),
    "asymmetric-pads": Sides(
        taken=(
            one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            one("AveragePool", kernel_shape=[3, 3], pads=[0, 0, 1, 1]),
            one("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_LOWER"),
        ),
        refused=(
            one("AveragePool", kernel_shape=[3, 3], pads=[0, 0, 2, 2]),
            one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 0, 0]),
            one("AveragePool", kernel_shape=[3, 3], pads=[1, 0, 0, 2], strides=[2, 1], count_include_pad=1),
            one("AveragePool", kernel_shape=[3, 3], pads=[2, 1, 0, 1], strides=[2, 2], ceil_mode=1),
            one("AveragePool", x=_LINE, kernel_shape=[3], pads=[2, 0]),
        ),
    ),
    "valid-pads": Sides(
        taken=(
            one("AveragePool", kernel_shape=[2, 2], auto_pad="VALID"),
            one("MaxPool", kernel_shape=[2, 2], auto_pad="VALID", pads=[0, 0, 0, 0]),
        ),
        refused=tuple(
            one(name, kernel_shape=[3, 3], auto_pad="VALID", pads=[1, 1, 1, 1])
            for name in ("AveragePool", "MaxPool", "LpPool")
        ),
        rtx=WRONG,
    ),
    "same-pads": Sides(
        taken=(
            one("MaxPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
            one("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ),
        refused=(
            one("MaxPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER", pads=[0, 0, 0, 0]),
            one("MaxPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]),
            one("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_LOWER", pads=[1, 1, 1, 1]),
            one("LpPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]),
        ),
    ),
    "ceil-windows": Sides(
        taken=(
            one("MaxPool", x=((1, 1, 4, 4), "float32"), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1),
            one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            one("MaxPool", x=_SMALL, kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4),
        ),
        refused=(
            one("MaxPool", x=_SMALL, kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4, ceil_mode=1),
            one("MaxPool", x=((1, 1, 5), "float32"), kernel_shape=[2], strides=[3], pads=[1, 1], ceil_mode=1),
            one("MaxPool", x=((1, 1, 5, 5), "float32"), kernel_shape=[2, 2], strides=[3, 3], pads=[1] * 4, ceil_mode=1),
        ),
        rtx=WRONG,
    ),
    "average-ceil-windows": Sides(
        taken=(
            one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            one("AveragePool", x=_SMALL, kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4),
        ),
        refused=(
            one("AveragePool", x=_SMALL, kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4, ceil_mode=1),
            one("AveragePool", x=((1, 1, 5), "float32"), kernel_shape=[2], strides=[3], pads=[1, 1], ceil_mode=1),
        ),
    ),
    "counted-ceil-windows": Sides(
        taken=(
            one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1),
            one("AveragePool", x=_SMALL, kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4, count_include_pad=1),
        ),
        refused=(
            one(
                "AveragePool",
                x=_SMALL,
                kernel_shape=[2, 2],
                strides=[2, 2],
                pads=[1] * 4,
                ceil_mode=1,
                count_include_pad=1,
            ),
            one(
                "AveragePool",
                x=((1, 1, 5, 3), "float32"),
                kernel_shape=[2, 2],
                strides=[3, 2],
                pads=[1] * 4,
                ceil_mode=1,
                count_include_pad=1,
            ),
        ),
        rtx=WRONG,
    ),
    "indices": Sides(
        taken=(one("MaxPool", kernel_shape=[2, 2]),),
        refused=(one("MaxPool", outputs="y i", kernel_shape=[2, 2]),),
    ),
}
