"""What no split could reproduce or compare: randomness, training mode, inputs and outputs that are no tensors."""

from __future__ import annotations

import onnx

from coachc.errors import ModelError
from coachc.frontend import walk

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_EVAL = "export the model in evaluation mode (torch: model.eval())"


def refuse_unknown(model: onnx.ModelProto) -> None:
    """Refuse operators that ai.onnx does not have at the model's opset.

    Raises
    ------
    ModelError
        Names the node.
    """
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    domains = {entry.domain for entry in model.opset_import}
    for node in walk.nodes(model.graph):
        if node.domain not in domains:
            raise ModelError(
                f"{walk.label(node)} is of domain '{node.domain}', whose opset the model does not state",
                hint="export the model again",
            )
        if not node.domain and not onnx.defs.has(node.op_type, opset):
            raise ModelError(
                f"{walk.label(node)} is no operator of ai.onnx opset {opset}",
                hint="re-export with an opset that has it, or give a custom operator its domain",
            )


def refuse_random(model: onnx.ModelProto, *, final: bool = False) -> None:
    """Refuse operators whose results differ from run to run.

    Parameters
    ----------
    model : ModelProto
    final : bool
        Constants are folded, so a Dropout whose mode is still no constant is refused as well.

    Raises
    ------
    ModelError
        Names the node.
    """
    constants = {tensor.name: tensor for graph in walk.graphs(model.graph) for tensor in graph.initializer}
    for node in walk.nodes(model.graph):
        if node.op_type == "Constant" and not node.domain and (value := walk.attribute(node, "value")) is not None:
            constants[node.output[0]] = value
    for node in walk.nodes(model.graph):
        if node.domain:
            continue
        if node.op_type in _RANDOM:
            raise ModelError(
                f"{walk.label(node)} makes random numbers, so two halves could not be compared with the whole",
                hint="remove the operator, or export the model in evaluation mode",
            )
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            mode = constants.get(node.input[2])
            if (mode is None and final) or (mode is not None and onnx.numpy_helper.to_array(mode).any()):
                raise ModelError(f"{walk.label(node)} is in training mode", hint=_EVAL)
        if node.op_type == "BatchNormalization" and (walk.attribute(node, "training_mode", 0) or any(node.output[1:])):
            raise ModelError(f"{walk.label(node)} is in training mode", hint=_EVAL)


def refuse_non_tensors(model: onnx.ModelProto) -> None:
    """Refuse graph inputs and outputs that are sequences, maps, optionals, sparse or untyped, no input, and strings.

    Raises
    ------
    ModelError
        Names the value and its type.
    """
    graph = model.graph
    if not graph.input:
        raise ModelError(
            "the model has no input, so there is nothing to send and nothing to compute",
            hint="export the model with the tensor that it is to work on as an input",
        )
    for role, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            kind = value.type.WhichOneof("value")
            # An output may lack its type: inference finds it. An input cannot.
            if kind != "tensor_type" and (kind or role == "input"):
                found = kind.removesuffix("_type") if kind else "no type"
                raise ModelError(
                    f"graph {role} '{value.name}' is not a tensor",
                    context=("expected     tensor", f"found        {found}"),
                    hint="export the part of the model between plain tensors",
                )
    for inner in walk.graphs(graph):
        for value in (*inner.input, *inner.output, *inner.value_info):
            if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
                raise _strings(f"value '{value.name}'")
        for tensor in inner.initializer:
            if tensor.data_type == onnx.TensorProto.STRING:
                raise _strings(f"initializer '{tensor.name}'")
    for node in walk.nodes(graph):
        if node.op_type == "Constant" and not node.domain:
            if any(entry.name in ("value_string", "value_strings") for entry in node.attribute):
                raise _strings(walk.label(node))
            value = walk.attribute(node, "value")
            if value is not None and value.data_type == onnx.TensorProto.STRING:
                raise _strings(walk.label(node))


def _strings(what: str) -> ModelError:
    return ModelError(f"{what} holds strings, which are not supported", hint="leave text processing out of the export")
