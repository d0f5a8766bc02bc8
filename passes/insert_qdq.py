"""Insert the quantizer of each boundary value: codes leave the device half and enter the cloud half.

What the quantizer's nodes are is `passes.quantizer_nodes`' business. What crosses is quantized, nothing else: readers
on the device keep the float value. The device half also puts out a feature of each value, which the online policy reads
to tell easy tasks from hard ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from coachc.core.plan import Quantizer
from coachc.errors import ModelError
from coachc.frontend.model import Model
from coachc.passes.quantizer_nodes import (
    QuantizerNodes,
    codes_name,
    constant_parameters,
    feature_name,
    has_feature,
    input_parameters,
    parameter_name,
)
from coachc.passes.surgery import Tensors, export, import_graph, typed_variable


@dataclass(frozen=True, slots=True)
class Crossing:
    """How one boundary value leaves the device half and enters the cloud half.

    Attributes
    ----------
    value : str
        Its name in the model.
    name : str
        Its name in the unquantized halves.
    packed : bool
        Whether it crosses as codes; as it is otherwise.
    per_channel : bool
        Whether its quantizer has one scale per channel (axis 1) at some precision.
    """

    value: str
    name: str
    packed: bool = True
    per_channel: bool = False


def quantize_outputs(
    half: onnx.ModelProto,
    boundary: Sequence[Crossing],
    model: Model,
    *,
    keep: Sequence[str] = (),
    form: str = "qdq",
    int32_codes: bool = False,
) -> onnx.ModelProto:
    """Replace packed boundary values among the device half's outputs by their codes, and add their features.

    Parameters
    ----------
    half : onnx.ModelProto
        Device half as `passes.cut.split` gives it.
    boundary : sequence of Crossing
    model : Model
        The half's origin.
    keep : sequence of str
        Model outputs that the device makes: they stay outputs even where they cross as codes too.
    form : str
        One of `passes.quantizer_nodes.FORMS`.
    int32_codes : bool
        Arithmetic form only: codes leave as int32 instead of uint8.

    Returns
    -------
    onnx.ModelProto
        Its inputs are the half's, then scale, zero point and largest code of each packed value; its outputs are the
        boundary values, `keep`, and the feature of each packed value that has one.

    Raises
    ------
    coachc.errors.ModelError
        An input or output of the model has a name that is needed here.
    """
    graph = import_graph(half)
    tensors = Tensors(graph)
    outputs, features = list(graph.outputs), []
    for crossing in boundary:
        if not crossing.packed:
            continue
        value = tensors[crossing.name]
        _make_way(graph, tensors, crossing.value)
        parameters = input_parameters(crossing.value, value.shape, form, per_channel=crossing.per_channel)
        nodes = QuantizerNodes(graph, crossing.value, model.opset)
        real = nodes.as_float(value)
        codes = nodes.quantize(real, parameters, form, int32_codes=int32_codes)
        outputs[next(i for i, tensor in enumerate(outputs) if tensor.name == crossing.name)] = codes
        graph.inputs += [parameters.scale, parameters.zero_point, parameters.qmax]
        if has_feature(value.shape):
            features.append(nodes.pool(real))
    kept = [tensors[name] for name in keep if all(tensor.name != name for tensor in outputs)]
    graph.outputs = outputs + kept + features
    return export(graph, model)


def dequantize_inputs(
    half: onnx.ModelProto, boundary: Sequence[Crossing], model: Model, *, form: str = "qdq"
) -> onnx.ModelProto:
    """Replace packed boundary values among the cloud half's inputs by their uint8 codes.

    Returns
    -------
    onnx.ModelProto
        Its inputs are the boundary values, then scale and zero point of each packed one.

    Raises
    ------
    coachc.errors.ModelError
        An input or output of the model has a name that is needed here.
    """
    graph = import_graph(half)
    tensors = Tensors(graph)
    for crossing in boundary:
        if not crossing.packed:
            continue
        value = tensors[crossing.name]
        _make_way(graph, tensors, crossing.value)
        codes = gs.Variable(codes_name(crossing.value), np.dtype(np.uint8), value.shape)
        graph.inputs[next(i for i, tensor in enumerate(graph.inputs) if tensor.name == crossing.name)] = codes
        parameters = input_parameters(crossing.value, value.shape, form, per_channel=crossing.per_channel)
        QuantizerNodes(graph, crossing.value, model.opset).dequantize(codes, value, parameters, form)
        graph.inputs += [parameters.scale, parameters.zero_point]
    graph.toposort()
    return export(graph, model)


def insert_reference(model: Model, quantizers: Sequence[Quantizer], cloud_nodes: AbstractSet[str]) -> onnx.ModelProto:
    """The whole model with QuantizeLinear and DequantizeLinear where packed values cross, at one precision.

    What both halves are checked against, and what the accuracy of a cut means.

    Parameters
    ----------
    model : Model
    quantizers : sequence of Quantizer
    cloud_nodes : set of str
        Names of the ONNX nodes on the cloud: they read the rounded value.

    Returns
    -------
    onnx.ModelProto
        Its outputs are the model's, then the codes of each packed value.
    """
    graph = import_graph(model.proto)
    tensors = Tensors(graph)
    for quantizer in quantizers:
        if not quantizer.packed:
            continue
        value = typed_variable(tensors[quantizer.name], model.values[quantizer.name])
        _make_way(graph, tensors, quantizer.name)
        rounded = gs.Variable(f"{quantizer.name}/rounded", dtype=value.dtype, shape=value.shape)
        for node in graph.nodes:
            if node.name in cloud_nodes:
                _replace_input(node, value, rounded)
        nodes = QuantizerNodes(graph, quantizer.name, model.opset)
        parameters = constant_parameters(quantizer, len(value.shape), "qdq")
        codes = nodes.quantize(nodes.as_float(value), parameters, "qdq")
        nodes.dequantize(codes, rounded, parameters, "qdq")
        graph.outputs.append(codes)
    graph.toposort()
    return export(graph, model)


def _make_way(graph: gs.Graph, tensors: Tensors, value: str) -> None:
    """Give tensors of the model another name where they have one that a quantizer needs.

    A weight called like a graph input would silently become that input's default.
    """
    parameters = (parameter_name(value, parameter) for parameter in ("scale", "zero_point", "qmax"))
    for name in (codes_name(value), feature_name(value), *parameters):
        tensor = tensors.get(name)
        if tensor is None:
            continue
        if any(tensor is border for border in (*graph.inputs, *graph.outputs)):
            raise ModelError(
                f"'{value}' cannot be quantized: '{name}', a name its quantizer needs, is another value's",
                hint=f"rename '{name}' in the model, or cut it elsewhere",
            )
        if isinstance(tensor, gs.Constant):
            tensor.values = tensor.values  # loaded: weights not yet read are written under the name they came with
        tensor.name = f"{name}/of_the_model"


def _replace_input(node: gs.Node, old: gs.Tensor, new: gs.Tensor) -> None:
    """Make `node`, and what its bodies capture, read `new` instead of `old`."""
    node.inputs = [new if tensor is old else tensor for tensor in node.inputs]
    for body in (attribute for attribute in node.attrs.values() if isinstance(attribute, gs.Graph)):
        for inner in body.nodes:
            _replace_input(inner, old, new)
        body.outputs = [new if tensor is old else tensor for tensor in body.outputs]
