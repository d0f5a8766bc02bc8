"""What is known of a model's values: types, shapes, constants; weights are never copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.shape_inference

from coachc.frontend import walk

#: Initializers of more elements are only known by type and shape.
MAX_CONSTANT = 4096


@dataclass
class Facts:
    """Values of a model by name, of all its graphs; what is unknown is absent.

    Attributes
    ----------
    types : dict of str to str
        ONNX's name in lower case: "float", "int64".
    shapes : dict of str to tuple
        None for an axis that is not known.
    initializers : dict of str to onnx.TensorProto
        Constants: initializers and what Constant nodes make.
    inputs, outputs : set of str
        Of the network.
    readers : dict of str to list of onnx.NodeProto
    makers : dict of str to onnx.NodeProto
    opset : int
    """

    types: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    readers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    opset: int = 0

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant; None if it is none, or larger than `MAX_CONSTANT`."""
        tensor = self.initializers.get(name)
        if tensor is None or np.prod(tensor.dims, dtype=np.int64) > MAX_CONSTANT:
            return None
        return onnx.numpy_helper.to_array(tensor)

    def input_type(self, node: onnx.NodeProto, index: int) -> str:
        return self.types.get(node.input[index], "") if index < len(node.input) else ""

    def attribute(self, node: onnx.NodeProto, name: str) -> object:
        """Value of an attribute, ONNX's default if it is absent; None if there is none."""
        value = walk.attribute(node, name)
        if value is None and not node.domain and onnx.defs.has(node.op_type, self.opset):
            schema = onnx.defs.get_schema(node.op_type, self.opset, "").attributes.get(name)
            if schema is not None and schema.default_value.type:
                value = onnx.helper.get_attribute_value(schema.default_value)
        return value.decode() if isinstance(value, bytes) else value


def type_name(number: int) -> str:
    return str(onnx.TensorProto.DataType.Name(number)).lower() if number else ""


def facts_of(model: onnx.ModelProto) -> Facts:
    """Collect them: what the model says, and what shape inference adds."""
    facts = Facts()
    facts.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    facts.inputs = {value.name for value in model.graph.input} - {t.name for t in model.graph.initializer}
    facts.outputs = {value.name for value in model.graph.output}
    inferred = _inferred(model)
    for graph in (*walk.graphs(inferred), *walk.graphs(model.graph)):
        _read_values(facts, graph)
    for graph in walk.graphs(model.graph):
        _read_constants(facts, graph)
        for node in graph.node:
            for name in node.input:
                facts.readers.setdefault(name, []).append(node)
            facts.makers.update(dict.fromkeys(filter(None, node.output), node))
    return facts


def _inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph with inferred types; large weights are left out, so that nothing big is copied."""
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    source = model.graph
    light.graph.name = source.name
    light.graph.node.extend(source.node)
    light.graph.input.extend(source.input)
    light.graph.output.extend(source.output)
    light.graph.value_info.extend(source.value_info)
    known = {value.name for value in source.input}
    for tensor in source.initializer:
        if np.prod(tensor.dims, dtype=np.int64) <= MAX_CONSTANT:
            light.graph.initializer.append(tensor)
        elif tensor.name not in known:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    try:
        return onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except Exception:  # a model that inference refuses is still checked, by what it says itself
        return light.graph


def _read_values(facts: Facts, graph: onnx.GraphProto) -> None:
    for value in _values(graph):
        tensor = value.type.tensor_type
        kind = value.type.WhichOneof("value")
        if kind is not None and kind != "tensor_type":
            facts.types[value.name] = kind.removesuffix("_type")
            continue
        if tensor.elem_type:
            facts.types[value.name] = type_name(tensor.elem_type)
        if tensor.HasField("shape"):
            shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
            facts.shapes[value.name] = shape


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from graph.value_info
    yield from graph.input
    yield from graph.output


def _read_constants(facts: Facts, graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        facts.initializers[tensor.name] = tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            tensor = constant_tensor(node)
            if tensor is not None:
                facts.initializers[node.output[0]] = tensor
    for name, tensor in facts.initializers.items():
        facts.types[name] = type_name(tensor.data_type)
        facts.shapes[name] = tuple(tensor.dims)


def constant_tensor(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """What a Constant node makes; None for strings and sparse values."""
    for entry in node.attribute:
        if entry.name == "value":
            return entry.t
        if entry.name in ("value_int", "value_ints"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(entry), np.int64))
        if entry.name in ("value_float", "value_floats"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(entry), np.float32))
    return None
