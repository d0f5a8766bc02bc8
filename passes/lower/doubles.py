"""float64 inside a model as float32, for targets without double precision. The only rewrite that loses digits."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_count import Tally

#: Attributes that name the type of a result.
_TYPES = ("to", "dtype", "output_dtype")


def doubles_in(model: onnx.ModelProto) -> str:
    """Where a model has float64, "" where it has none."""
    double = TensorProto.DOUBLE
    for graph in walk.graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == double:
                return f"value '{value.name}'"
        for tensor in graph.initializer:
            if tensor.data_type == double:
                return f"initializer '{tensor.name}'"
        for node in graph.node:
            for entry in node.attribute:
                if entry.t.data_type == double or (entry.name in _TYPES and entry.i == double):
                    return walk.label(node)
    return ""


def narrow(model: onnx.ModelProto, limits: Limits, tally: Tally) -> onnx.ModelProto:
    """Every constant and every Cast that is float64 as float32; the very model given where there is none.

    Raises
    ------
    coachc.errors.ModelError
        An input or an output of the model is float64, which is not ours to change; or a constant is out of range.
    """
    if not doubles_in(model):
        return model
    double = TensorProto.DOUBLE
    work = onnx.ModelProto()
    work.CopyFrom(model)
    for value in (*work.graph.input, *work.graph.output):
        if value.type.tensor_type.elem_type == double:
            raise ModelError(
                f"'{value.name}' is float64, which {limits.name} does not take",
                hint="export the model with float32 inputs and outputs",
            )
    for graph in walk.graphs(work.graph):
        for tensor in graph.initializer:
            _narrow(tensor, limits, tally)
        for node in graph.node:
            for entry in node.attribute:
                if entry.HasField("t"):
                    _narrow(entry.t, limits, tally)
                elif entry.name in _TYPES and entry.i == double:
                    entry.i = TensorProto.FLOAT
                    tally.other("float64")
        kept = [value for value in graph.value_info if value.type.tensor_type.elem_type != double]
        if len(kept) < len(graph.value_info):
            del graph.value_info[:]
            graph.value_info.extend(kept)
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type == double:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    return work


def _narrow(tensor: onnx.TensorProto, limits: Limits, tally: Tally) -> None:
    if tensor.data_type != TensorProto.DOUBLE:
        return
    array = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        small = array.astype(np.float32)
    if (np.isinf(small) & ~np.isinf(array)).any():
        raise ModelError(
            f"constant '{tensor.name}' is beyond float32, and {limits.name} has no float64",
            hint="scale it, or export the model in float32",
        )
    tensor.CopyFrom(numpy_helper.from_array(small, tensor.name))
    tally.other("float64")
