"""Paddings, activations and normalisations as a parser takes them that reads constants or defaults in its own way."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower import activations, normalizations, resizes, small_integers
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.writing import as_float, cut, finish, numbers, through, through_float

#: ONNX's defaults of Selu.
_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}


def _pads(b: Builder) -> tuple[list[int], list[int], list[int]]:
    """Axes, and what is padded before and after each of them."""
    pads = [int(pad) for pad in b.array(b.input(1), "pads")]
    rank = len(b.shape(b.input(0)))
    axes = [int(axis) % rank for axis in b.array(b.input(3), "axes")] if b.input(3) else list(range(rank))
    return axes, pads[: len(axes)], pads[len(axes) :]


def cropped(node: onnx.NodeProto, b: Builder) -> None:
    """A Slice for what is negative, then a Pad for the rest."""
    x, shape = b.input(0), b.shape(b.input(0))
    axes, begin, end = _pads(b)
    found = [(a, max(0, -p), shape[a] - max(0, -q)) for a, p, q in zip(axes, begin, end, strict=True) if min(p, q) < 0]
    x = cut(b, x, [a for a, _, _ in found], [start for _, start, _ in found], [stop for _, _, stop in found])
    rest = [max(0, pad) for pad in (*begin, *end)]
    if any(rest):
        b.keep(inputs=[x, numbers(b, rest, "pads"), *node.input[2:]])
    else:
        finish(b, x)


def filled(node: onnx.NodeProto, b: Builder) -> None:
    """In float32; integers of 32 bits and more, which that would round, between constants instead."""
    x, fill = b.input(0), b.input(2)
    element = b.scope.element(x)
    if b.attribute("mode", "constant") != "constant":
        b.keep(inputs=[x, b.input(1), *(["", b.input(3)] if b.input(3) else [])])
        return
    if element not in (TensorProto.INT32, TensorProto.INT64):
        made = b.add("Pad", [as_float(b, x), b.input(1), as_float(b, fill), *node.input[3:]])
        b.end_cast(made, element)
        return
    shape, value = list(b.shape(x)), b.array(fill, "fill")
    for axis, before, after in zip(*_pads(b), strict=True):
        if before < 0 or after < 0:
            raise CannotLower("it pads and crops at once", "crop with Slice")
        parts = [x]
        for size, at in ((before, 0), (after, 2)):
            if size:
                block = np.full([*shape[:axis], size, *shape[axis + 1 :]], value.ravel()[0], value.dtype)
                parts.insert(at, b.constant(block, "fill"))
        shape[axis] += before + after
        x = b.add("Concat", parts, axis=axis) if len(parts) > 1 else x
    finish(b, x)


def selu_written(node: onnx.NodeProto, b: Builder) -> None:
    """With ONNX's own defaults."""
    b.keep(**{name: b.attribute(name, value) for name, value in _SELU.items()})


def every_sample(node: onnx.NodeProto, b: Builder) -> None:
    """As many samples as fit, which is ONNX's default."""
    b.keep(sampling_ratio=0)


def without_mode(node: onnx.NodeProto, b: Builder) -> None:
    """Linear is what an absent mode is taken for."""
    b.keep(drop=["mode"])


def beside_one(node: onnx.NodeProto, b: Builder) -> None:
    """A Softmax along the only axis, beside an axis of size 1."""
    axis = numbers(b, [0], "axis")
    b.end("Squeeze", [b.add(node.op_type, [b.add("Unsqueeze", [b.input(0), axis])], axis=1), axis])


def _neighbours(b: Builder, x: str) -> str:
    """x / (bias + alpha times the mean of squares of neighbouring channels) ** beta."""
    shape, size = b.shape(b.input(0)), b.attribute("size")
    squares = b.reshape(b.add("Mul", [x, x]), [shape[0], 1, shape[1], -1])
    half = (size - 1) // 2
    mean = b.add(
        "AveragePool", [squares], kernel_shape=[size, 1], pads=[half, 0, size - 1 - half, 0], count_include_pad=1
    )
    scaled = b.add("Mul", [b.reshape(mean, shape), b.number(b.attribute("alpha", 1e-4), x, "alpha")])
    lifted = b.add("Add", [scaled, b.number(b.attribute("bias", 1.0), x, "bias")])
    return b.add("Div", [x, b.add("Pow", [lifted, b.number(b.attribute("beta", 0.75), x, "beta")])])


_IN_FLOAT, _IN_INT32 = through(TensorProto.FLOAT), through(TensorProto.INT32)


def clipped(node: onnx.NodeProto, b: Builder) -> None:
    """Integers of 8 bits in int32, float16 in float32."""
    (_IN_INT32 if b.dtype(b.input(0)).kind in "iu" else _IN_FLOAT)(node, b)


#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    "Pad/pad-negative": cropped,
    "Pad/pad-fill": filled,
    "Celu/celu": activations.celu,
    "Clip/clip-bounds": clipped,
    "Clip/clip-computed": _IN_INT32,
    "Clip/clip-int8": _IN_INT32,
    "Relu/relu-int32": small_integers.relu_as_max,
    "Selu/selu-written": selu_written,
    "RoiAlign/sampling-ratio": every_sample,
    "GridSample/gridsample-linear": without_mode,
    "Softmax/softmax-one-axis": beside_one,
    "LogSoftmax/softmax-one-axis": beside_one,
    "Hardmax/hardmax-one-axis": beside_one,
    "InstanceNormalization/instancenorm-half": _IN_FLOAT,
    "InstanceNormalization/instancenorm-parameters": normalizations.instance_norm,
    "InstanceNormalization/instancenorm-axes": normalizations.instance_norm,
    "LayerNormalization/outputs": normalizations.layer_norm,
    "GroupNormalization/groupnorm-axes": normalizations.group_norm,
    "LRN/lrn-bias": through_float(_neighbours),
    "LRN/lrn-beta": through_float(_neighbours),
    "LRN/lrn-size": through_float(_neighbours),
    "Resize/aspect-ratio": resizes.of_all_axes,
}
