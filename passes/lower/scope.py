"""What is known of the values of a model, bodies included: type, shape, and the contents of constants."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from coachc.frontend import walk
from coachc.frontend.shapes import Shape, infer, static_shape

#: Larger initializers are left out when shapes are inferred: no shape follows from their contents.
_LARGE = 1024


class Scope:
    """Types, shapes and constants by name.

    Parameters
    ----------
    model : onnx.ModelProto
        Valid, static input shapes, names unique across bodies.

    Raises
    ------
    coachc.errors.ModelError
        The model contradicts itself.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.values: dict[str, onnx.ValueInfoProto] = {}
        inferred = infer(_skeleton(model), [v for v in model.graph.value_info if static_shape(v) is not None])
        for graph in walk.graphs(inferred.graph):
            for value in (*graph.input, *graph.value_info, *graph.output):
                self.values.setdefault(value.name, value)
        self._constants: dict[str, onnx.TensorProto] = {}
        self.taken: set[str] = set()
        #: Of the graph and of bodies: what a node has to make.
        self.outputs: set[str] = set()
        for graph in walk.graphs(model.graph):
            self.outputs.update(value.name for value in graph.output)
            self._constants.update({tensor.name: tensor for tensor in graph.initializer})
            self.taken.update(walk.made(graph))
            self.taken.update(node.name for node in graph.node)
            for node in graph.node:
                if node.op_type == "Constant" and not node.domain and node.attribute[0].name == "value":
                    self._constants[node.output[0]] = node.attribute[0].t

    def element(self, name: str) -> int:
        """The element type of a tensor as a `TensorProto.DataType`; UNDEFINED where unknown."""
        if name in self._constants:
            return int(self._constants[name].data_type)
        value = self.values.get(name)
        return int(value.type.tensor_type.elem_type) if value is not None else onnx.TensorProto.UNDEFINED

    def shape(self, name: str) -> Shape | None:
        """The static shape of a tensor, None where unknown."""
        if name in self._constants:
            return tuple(self._constants[name].dims)
        value = self.values.get(name)
        return static_shape(value) if value is not None else None

    def define(self, tensor: onnx.TensorProto) -> None:
        """Remember the contents of a value that a rewrite has computed, for the rewrites after it."""
        self._constants[tensor.name] = tensor

    def array(self, name: str) -> np.ndarray | None:
        """The contents of a constant, None for any other value."""
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large initializers as inputs, so that inference copies no weights."""
    result = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    result.opset_import.extend(model.opset_import)
    graph = result.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) <= _LARGE:
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return result
