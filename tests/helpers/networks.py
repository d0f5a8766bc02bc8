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
    from models import zoo
    from models.onnx_writer import _export

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
