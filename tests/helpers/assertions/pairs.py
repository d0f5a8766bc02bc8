"""A model that an assertion takes and one that it refuses, and the shortest way to both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from tests.helpers.onnx_models import info, net, op


@dataclass(frozen=True)
class Sides:
    """Both sides of an assertion.

    Attributes
    ----------
    taken, refused : tuple of ModelProto
        Valid for onnx and, unless `runs` says otherwise, for ONNX Runtime.
    runs : bool
        False where ONNX Runtime has no kernel for them.
    rtx : str
        Why the parser of TensorRT for RTX says something else than the rule; empty where it has to say the same.
    """

    taken: tuple[onnx.ModelProto, ...]
    refused: tuple[onnx.ModelProto, ...]
    runs: bool = True
    rtx: str = ""


def one(
    op_type: str,
    inputs: str = "x",
    outputs: str = "y",
    *,
    x: tuple[Sequence[int], str] = ((1, 4, 8, 8), "float32"),
    more: Sequence[onnx.ValueInfoProto] = (),
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 13,
    **attributes: object,
) -> onnx.ModelProto:
    """A model of one node "n"; `x` is shape and type of its input "x", `more` the others that are computed."""
    node = op(op_type, inputs, outputs, name="n", **attributes)
    return whole([node], [info("x", *x), *more], [name for name in node.output if name], weights, opset=opset)


def whole(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 13,
) -> onnx.ModelProto:
    """A model whose outputs have the types and shapes that inference finds."""
    model = net(nodes, inputs, [], weights, opset=opset)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {value.name: value for value in (*inferred.value_info, *inferred.input)}
    model.graph.output.extend(found.get(name, onnx.helper.make_empty_tensor_value_info(name)) for name in outputs)
    return model
