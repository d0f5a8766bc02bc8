"""Inputs and outputs that a node leaves out by "", as a parser takes them that wants a shorter list or a default."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower, Rewrite


def without_trailing(node: onnx.NodeProto, b: Builder) -> None:
    """The lists end with the last name that is given."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for names in (copy.input, copy.output):
        named = list(names)
        del names[:]
        names.extend(trimmed(named))
    b.nodes.append(copy)


def trimmed(names: Sequence[str], least: int = 0) -> list[str]:
    """Names without those at the end that are empty; `least` of them stay."""
    kept = len(names)
    while kept > least and not names[kept - 1]:
        kept -= 1
    return list(names[:kept])


def slice_axes_written(node: onnx.NodeProto, b: Builder) -> None:
    """A Slice without axes goes by the first ones, of which there are as many as starts."""
    starts, ends, steps = b.input(1), b.input(2), b.input(4)
    shape = b.scope.shape(starts)
    if shape is None:
        raise CannotLower(f"how many starts '{starts}' holds is not known", "write the axes out")
    axes = b.constant(np.arange(shape[0], dtype=b.dtype(starts)), "axes")
    b.end("Slice", [b.input(0), starts, ends, axes, *([steps] if steps else [])])


def zero_bias(node: onnx.NodeProto, b: Builder) -> None:
    """A DeformConv with a mask gets a bias of zeros."""
    inputs = list(node.input)
    inputs[3] = b.constant(np.zeros(b.shape(inputs[1])[0], b.dtype(inputs[0])), "bias")
    b.keep(inputs=inputs)


#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    "Attention/spelled-empty-presents": without_trailing,
    "Clip/spelled-empty-bounds": without_trailing,
    "Conv/spelled-empty-bias": without_trailing,
    "ConvTranspose/spelled-empty-transposed-bias": without_trailing,
    "DeformConv/spelled-empty-deform-bias": zero_bias,
    "DequantizeLinear/spelled-empty-zero-point": without_trailing,
    "Dropout/spelled-empty-mask": without_trailing,
    "Dropout/spelled-empty-training": without_trailing,
    "Gemm/spelled-empty-c": without_trailing,
    "LayerNormalization/spelled-empty-normalization-bias": without_trailing,
    "LayerNormalization/spelled-empty-statistics": without_trailing,
    "MaxPool/spelled-empty-indices": without_trailing,
    "Pad/spelled-empty-fill": without_trailing,
    "QuantizeLinear/spelled-empty-zero-point": without_trailing,
    "Resize/spelled-empty-sizes": without_trailing,
    "Slice/spelled-empty-axes": slice_axes_written,
    "Slice/spelled-empty-steps": without_trailing,
    "Split/spelled-empty-split": without_trailing,
    "Trilu/spelled-empty-k": without_trailing,
}
