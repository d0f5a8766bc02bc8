"""Models in half precision, made of those in float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights, inputs, outputs and casts in float16, as exporters with `half()` write it."""
    result = onnx.ModelProto.FromString(model.SerializeToString())
    del result.graph.value_info[:]
    for tensor in result.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*result.graph.input, *result.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in result.graph.node:
        for entry in node.attribute:
            if node.op_type == "Cast" and entry.name == "to" and entry.i == TensorProto.FLOAT:
                entry.i = TensorProto.FLOAT16
    return result


def through_bfloat16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every ReLU's output rounded to bfloat16 and back, which is as much of that type as a CPU computes."""
    result = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = []
    for node in result.graph.node:
        nodes.append(node)
        if node.op_type == "Relu":
            name = node.output[0]
            node.output[0] = f"{name}/float"
            nodes += [
                helper.make_node("Cast", [node.output[0]], [f"{name}/narrow"], to=TensorProto.BFLOAT16),
                helper.make_node("Cast", [f"{name}/narrow"], [name], to=TensorProto.FLOAT),
            ]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del result.graph.node[:]
    result.graph.node.extend(copies)
    del result.graph.value_info[:]
    return result
