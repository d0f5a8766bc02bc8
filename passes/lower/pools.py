"""AveragePool before opset 19 and LpPool before 18: no dilations, and other windows at the edge if rounded up.

What neither computes is written as sums: `mend_windows`.
"""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder
from coachc.passes.lower.mend_windows import MENDS, windows
from coachc.passes.lower.writing import attributes_of


def undilated(node: onnx.NodeProto, b: Builder) -> None:
    """Dilations of one are dropped. Rounded up, the older definition has a window more that starts beyond the edge."""
    if any(step != 1 for step in b.attribute("dilations", [])):
        MENDS[f"{node.op_type}/dilations"](node, b)
        return
    same = b.attribute("auto_pad", "NOTSET").startswith("SAME")  # then there is nothing to round
    if same and any(
        kernel < stride
        for kernel, stride in zip(b.attribute("kernel_shape"), b.attribute("strides", [1] * 9), strict=False)
    ):
        # Where windows end before the picture does, ONNX Runtime's older kernels count pads below 0 and refuse them.
        along = windows(b)
        b.keep(
            drop=["dilations", "ceil_mode", "auto_pad"], pads=[one.begin for one in along] + [one.end for one in along]
        )
        return
    if same or not b.attribute("ceil_mode", 0):
        b.keep(drop=["dilations", *(["ceil_mode"] if same or node.op_type == "LpPool" else [])])
        return
    made, old = b.shape(node.output[0])[2:], _old_sizes(b)
    if not _hangs_over(b):
        b.keep(drop=["dilations", "ceil_mode"])
        return
    if node.op_type == "LpPool" or b.attribute("count_include_pad", 0):
        MENDS[f"{node.op_type}/dilations"](node, b)
        return
    if made == old:
        b.keep(drop=["dilations"])
        return
    pooled = b.add("AveragePool", [b.input(0)], **attributes_of(node, without=["dilations"]))
    bounds = ([0] * len(made), list(made), list(range(2, 2 + len(made))))
    names = [b.constant(np.array(v, np.int64), h) for v, h in zip(bounds, ("start", "end", "axes"), strict=True)]
    b.end("Slice", [pooled, *names])


def _leftovers(b: Builder) -> list[tuple[int, int]]:
    """Along each axis, how far windows move and what is left behind the last whole one."""
    kernel = b.attribute("kernel_shape")
    count = len(kernel)
    pads, strides = b.attribute("pads", [0] * 2 * count), b.attribute("strides", [1] * count)
    sizes = b.shape(b.input(0))[2:]
    return [(size + pads[i] + pads[count + i] - kernel[i], strides[i]) for i, size in enumerate(sizes)]


def _old_sizes(b: Builder) -> tuple[int, ...]:
    return tuple(-(-room // stride) + 1 for room, stride in _leftovers(b))


def _hangs_over(b: Builder) -> bool:
    return any(room % stride for room, stride in _leftovers(b))
