"""Small ONNX models written node by node, and the shortest way from one to a graph of fused operators."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coachc.core.graph import GraphView, Value
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model


def op(op_type: str, inputs: str, outputs: str, *, name: str = "", **attributes) -> onnx.NodeProto:
    """A node from names separated by spaces, "_" for an absent one; it is called after its first output."""
    read, names = (["" if item == "_" else item for item in side.split()] for side in (inputs, outputs))
    first = next(item for item in names if item)
    return helper.make_node(op_type, read, names, name=name or f"{op_type}.{first}", **attributes)


def info(name: str, shape, dtype="float32") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def random_weight(name: str, *shape: int, scale: float = 0.3) -> onnx.TensorProto:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return constant(name, np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(scale))


def constant(name: str, values, dtype=None) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def batch_norm(name: str, channels: int) -> list[onnx.TensorProto]:
    """The four parameters NAME.s, .b, .m and .v of a BatchNormalization."""
    return [
        *(random_weight(f"{name}.{part}", channels) for part in "sbm"),
        constant(f"{name}.v", np.ones(channels, "f")),
    ]


def net(nodes, inputs, outputs, weights=(), *, opset: int = 13) -> onnx.ModelProto:
    """A model; inputs and outputs are value infos, or names of float32 values (of shape 1x4x8x8, or none)."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [info(item, (1, 4, 8, 8)) if isinstance(item, str) else item for item in inputs],
        [
            helper.make_tensor_value_info(item, TensorProto.FLOAT, None) if isinstance(item, str) else item
            for item in outputs
        ],
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def imported(proto: onnx.ModelProto, folder) -> tuple[Model, GraphView]:
    """Through the importer, as a user's file goes."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    model = import_model(path)
    return model, fuse(model)


def untouched(proto: onnx.ModelProto, values: list[Value]) -> Model:
    """A `Model` exactly as written, for graphs that the importer would simplify."""
    return Model(proto, {value.name: value for value in values}, "0" * 64, "net")
