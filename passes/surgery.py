"""What every rewrite here shares: onnx-graphsurgeon in, a stamped ONNX model out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from coachc.core.graph import Value
from coachc.frontend.model import Model


class Tensors(Mapping[str, gs.Tensor]):
    """The tensors of a graph by name, graph inputs and outputs included."""

    def __init__(self, graph: gs.Graph) -> None:
        self._by_name = graph.tensors()
        for tensor in [*graph.inputs, *graph.outputs]:
            self._by_name.setdefault(tensor.name, tensor)

    def __getitem__(self, name: str) -> gs.Tensor:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


def import_graph(proto: onnx.ModelProto) -> gs.Graph:
    """The graph of a model; weights are not copied until they are written."""
    return gs.import_onnx(proto)


def export(graph: gs.Graph, model: Model) -> onnx.ModelProto:
    """Write a rewritten graph with the opset and IR version of the model it came from."""
    proto = gs.export_onnx(graph, do_type_check=False)
    del proto.opset_import[:]
    proto.opset_import.extend(model.proto.opset_import)
    proto.ir_version = model.proto.ir_version
    proto.producer_name = "coachc"
    return proto


def typed_variable(tensor: gs.Tensor, value: Value) -> gs.Tensor:
    """The tensor with the type and shape that import found, as a graph's border needs them."""
    tensor.dtype = np.dtype(value.dtype)
    tensor.shape = list(value.shape)
    return tensor
