"""Fused graphs of published networks, made once per test process."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import onnx

from coachc.core.graph import GraphView, Value
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from tests.helpers.onnx_models import net, op, untouched

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@functools.cache
def exported(name: str) -> GraphView:
    """A network of `models.zoo` with random weights, exported by torch and imported again."""
    from coachc.models import zoo
    from coachc.models.onnx_writer import _export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        _export(zoo.build(name), zoo.INPUT_SHAPE, path, zoo.DEFAULT_OPSET)
        return fuse(import_model(path))


@functools.cache
def light(name: str) -> GraphView:
    """A network of the onnx package, as Caffe2 defined it."""
    return fuse(import_model(LIGHT / f"light_{name}.onnx"))


@functools.cache
def vgg16() -> GraphView:
    """Simonyan and Zisserman 2015, table 1, column D. Weights have shapes but no data: half a gigabyte of nothing."""
    nodes, weights, values = [], [], [Value("x", "float32", (1, 3, 224, 224))]

    def add(op_type, output, shape, *parameters, **attributes):
        for position, dims in enumerate(parameters):
            weights.append(onnx.TensorProto(name=f"{output}.{position}", dims=dims, data_type=onnx.TensorProto.FLOAT))
        names = " ".join(f"{output}.{position}" for position in range(len(parameters)))
        nodes.append(op(op_type, f"{values[-1].name} {names}", output, **attributes))
        values.append(Value(output, "float32", shape))

    channels, size = 3, 224
    for stage, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        for layer in range(depth):
            shape = (1, width, size, size)
            add("Conv", f"c{stage}.{layer}", shape, (width, channels, 3, 3), (width,), pads=[1] * 4)
            add("Relu", f"r{stage}.{layer}", shape)
            channels = width
        size //= 2
        add("MaxPool", f"p{stage}", (1, width, size, size), kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten", "flat", (1, 25088))
    for layer, (read, width) in enumerate(((25088, 4096), (4096, 4096), (4096, 1000))):
        add("Gemm", f"fc{layer}", (1, width), (width, read), (width,), transB=1)
        if layer < 2:
            add("Relu", f"fr{layer}", (1, width))
    return fuse(untouched(net(nodes, ["x"], ["fc2"], weights), values))


@functools.cache
def resnet(*counts: int) -> GraphView:
    """He et al. 2016, table 1, bottlenecks; batch normalizations are nodes, as in PyTorch. Weights have no data."""
    nodes, weights, values = [], [], [Value("x", "float32", (1, 3, 224, 224))]

    def add(op_type, reads, shape, *parameters, **attributes):
        output = f"v{len(values)}"
        names = [f"{output}.{position}" for position in range(len(parameters))]
        for name, dims in zip(names, parameters, strict=True):
            weights.append(onnx.TensorProto(name=name, dims=dims, data_type=onnx.TensorProto.FLOAT))
        nodes.append(op(op_type, " ".join((*reads, *names)), output, **attributes))
        values.append(Value(output, "float32", shape))
        return output

    def conv_bn(source, read, width, size, kernel, stride=1):
        shape, pads = (1, width, size, size), [kernel // 2] * 4
        made = add("Conv", [source], shape, (width, read, kernel, kernel), pads=pads, strides=[stride] * 2)
        return add("BatchNormalization", [made], shape, *[(width,)] * 4), shape

    def relu(value, shape):
        return add("Relu", [value], shape)

    last = add("MaxPool", [relu(*conv_bn("x", 3, 64, 112, 7, 2))], (1, 64, 56, 56), kernel_shape=[3, 3], strides=[2, 2])
    channels, size = 64, 56
    for layer, count in enumerate(counts):
        width, stride = 64 << layer, 1 if layer == 0 else 2
        for block in range(count):
            shortcut = last
            stride = stride if block == 0 else 1
            inner = relu(*conv_bn(last, channels, width, size, 1))
            size //= stride
            inner = relu(*conv_bn(inner, width, width, size, 3, stride))
            inner, shape = conv_bn(inner, width, 4 * width, size, 1)
            if block == 0:
                shortcut, _ = conv_bn(last, channels, 4 * width, size, 1, stride)
            last = relu(add("Add", [inner, shortcut], shape), shape)
            channels = 4 * width
    pooled = add("Flatten", [add("GlobalAveragePool", [last], (1, channels, 1, 1))], (1, channels))
    logits = add("Gemm", [pooled], (1, 1000), (1000, channels), (1000,), transB=1)
    return fuse(untouched(net(nodes, ["x"], [logits], weights), values))
