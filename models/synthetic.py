"""Small ONNX models for tests: graphs of every shape the partitioner must handle, and real topologies with weights.

All weights are drawn from a seeded generator, scaled so that activations neither vanish nor explode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 4, 8, 8)
CLASSES = 5
IMAGENET_CLASSES = 1000


class Sketch:
    """A graph under construction; each method adds one node and returns the name of the value it produces.

    Parameters
    ----------
    seed : int
        Of the weights.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._channels: dict[str, int] = {}
        self._inputs: list[str] = []

    def input(self, name: str = "input") -> str:
        """A data input of shape `SHAPE`."""
        self._inputs.append(name)
        self._channels[name] = SHAPE[1]
        return name

    def conv(self, x: str, outputs: int = 4, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> str:
        """A convolution with bias that keeps the size at stride 1, followed by a Relu unless told otherwise."""
        fan_in = self._channels[x] * kernel * kernel
        weight = self._weight((outputs, self._channels[x], kernel, kernel), fan_in)
        bias = self._bias(outputs)
        y = self._node("Conv", [x, weight, bias], outputs, strides=[stride] * 2, pads=[kernel // 2] * 4)
        return self.relu(y) if relu else y

    def relu(self, x: str) -> str:
        return self._node("Relu", [x], self._channels[x])

    def pool(self, x: str) -> str:
        """A 3x3 max pool that keeps the size."""
        return self._node("MaxPool", [x], self._channels[x], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])

    def add(self, x: str, y: str) -> str:
        return self._node("Add", [x, y], self._channels[x])

    def concat(self, *values: str) -> str:
        return self._node("Concat", values, sum(self._channels[value] for value in values), axis=1)

    def head(self, x: str, output: str = "logits") -> str:
        """Global mean and a linear layer; the result, [1, `CLASSES`], gets the name `output`."""
        channels = self._channels[x]
        flat = self._node("Flatten", [self._node("GlobalAveragePool", [x], channels)], channels)
        weight = self._weight((CLASSES, channels), channels)
        bias = self._bias(CLASSES)
        return self._node("Gemm", [flat, weight, bias], CLASSES, output=output, transB=1)

    def model(self, *outputs: str, opset: int) -> onnx.ModelProto:
        """The finished model, checked.

        Parameters
        ----------
        *outputs : str
            Names that `head` returned.
        opset : int
            9 or later; the IR version is the oldest that holds it.
        """
        graph = helper.make_graph(
            self._nodes,
            "synthetic",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in self._inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, (SHAPE[0], CLASSES)) for name in outputs],
            self._initializers,
        )
        imports = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _node(self, op_type: str, inputs: Sequence[str], channels: int, output: str = "", **attributes: Any) -> str:
        name = f"{op_type.lower()}{len(self._nodes)}"
        output = output or f"{name}_out"
        self._nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        self._channels[output] = channels
        return output

    def _weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        return self._initializer(_kaiming(self._random, shape, fan_in))

    def _bias(self, size: int) -> str:
        return self._initializer(_normal(self._random, (size,), 0.1))

    def _initializer(self, array: np.ndarray) -> str:
        name = f"parameter{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(array, name))
        return name


def chain(n: int = 4, *, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """`n` convolutions in a row; the second halves the resolution."""
    g = Sketch(seed)
    x = g.input()
    for i in range(n):
        x = g.conv(x, stride=2 if i == 1 else 1)
    return g.model(g.head(x), opset=opset)


def diamond(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """One value, two branches, one sum."""
    g = Sketch(seed)
    x = g.conv(g.input())
    joined = g.add(g.conv(x), g.conv(x, kernel=1))
    return g.model(g.head(g.conv(joined)), opset=opset)


def residual(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """A block with an identity shortcut, then one with a projection at half the resolution."""
    g = Sketch(seed)
    x = g.conv(g.input())
    x = g.relu(g.add(g.conv(g.conv(x), relu=False), x))
    narrow = g.conv(g.conv(x, 8, stride=2), 8, relu=False)
    x = g.relu(g.add(narrow, g.conv(x, 8, kernel=1, stride=2, relu=False)))
    return g.model(g.head(x), opset=opset)


def inception(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """Four branches of different length, concatenated, twice."""
    g = Sketch(seed)
    x = g.conv(g.input())
    for _ in range(2):
        x = g.concat(
            g.conv(x, 2, kernel=1),
            g.conv(g.conv(x, 2, kernel=1), 4),
            g.conv(g.conv(x, 2, kernel=1), 2, kernel=5),
            g.conv(g.pool(x), 2, kernel=1),
        )
    return g.model(g.head(x), opset=opset)


def dense(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """Three layers, each of which reads everything before it."""
    g = Sketch(seed)
    x = g.conv(g.input())
    for _ in range(3):
        x = g.concat(x, g.conv(g.conv(x, 8, kernel=1), 2))
    return g.model(g.head(g.conv(x, kernel=1)), opset=opset)


def nested(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """A diamond inside one branch of a diamond."""
    g = Sketch(seed)
    x = g.conv(g.input())
    inner = g.conv(x)
    inner = g.conv(g.add(g.conv(inner), g.conv(inner, kernel=1)))
    joined = g.concat(g.conv(x, kernel=1), inner)
    return g.model(g.head(g.conv(joined)), opset=opset)


def two_inputs(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """Inputs `left` and `right`, each convolved, then summed."""
    g = Sketch(seed)
    joined = g.add(g.conv(g.input("left")), g.conv(g.input("right")))
    return g.model(g.head(g.conv(joined)), opset=opset)


def two_outputs(*, opset: int = 13, seed: int = 0) -> onnx.ModelProto:
    """Outputs `early` and `logits`; the first leaves in the middle."""
    g = Sketch(seed)
    x = g.conv(g.conv(g.input()))
    early = g.head(x, "early")
    return g.model(early, g.head(g.conv(g.conv(x))), opset=opset)


def light_with_weights(path: str | Path, seed: int = 0, narrow: int = 1) -> onnx.ModelProto:
    """One of the `light_*.onnx` models of the onnx package, with random weights in place of its placeholders.

    Those files hold the real topology of a known network, but nearly every parameter is made by a ConstantOfShape
    node, so that their output is the same for every image. Here each parameter becomes a random initializer. So do the
    few small ones that are stored with trained values: they belong to weights that are gone.

    Parameters
    ----------
    path : str or Path
        A file of `onnx/backend/test/data/light/`.
    seed : int
        Same seed, same weights.
    narrow : int
        Every layer has its channels divided by this: the same topology in a fraction of the bytes. Not for networks
        that shuffle channels.

    Returns
    -------
    onnx.ModelProto
        Opset 9 as before, IR 4 at least; the graph's inputs are data only. VGG-19 takes 575 MB.
    """
    model = onnx.load(path)
    graph = model.graph
    random = np.random.default_rng(seed)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    placeholders = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    shapes = {name: tuple(tensor.dims) for name, tensor in stored.items() if tensor.data_type == TensorProto.FLOAT}
    shapes |= {node.output[0]: tuple(numpy_helper.to_array(stored[node.input[0]])) for node in placeholders}
    shapes = {name: _narrowed(shape, narrow) for name, shape in shapes.items()}

    for node in placeholders:
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    kept = [_narrowed_lengths(t, narrow) for name, t in stored.items() if name in read and name not in shapes]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    consumers = _single_consumers(graph)
    for name, shape in shapes.items():
        if name in read:
            # Filled in place: a copy of VGG's largest weight would cost another 411 MB.
            tensor = graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=shape)
            tensor.raw_data = _parameter(random, shape, name, consumers).astype("<f4", copy=False).tobytes()

    data = [value for value in graph.input if value.name not in stored and value.name not in shapes]
    del graph.input[:]
    graph.input.extend(data)
    # Before IR 4 every initializer had to be listed among the graph's inputs.
    model.ir_version = max(4, helper.find_min_ir_version_for(model.opset_import))
    return model


def _narrowed(shape: Sequence[int], narrow: int, least: int = 16) -> tuple[int, ...]:
    """A shape with its channels divided: kernels and the image's channels are fewer than 16, classes stay."""
    return tuple(n // narrow if n >= least and n != IMAGENET_CLASSES else n for n in map(int, shape))


def _narrowed_lengths(tensor: onnx.TensorProto, narrow: int) -> onnx.TensorProto:
    """What a Reshape is given: no picture here is 256 pixels wide, so what is larger are channels."""
    if narrow == 1 or tensor.data_type != TensorProto.INT64:
        return tensor
    lengths = _narrowed(numpy_helper.to_array(tensor).tolist(), narrow, 256)
    return numpy_helper.from_array(np.array(lengths, np.int64), tensor.name)


def _single_consumers(graph: onnx.GraphProto) -> dict[str, tuple[onnx.NodeProto, int]]:
    """The last reader of each value and the position it reads at; parameters have only one."""
    return {name: (node, index) for node in graph.node for index, name in enumerate(node.input)}


def _parameter(
    random: np.random.Generator,
    shape: tuple[int, ...],
    name: str,
    consumers: dict[str, tuple[onnx.NodeProto, int]],
) -> np.ndarray:
    """Values fit for the role that a parameter plays in the node that reads it."""
    node, index = consumers[name]
    while node.op_type in {"Unsqueeze", "Reshape"}:
        node, index = consumers[node.output[0]]
    match node.op_type, index:
        case "Conv", 1:
            return _kaiming(random, shape, math.prod(shape[1:]))
        case "Gemm", 1:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            return _kaiming(random, shape, math.prod(shape[1:]) if transposed else shape[0])
        case ("BatchNormalization", 1) | ("Mul", _):
            # Kaiming's factor 2 presumes a Relu in front of the next weights. Where none follows, half the scale keeps
            # the variance from doubling at every residual block and every depthwise convolution.
            after = consumers[node.output[0]][0].op_type
            return _normal(random, shape, 0.1, mean=0.5 if after in {"Conv", "Sum", "Concat"} else 1.0)
        case "BatchNormalization", 4:
            return random.uniform(0.8, 1.25, shape).astype(np.float32)
        case ("Conv" | "Gemm", 2) | ("BatchNormalization", 2 | 3) | ("Add", _):
            return _normal(random, shape, 0.05)
    raise ValueError(f"{name} is input {index} of a {node.op_type}, which no light model of onnx 1.23 has")


def _kaiming(random: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """He et al., ICCV 2015, equation 10: keeps the second moment through a ReLU."""
    return _normal(random, shape, math.sqrt(2.0 / fan_in))


def _normal(random: np.random.Generator, shape: tuple[int, ...], deviation: float, *, mean: float = 0.0) -> np.ndarray:
    values = random.standard_normal(shape, dtype=np.float32)
    values *= deviation
    values += mean
    return values
