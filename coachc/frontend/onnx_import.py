"""An ONNX vision model of the wild, read into the one form that the rest of the compiler handles.

Steps, each a function of its own: read files safely, check the opset, normalise and sort, refuse what cannot be split,
fix the input shapes, lift to opset 13, write operators on codes as Q/DQ, fold constants while inferring shapes,
tabulate the values, check.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import onnx

from coachc.core.graph import Value
from coachc.frontend.as_qdq import as_qdq
from coachc.frontend.check_model import check
from coachc.frontend.fold import fold_constants
from coachc.frontend.model import Model
from coachc.frontend.normalize import normalize
from coachc.frontend.opset import check_opset, lift, stamp_ir
from coachc.frontend.order import order
from coachc.frontend.read import read_model
from coachc.frontend.refuse import refuse_non_tensors, refuse_random, refuse_unknown
from coachc.frontend.shapes import bind_inputs, known_values, static_shape
from coachc.frontend.value_table import trace_values


def import_model(
    path: str | os.PathLike[str], *, batch: int = 1, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Model:
    """Read, normalise and check an ONNX model.

    Parameters
    ----------
    path : path
        The .onnx file; external data files beside it are loaded.
    batch : int
        Size of the first axis of inputs that leave it open.
    input_shapes : mapping of str to tuple of int, optional
        Whole shapes, for inputs with other open axes.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The file or the model in it cannot be used; says which node, value or file, and what would help.
    ToolchainError
        The model must be run (opset below 13, or shapes that inference cannot tell) and onnxruntime is missing.

    Examples
    --------
    >>> import_model("resnet50.onnx", input_shapes={"input": (1, 3, 224, 224)})  # doctest: +SKIP
    """
    source = read_model(path)
    check_opset(source.proto)
    proto = normalize(source.proto)
    refuse_unknown(proto)
    refuse_random(proto)
    refuse_non_tensors(proto)
    proto = bind_inputs(proto, batch=batch, input_shapes=input_shapes)
    proto = stamp_ir(order(as_qdq(lift(proto))))
    values, proto = fold_and_trace(proto)
    refuse_random(proto, final=True)
    refuse_non_tensors(proto)
    check(proto)
    return Model(proto, values, source.sha256, source.name)


def fold_and_trace(proto: onnx.ModelProto) -> tuple[dict[str, Value], onnx.ModelProto]:
    """Fold and tabulate; where only a run could tell a shape, fold again what follows from it."""
    hints: list[onnx.ValueInfoProto] = []
    while True:
        folded = order(fold_constants(proto, hints=hints))
        values, traced = trace_values(folded)
        known = known_values(folded)
        found = [
            value
            for name, value in known_values(traced).items()
            if static_shape(value) is not None and (name not in known or static_shape(known[name]) is None)
        ]
        if not found or not any(node.op_type in ("Shape", "Size") for node in folded.graph.node):
            return values, traced
        hints.extend(found)
