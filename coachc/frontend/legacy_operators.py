"""Operators that ONNX Runtime runs as ai.onnx's and ONNX does not have at the model's opset, written in its own.

WinML's and Core ML's converters wrote experimental ones (ImageScaler, Crop, Affine ...) up to opset 9; ONNX Runtime's
optimizer and its transformer tools write LayerNormalization before opset 17, and SimplifiedLayerNormalization at any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.frontend.order import fresh


def write_legacy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace operators that ai.onnx does not have at the model's opset by nodes that compute the same.

    Parameters
    ----------
    model : ModelProto
        Normalised.

    Returns
    -------
    ModelProto
        `model` itself if it has none. An operator in a form that cannot be written stays.
    """
    opset = opset_of(model)

    def is_legacy(node: onnx.NodeProto) -> bool:
        return not node.domain and node.op_type in _REWRITES and not onnx.defs.has(node.op_type, opset)

    if not any(is_legacy(node) for node in walk.nodes(model.graph)):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    taken = {name for inner in walk.graphs(result.graph) for name in walk.made(inner)}
    taken.update(node.name for node in walk.nodes(result.graph))
    types = {tensor.name: tensor for inner in walk.graphs(result.graph) for tensor in inner.initializer}
    for graph in reversed(list(walk.graphs(result.graph))):  # bodies first: outer nodes are copied with them
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            writer = _Writer(node, opset, types, taken)
            if is_legacy(node) and _REWRITES[node.op_type](writer):
                nodes += writer.nodes
                graph.initializer.extend(writer.weights)
            else:
                nodes.append(node)
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return result


class _Writer:
    """Collects the nodes that take the place of one; the last has its name and outputs."""

    def __init__(self, node: onnx.NodeProto, opset: int, weights: dict[str, onnx.TensorProto], taken: set[str]) -> None:
        self.node, self.opset, self._known, self._taken = node, opset, weights, taken
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def attribute(self, name: str, default: Any = None) -> Any:
        return walk.attribute(self.node, name, default)

    def weight(self, index: int) -> np.ndarray | None:
        """The contents of an input that is an initializer."""
        name = self.node.input[index] if index < len(self.node.input) else ""
        return numpy_helper.to_array(self._known[name]) if name in self._known else None

    def constant(self, values: object, dtype: type = np.float32) -> str:
        name = fresh(f"{self.node.output[0]}/constant", self._taken)
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = fresh(f"{self.node.output[0]}/{op}", self._taken)
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def end(self, op: str, *inputs: str, output: int = 0, **attributes: Any) -> None:
        name = self.node.name if not output else fresh(self.node.name, self._taken)
        self.nodes.append(helper.make_node(op, inputs, [self.node.output[output]], name=name, **attributes))

    def mean(self, value: str, axes: Sequence[int]) -> str:
        if self.opset < 18:
            return self.add("ReduceMean", value, axes=list(axes), keepdims=1)
        return self.add("ReduceMean", value, self.constant(axes, np.int64), keepdims=1)


def _affine(write: _Writer) -> bool:
    scaled = write.add("Mul", write.node.input[0], write.constant(write.attribute("alpha", 1.0)))
    write.end("Add", scaled, write.constant(write.attribute("beta", 0.0)))
    return True


def _scale(write: _Writer) -> bool:
    write.end("Mul", write.node.input[0], write.constant(write.attribute("scale", 1.0)))
    return True


def _image_scaler(write: _Writer) -> bool:
    scaled = write.add("Mul", write.node.input[0], write.constant(write.attribute("scale", 1.0)))
    write.end("Add", scaled, write.constant(np.reshape(write.attribute("bias"), (1, -1, 1, 1))))
    return True


def _scaled_tanh(write: _Writer) -> bool:
    inner = write.add("Mul", write.node.input[0], write.constant(write.attribute("beta", 1.0)))
    write.end("Mul", write.add("Tanh", inner), write.constant(write.attribute("alpha", 1.0)))
    return True


def _parametric_softplus(write: _Writer) -> bool:
    inner = write.add("Mul", write.node.input[0], write.constant(write.attribute("beta", 1.0)))
    write.end("Mul", write.add("Softplus", inner), write.constant(write.attribute("alpha", 1.0)))
    return True


def _thresholded_relu(write: _Writer) -> bool:
    value = write.node.input[0]
    above = write.add("Greater", value, write.constant(write.attribute("alpha", 1.0)))
    write.end("Mul", value, write.add("Cast", above, to=TensorProto.FLOAT))
    return True


def _crop(write: _Writer) -> bool:
    """`border` is left, top, right, bottom; `scale`, where there is one, height and width of what is kept."""
    left, top, right, bottom = write.attribute("border")
    size = write.attribute("scale")
    whole = np.iinfo(np.int32).max
    ends = [-bottom or whole, -right or whole] if size is None else [top + size[0], left + size[1]]
    write.end("Slice", write.node.input[0], starts=[top, left], ends=ends, axes=[2, 3])
    return True


def _dynamic_slice(write: _Writer) -> bool:
    """Slice of opset 10 under an older name; here with constants, as the older Slice has it."""
    starts, ends, axes = (write.weight(index) for index in (1, 2, 3))
    if starts is None or ends is None or (axes is None and len(write.node.input) > 3):
        return False
    chosen = {} if axes is None else {"axes": axes.tolist()}
    write.end("Slice", write.node.input[0], starts=starts.tolist(), ends=ends.tolist(), **chosen)
    return True


def _mean_variance(write: _Writer) -> bool:
    value, axes = write.node.input[0], [0, 1, 2, 3] if write.attribute("across_channels", 0) else [0, 2, 3]
    centred = write.add("Sub", value, write.mean(value, axes))
    if not write.attribute("normalize_variance", 1):
        write.end("Identity", centred)
        return True
    deviation = write.add("Sqrt", write.mean(write.add("Mul", centred, centred), axes))
    write.end("Div", centred, write.add("Add", deviation, write.constant(1e-9)))
    return True


def _layer_normalization(write: _Writer) -> bool:
    return _normalized(write, centred=True)


def _rms_normalization(write: _Writer) -> bool:
    return _normalized(write, centred=False)


def _normalized(write: _Writer, *, centred: bool) -> bool:
    """Over the axes from `axis` on, computed in float32 as ONNX Runtime's kernels do."""
    scale = write.weight(1)
    axis = write.attribute("axis", -1)
    if scale is None or (axis >= 0 and write.opset < 11) or (axis >= 0 and scale.ndim == 0):
        return False
    # The scale has the axes that are normalised over.
    axes = list(range(axis, 0)) if axis < 0 else list(range(-scale.ndim, 0))
    value, narrow = write.node.input[0], scale.dtype == np.float16
    if narrow:
        value = write.add("Cast", value, to=TensorProto.FLOAT)
    mean = write.mean(value, axes) if centred else ""
    value = write.add("Sub", value, mean) if centred else value
    variance = write.mean(write.add("Mul", value, value), axes)
    width = np.float64 if scale.dtype == np.float64 else np.float32
    shifted = write.add("Add", variance, write.constant(write.attribute("epsilon", 1e-5), width))
    deviation = write.add("Sqrt", shifted)
    # Further outputs: the mean where there is one, then the reciprocal of the deviation, both in float32.
    for place, (op, statistic) in enumerate([("Identity", mean)] * centred + [("Reciprocal", deviation)], 1):
        if place < len(write.node.output) and write.node.output[place]:
            write.end(op, statistic, output=place)
    result = write.add("Div", value, deviation)
    if narrow:
        result = write.add("Cast", result, to=TensorProto.FLOAT16)
    shift = write.node.input[2] if centred and len(write.node.input) > 2 else ""
    if shift:
        write.end("Add", write.add("Mul", result, write.node.input[1]), shift)
    else:
        write.end("Mul", result, write.node.input[1])
    return True


_REWRITES: dict[str, Callable[[_Writer], bool]] = {
    "Affine": _affine,
    "Crop": _crop,
    "DynamicSlice": _dynamic_slice,
    "ImageScaler": _image_scaler,
    "LayerNormalization": _layer_normalization,
    "MeanVarianceNormalization": _mean_variance,
    "ParametricSoftplus": _parametric_softplus,
    "Scale": _scale,
    "ScaledTanh": _scaled_tanh,
    "SimplifiedLayerNormalization": _rms_normalization,
    "ThresholdedRelu": _thresholded_relu,
}
