"""Resize before opset 18 names no axes, keeps no aspect ratio and filters nothing when it shrinks.

What no older Resize computes is written with the weights of every element: `mend_resizes`.
"""

from __future__ import annotations

import math

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower
from coachc.passes.lower.mend_resizes import spelled_out

_REMEDY = "export the resize without it, or resize images before the model"


def of_all_axes(node: onnx.NodeProto, b: Builder) -> None:
    """Scales or sizes of the named axes among those that leave the others alone; the rest only where it is equal."""
    x, roi, scales, sizes = (b.input(index) for index in range(4))
    shape, made = b.shape(x), b.shape(node.output[0])
    rank = len(shape)
    named = [int(axis) % rank for axis in b.attribute("axes", [])] or list(range(rank))
    policy = b.attribute("keep_aspect_ratio_policy", "stretch")

    if scales:
        factors = [1.0] * rank
        for axis, factor in zip(named, b.array(scales, "scales"), strict=True):
            factors[axis] = float(factor)
    elif sizes and policy != "stretch":
        ratios = [int(size) / shape[axis] for axis, size in zip(named, b.array(sizes, "sizes"), strict=True)]
        ratio = np.float32(min(ratios) if policy == "not_larger" else max(ratios))
        # Who multiplies in double precision must come to the same size as who does so in single.
        if any(math.floor(shape[axis] * float(ratio)) != made[axis] for axis in named):
            ratio = np.nextafter(ratio, np.float32(np.inf))
        factors = [float(ratio) if axis in named else 1.0 for axis in range(rank)]
        sizes_made = [[math.floor(kind(size) * kind(factor)) for size, factor in zip(shape, factors, strict=True)]
                      for kind in (np.float32, np.float64)]  # fmt: skip
        if any(found != [*made] for found in sizes_made):
            raise CannotLower(f"keep_aspect_ratio_policy = {policy} gives sizes that no scale gives", _REMEDY)
        sizes = ""
    else:
        factors = [new / old for new, old in zip(made, shape, strict=True)]
    if b.attribute("antialias", 0) and b.attribute("mode", "nearest") != "nearest" and min(factors) < 1:
        spelled_out(node, b)
        return

    coordinates = b.attribute("coordinate_transformation_mode", "half_pixel")
    if coordinates == "half_pixel_symmetric":
        if any(abs(factor * size - new) > 1e-6 * new for factor, size, new in zip(factors, shape, made, strict=True)):
            spelled_out(node, b)
            return
        coordinates = "half_pixel"
    if roi and coordinates == "tf_crop_and_resize" and len(named) < rank:
        given = b.array(roi, "roi")
        full = np.array([0.0] * rank + [1.0] * rank, given.dtype)
        for index, axis in enumerate(named):
            full[axis], full[rank + axis] = given[index], given[len(named) + index]
        roi = b.constant(full, "roi")
    elif coordinates != "tf_crop_and_resize":
        roi = ""
    if sizes:
        last = ["", b.constant(np.array(made, np.int64), "sizes")]
    else:
        last = [b.constant(np.array(factors, np.float32), "scales")]
    b.keep(
        inputs=[x, roi, *last],
        drop=["axes", "antialias", "keep_aspect_ratio_policy"],
        coordinate_transformation_mode=coordinates,
    )
