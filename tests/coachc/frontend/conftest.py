"""Builders shared by the importer's tests, given as the fixture `onnxes` because test folders are no packages."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def weight(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def random(name, *shape, seed=0):
    return weight(name, np.random.default_rng([seed, len(name), *shape]).standard_normal(shape) * 0.3)


def value(name, shape=None, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, shape)


def model(nodes, inputs, outputs, weights=(), *, opset=13, ir=None, domains=None, **graph_fields):
    """Plain strings among inputs and outputs become float values: inputs of shape 1x3x8x8, outputs without shape."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(item, [1, 3, 8, 8]) if isinstance(item, str) else item for item in inputs],
        [value(item) if isinstance(item, str) else item for item in outputs],
        list(weights),
        **graph_fields,
    )
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(name, v) for name, v in (domains or {}).items()]
    if ir is None:
        ir = max(4, helper.find_min_ir_version_for(opsets, ignore_unknown=True)) if 1 <= opset <= 28 else 8
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def convnet(opset=13, **fields):
    """Conv, batch normalization, ReLU, pooling, fully connected layer: names and types that every opset has."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["b"]),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "fc", "fcb"], ["y"]),
    ]
    weights = [
        random("w", 4, 3, 3, 3), random("scale", 4), random("bias", 4), random("mean", 4),
        weight("var", np.ones(4)), random("fc", 4, 5), random("fcb", 5),
    ]  # fmt: skip
    return model(nodes, ["x"], ["y"], weights, opset=opset, **fields)


@pytest.fixture
def onnxes(tmp_path):
    """Builders, and `save(model, name)`, which writes a file and returns its path."""

    def save(proto: onnx.ModelProto, name: str = "net.onnx"):
        path = tmp_path / name
        path.write_bytes(proto.SerializeToString())
        return path

    return SimpleNamespace(
        save=save, model=model, convnet=convnet, value=value, weight=weight, random=random,
        node=helper.make_node, graph=helper.make_graph, folder=tmp_path,
    )  # fmt: skip
