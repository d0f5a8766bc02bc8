"""LayerNormalization, GroupNormalization, InstanceNormalization and RMSNormalization as means, products and roots.

Where the operator computes in float32 whatever its input is (`stash_type` = 1), so do the nodes that replace it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder


def layer_norm(node: onnx.NodeProto, b: Builder) -> None:
    """(x - mean) / sqrt(variance + epsilon) over the axes from `axis` on, then scale and bias."""
    x, scale, bias = (b.input(index) for index in range(3))
    rank = len(b.shape(x))
    axes = list(range(b.attribute("axis", -1) % rank, rank))
    wide, element = _stashed(b, x)
    mean, centred, deviation = _moments(b, wide, axes, x)
    for index, make in ((1, lambda: ("Identity", mean)), (2, lambda: ("Reciprocal", deviation))):
        if len(node.output) > index and node.output[index]:
            op, source = make()
            b.nodes.append(onnx.helper.make_node(op, [source], [node.output[index]], name=b.value(f"{op}_output")))
    normal = b.add("Div", [centred, deviation])
    if wide != x:
        normal = b.cast(normal, element)
    _finish(b, normal, scale, bias)


def rms_norm(node: onnx.NodeProto, b: Builder) -> None:
    """x / sqrt(mean of squares + epsilon) over the axes from `axis` on, then the scale."""
    x, scale = b.input(0), b.input(1)
    rank = len(b.shape(x))
    axes = list(range(b.attribute("axis", -1) % rank, rank))
    wide, element = _stashed(b, x)
    normal = b.add("Div", [wide, _root(b, b.reduce("ReduceMean", b.add("Mul", [wide, wide]), axes), x)])
    if wide != x:
        normal = b.cast(normal, element)
    _finish(b, normal, scale, "")


def group_norm(node: onnx.NodeProto, b: Builder) -> None:
    """Each group of channels normalised; scale and bias of each channel, before opset 21 of each group."""
    x, scale, bias = (b.input(index) for index in range(3))
    shape, groups = b.shape(x), b.attribute("num_groups")
    wide, element = _stashed(b, x) if b.opset >= 21 else (x, b.scope.element(x))
    grouped = b.reshape(wide, [shape[0], groups, -1])
    _, centred, deviation = _moments(b, grouped, [2], x)
    normal = b.add("Div", [centred, deviation])
    if wide != x:
        normal = b.cast(normal, element)
    if b.opset < 21:
        normal = b.add("Mul", [normal, b.reshape(scale, [1, groups, 1])])
        b.end_reshape(b.add("Add", [normal, b.reshape(bias, [1, groups, 1])]), shape)
        return
    channels = [1, shape[1], *[1] * (len(shape) - 2)]
    _finish(b, b.reshape(normal, shape), b.reshape(scale, channels), b.reshape(bias, channels))


def instance_norm(node: onnx.NodeProto, b: Builder) -> None:
    """Each channel of each picture normalised over its positions."""
    x, scale, bias = (b.input(index) for index in range(3))
    shape = b.shape(x)
    _, centred, deviation = _moments(b, x, list(range(2, len(shape))), x)
    channels = [1, shape[1], *[1] * (len(shape) - 2)]
    _finish(b, b.add("Div", [centred, deviation]), b.reshape(scale, channels), b.reshape(bias, channels))


def _stashed(b: Builder, x: str) -> tuple[str, int]:
    """The value in the type that the operator computes in, and its own type."""
    element, stash = b.scope.element(x), b.attribute("stash_type", TensorProto.FLOAT)
    if element in (stash, TensorProto.DOUBLE):
        return x, element
    return b.cast(x, stash), element


def _moments(b: Builder, value: str, axes: Sequence[int], x: str) -> tuple[str, str, str]:
    mean = b.reduce("ReduceMean", value, axes)
    centred = b.add("Sub", [value, mean])
    return mean, centred, _root(b, b.reduce("ReduceMean", b.add("Mul", [centred, centred]), axes), x)


def _root(b: Builder, square: str, x: str) -> str:
    """sqrt(square + epsilon), in the type that is computed in."""
    kind = b.dtype(x)
    if b.node.op_type != "InstanceNormalization" and not (b.node.op_type == "GroupNormalization" and b.opset < 21):
        stash = onnx.helper.tensor_dtype_to_np_dtype(b.attribute("stash_type", TensorProto.FLOAT))
        kind = kind if kind == np.float64 else stash
    epsilon = b.constant(np.array(b.attribute("epsilon", 1e-5), kind), "epsilon")
    return b.add("Sqrt", [b.add("Add", [square, epsilon])])


def _finish(b: Builder, normal: str, scale: str, bias: str) -> None:
    if bias:
        b.end("Add", [b.add("Mul", [normal, scale]), bias])
    else:
        b.end("Mul", [normal, scale])
    del b.nodes[-1].output[1:]  # LayerNormalization's others are made elsewhere
