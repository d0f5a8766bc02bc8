"""Small models that resemble what people export: each is unusual in one way, which its docstring says.

ONNX Runtime on the model as it is written says what is right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from tests.helpers.narrow import in_float16
from tests.helpers.onnx_models import constant, info, net, op, random_weight

#: By name, in the order of this file.
MODELS: dict[str, Callable[[], onnx.ModelProto]] = {}


def field(make: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
    MODELS[make.__name__] = make
    return make


def conv(x: str, weight: str, y: str, **attributes) -> onnx.NodeProto:
    """A convolution that keeps the size with a 3x3 kernel, or halves it with strides."""
    return op("Conv", f"{x} {weight}", y, pads=[1, 1, 1, 1], **attributes)


# Shapes and batches.


@field
def batch_open():
    """The batch is open, and a Reshape takes it from the value's own shape."""
    nodes = [
        conv("x", "w1", "a", strides=[2, 2]), op("Relu", "a", "b"), conv("b", "w2", "c", strides=[2, 2]),
        op("GlobalAveragePool", "c", "p"), op("Shape", "p", "s"), op("Gather", "s zero", "n"),
        op("Concat", "n rest", "r", axis=0), op("Reshape", "p r", "f"), op("Gemm", "f w3", "y"),
    ]  # fmt: skip
    weights = [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 16, 8, 3, 3), random_weight("w3", 16, 10)]
    weights += [constant("zero", [0]), constant("rest", [-1])]
    return net(nodes, [info("x", ["N", 3, 16, 16])], [info("y", ["N", 10])], weights)


@field
def batch_of_four():
    """The file states a batch of 4."""
    nodes = [conv("x", "w", "c"), op("GlobalAveragePool", "c", "p"), op("Flatten", "p", "y")]
    return net(nodes, [info("x", [4, 3, 8, 8])], ["y"], [random_weight("w", 8, 3, 3, 3)])


@field
def batches_of_their_own():
    """Two inputs whose batches have nothing to do with each other."""
    nodes = [
        op("Conv", "query w", "q", strides=[2, 2]), op("GlobalAveragePool", "q", "qp"), op("Flatten", "qp", "qf"),
        op("Conv", "gallery w", "g", strides=[2, 2]), op("GlobalAveragePool", "g", "gp"), op("Flatten", "gp", "gf"),
        op("Gemm", "qf gf", "y", transB=1),
    ]  # fmt: skip
    inputs = [info("query", ["B", 3, 9, 9]), info("gallery", ["G", 3, 9, 9])]
    return net(nodes, inputs, [info("y", ["B", "G"])], [random_weight("w", 8, 3, 3, 3)])


@field
def state_in_and_out():
    """A recurrent layer after convolutions; its states go in and out, with the layers as their first axis."""
    nodes = [
        conv("x", "w", "c", strides=[2, 2]), op("Relu", "c", "r"), op("Reshape", "r steps", "q"),
        op("Transpose", "q", "t", perm=[1, 0, 2]), op("LSTM", "t wi wh _ _ h0 c0", "h hn cn", hidden_size=6),
        op("Squeeze", "h one", "y"),
    ]  # fmt: skip
    weights = [random_weight("w", 4, 3, 3, 3), random_weight("wi", 1, 24, 16), random_weight("wh", 1, 24, 6)]
    weights += [constant("steps", [0, -1, 16]), constant("one", [1])]
    inputs = [info("x", ["N", 3, 16, 16]), info("h0", [1, "N", 6]), info("c0", [1, "N", 6])]
    return net(nodes, inputs, ["y", "hn", "cn"], weights)


@field
def cache_in_and_out():
    """A ring of the last three feature maps goes in and out; its first axis is the ring's."""
    nodes = [
        conv("x", "w", "c"), op("Relu", "c", "r"), op("Slice", "cache one four zero", "kept"),
        op("Concat", "kept r", "next", axis=0), op("ReduceMean", "next", "m", axes=[0], keepdims=1),
        conv("m", "v", "y"),
    ]  # fmt: skip
    weights = [random_weight("w", 4, 3, 3, 3), random_weight("v", 2, 4, 3, 3)]
    weights += [constant("one", [1]), constant("four", [4]), constant("zero", [0])]
    return net(nodes, [info("x", ["N", 3, 8, 8]), info("cache", [3, 4, 8, 8])], ["y", "next"], weights)


@field
def scaled_by_a_fraction():
    """0.7 times 30 rows are 21 in float32 and 20 exactly."""
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [conv("x", "w1", "a"), op("Relu", "a", "r"), op("Resize", "r _ s", "u", **nearest), conv("u", "w2", "y")]
    weights = [
        random_weight("w1", 6, 3, 3, 3),
        random_weight("w2", 2, 6, 3, 3),
        constant("s", np.float32([1, 1, 0.7, 0.7])),
    ]
    return net(nodes, [info("x", [1, 3, 30, 30])], ["y"], weights)


# What fails.


@field
def fails_when_it_runs():
    """Loads, and its transposed convolution fails on every input."""
    nodes = [
        conv("x", "w1", "a", strides=[2, 2]), op("Relu", "a", "r"),
        op("ConvTranspose", "r w2", "t", strides=[2, 2], output_shape=[70, 68], name="up"), op("Relu", "t", "y"),
    ]  # fmt: skip
    weights = [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 8, 4, 3, 3)]
    return net(nodes, [info("x", [1, 3, 32, 32])], [info("y", [1, 4, 70, 68])], weights)


@field
def computes_nothing():
    """Its only operator hands the input on."""
    return net([op("Identity", "x", "y")], [info("x", [1, 3, 8, 8])], ["y"])


@field
def optional_between():
    """An optional between two nodes, which no TensorRT has."""
    nodes = [op("Relu", "x", "a"), op("Optional", "a", "o"), op("OptionalGetElement", "o", "b"), conv("b", "w", "y")]
    return net(nodes, [info("x", [1, 3, 8, 8])], ["y"], [random_weight("w", 4, 3, 3, 3)], opset=17)


# What other runtimes take and this compiler did not.


@field
def half_precision_throughout():
    """float16 from end to end."""
    nodes = [
        conv("x", "w1", "a", strides=[2, 2]), op("Relu", "a", "b"), conv("b", "w2", "c", strides=[2, 2]),
        op("Relu", "c", "d"), op("GlobalAveragePool", "d", "p"), op("Flatten", "p", "f"), op("Gemm", "f w3", "y"),
    ]  # fmt: skip
    weights = [random_weight("w1", 8, 3, 3, 3), random_weight("w2", 16, 8, 3, 3), random_weight("w3", 16, 10)]
    return in_float16(net(nodes, [info("x", [1, 3, 32, 32])], [info("y", [1, 10])], weights))


@field
def scalar_crosses():
    """A value of rank 0 is what a cut sends."""
    nodes = [
        conv("x", "w", "c"),
        op("ReduceMax", "c", "m", keepdims=0),
        op("Mul", "m w", "q"),
        op("Reshape", "q s", "y"),
    ]
    weights = [random_weight("w", 8, 3, 3, 3), constant("s", [1, -1])]
    return net(nodes, [info("x", [1, 3, 16, 16])], ["y"], weights)


@field
def constant_written_twice():
    """Two Constant nodes give the same name the same value."""
    two = op("Constant", "", "k", value=constant("k", np.float32(2)))
    nodes = [two, op("Mul", "x k", "a"), two, op("Mul", "a k", "y")]
    return net(nodes, [info("x", [1, 3, 8, 8])], ["y"])


@field
def pictures_scaled_in_the_graph():
    """ImageScaler, as WinML's and Core ML's converters write it."""
    scaler = op("ImageScaler", "x", "s", scale=2.0, bias=[0.1, 0.2, 0.3])
    model = net(
        [scaler, op("Conv", "s w", "y")], [info("x", [1, 3, 16, 16])], ["y"], [random_weight("w", 8, 3, 3, 3)], opset=7
    )
    model.ir_version = 4
    return model
