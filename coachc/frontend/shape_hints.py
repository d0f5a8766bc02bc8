"""Shapes that follow from shapes, in one pass over the nodes.

Exporters compute what a Reshape takes from the shape of its input: Shape, Gather, Unsqueeze, Concat. onnx's inference
follows few of these, so that folding unlocks one layer and inference has to run again over the whole model, once for
each layer: 65 times for a transformer of 32. Here each node is inferred by itself as soon as its inputs are, and small
results that are constant are computed on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
from onnx.reference import ReferenceEvaluator

from coachc.frontend import walk
from coachc.frontend.shapes import static_shape

#: Elements of a result that is computed: what shapes are made of has few.
MOST_ELEMENTS = 256


def shape_hints(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Types and static shapes of values of the main graph, as far as they follow from those of the inputs.

    Parameters
    ----------
    model : ModelProto
        Sorted, with static input shapes.

    Returns
    -------
    list of ValueInfoProto
        Empty where nothing asks for a shape: inference by itself does as well then.
    """
    graph = model.graph
    if not any(node.op_type == "Shape" and not node.domain for node in graph.node):
        return []
    known = _Known(model)
    for node in graph.node:
        known.add(node)
    outputs = {value.name for value in graph.output}
    names = [name for node in graph.node for name in node.output if name in known.types and name not in outputs]
    found = [onnx.ValueInfoProto(name=name, type=known.types[name]) for name in names]
    return [value for value in found if static_shape(value) is not None]


class _Known:
    """What is known of values, node after node."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._versions = {entry.domain: entry.version for entry in model.opset_import}
        self.types: dict[str, onnx.TypeProto] = {value.name: value.type for value in model.graph.input}
        self._data: dict[str, np.ndarray] = {}
        for tensor in model.graph.initializer:
            self.types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            if int(np.prod(tensor.dims)) <= MOST_ELEMENTS and tensor.data_type != onnx.TensorProto.STRING:
                self._data[tensor.name] = onnx.numpy_helper.to_array(tensor)

    def add(self, node: onnx.NodeProto) -> None:
        """Learn what a node makes, if that can be told from what is known."""
        if node.domain or any(True for _ in walk.bodies(node)):
            return
        if any(name and name not in self.types for name in node.input):
            return
        try:
            types = onnx.shape_inference.infer_node_outputs(
                onnx.defs.get_schema(node.op_type, self._versions[""], ""),
                node,
                {name: self.types[name] for name in node.input if name},
                {n: onnx.numpy_helper.from_array(self._data[n], n) for n in node.input if n in self._data},
                opset_imports=list(self._model.opset_import),
                ir_version=self._model.ir_version,
            )
        except Exception:  # whatever does not fit together is reported where the whole model is inferred
            return
        self.types.update(types)
        values = self._computed(node)
        for name, array in zip(node.output, values, strict=False):
            if name and isinstance(array, np.ndarray) and array.size <= MOST_ELEMENTS:
                self._data[name] = array
                element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
                self.types[name] = onnx.helper.make_tensor_type_proto(element, array.shape)

    def _computed(self, node: onnx.NodeProto) -> list[Any]:
        """The results of a node, if they are constant and few."""
        if node.op_type == "Shape":
            shape = static_shape(onnx.ValueInfoProto(type=self.types[node.input[0]]))
            if shape is None:
                return []
            return [
                np.array(shape[walk.attribute(node, "start", 0) : walk.attribute(node, "end", len(shape))], np.int64)
            ]
        if not all(name in self._data for name in node.input if name) or node.op_type in _NEVER:
            return []
        if not all(self._few(name) for name in node.output if name):
            return []
        graph = onnx.helper.make_graph(
            [node], "node", [], [onnx.ValueInfoProto(name=name, type=self.types[name]) for name in node.output if name],
            [onnx.numpy_helper.from_array(self._data[name], name) for name in dict.fromkeys(node.input) if name],
        )  # fmt: skip
        alone = onnx.helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        try:
            return list(ReferenceEvaluator(alone).run(None, {}))
        except Exception:  # folding evaluates it with ONNX Runtime, if that can
            return []

    def _few(self, name: str) -> bool:
        shape = static_shape(onnx.ValueInfoProto(type=self.types[name])) if name in self.types else None
        return shape is not None and int(np.prod(shape)) <= MOST_ELEMENTS


#: Their results are no constants, or the evaluator's are not ONNX Runtime's.
_NEVER = frozenset({
    "BatchNormalization", "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
})  # fmt: skip
