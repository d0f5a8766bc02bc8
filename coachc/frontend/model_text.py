"""A model as text for people: onnx's own notation, long tensors left out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx
import onnx.printer

from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.frontend.pass_driver import Step

#: Elements of a tensor that are still written out: sizes, axes, scales.
SHORT = 8
_MARK = "left out"


def step_text(step: Step) -> str:
    """What a pass left: one line that sums it up, what it declined, the model."""
    graph = step.model.graph
    size = sum(map(_size_bytes, graph.initializer))
    lines = [
        f"# {step.stage}, after {step.name}: {sum(1 for _ in walk.nodes(graph))} nodes, opset {opset_of(step.model)}, "
        f"{len(graph.initializer)} initializers of {size:,} bytes, {'changed' if step.changed else 'unchanged'}, "
        f"{step.seconds:.3f} s",
        *(f"# {one.what} stays as it is: {one.reason}" for one in step.rejected),
    ]
    return "\n".join([*lines, model_text(step.model)])


def model_text(model: onnx.ModelProto) -> str:
    """A model in onnx's textual notation; tensors of more than `SHORT` elements as {...}."""
    shown = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = shown.graph
    graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(graph, field).extend(getattr(model.graph, field))
    # Weights are not copied in order to be left out.
    for tensor in model.graph.initializer:
        graph.initializer.append(tensor if _is_short(tensor) else _without_data(tensor))
    for node in walk.nodes(graph):
        for attribute in node.attribute:
            for tensor in _tensors(attribute):
                tensor.CopyFrom(tensor if _is_short(tensor) else _without_data(tensor))
    for inner in walk.graphs(graph):
        for tensor in inner.initializer:
            tensor.CopyFrom(tensor if _is_short(tensor) else _without_data(tensor))
    return str(onnx.printer.to_text(shown)).replace(f'["location": "{_MARK}"]', "{...}")


def _tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors


def _size_bytes(tensor: onnx.TensorProto) -> int:
    """Of the numbers alone; types below a byte count as one."""
    return math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _is_short(tensor: onnx.TensorProto) -> bool:
    return math.prod(tensor.dims) <= SHORT


def _without_data(tensor: onnx.TensorProto) -> onnx.TensorProto:
    made = onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    made.data_location = onnx.TensorProto.EXTERNAL
    made.external_data.add(key="location", value=_MARK)
    return made
