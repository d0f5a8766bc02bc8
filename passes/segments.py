"""Split a model at several nested partitions into segments that run one after the other.

A segment takes whatever it needs of what was made before it, the model's inputs included, and gives whatever is needed
after it, model outputs included: a value that skips segments is made once and read wherever it is needed. Every
operator, and with it every weight, is in one segment; constants that several segments need are in each. The edge of a
cut has no operators of the model; `passes.insert_qdq` puts quantizers there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from coachc.core.graph import GraphView
from coachc.errors import InternalError
from coachc.frontend.model import Model
from coachc.passes.extract import as_they_are, extract
from coachc.passes.surgery import export


def split_segments(model: Model, graph: GraphView, masks: Sequence[int]) -> list[onnx.ModelProto]:
    """Cut `model` at every partition of a chain.

    Parameters
    ----------
    model : Model
    graph : GraphView
        Fused operators of `model`.
    masks : sequence of int
        Ideals, each a proper subset of the next; the first is not empty, the last holds every operator.

    Returns
    -------
    list of onnx.ModelProto
        One more than cuts: segment k holds the operators in `masks[k]` and not in `masks[k - 1]`. Its inputs and
        outputs have the names that they have in the model.
    """
    nested = all(not one & ~other and one != other for one, other in zip((0, *masks), masks, strict=False))
    if not masks or not nested or masks[-1] != graph.full_mask or not all(map(graph.is_ideal, masks)):
        raise InternalError(f"masks {[hex(mask) for mask in masks]} are no chain of ideals up to the whole model")
    before = (0, *masks[:-1])
    return [_segment(model, graph, low, high) for low, high in zip(before, masks, strict=True)]


def _segment(model: Model, graph: GraphView, low: int, high: int) -> onnx.ModelProto:
    members = graph.nodes_in(high & ~low)
    read = {name for node in members for name in node.inputs}
    made = {name for node in members for name in node.outputs}
    taken = [name for name in graph.ordered_values if name in read and name not in made]
    crossing = set(graph.cut_values(high)) | set(graph.outputs)
    given = [name for name in graph.ordered_values if name in made and name in crossing]
    if not low:  # model outputs that no operator makes
        given += [name for name in graph.outputs if name not in graph.producer and name not in graph.inputs]
    return extract(model, as_they_are(taken), as_they_are(given))


def edge(model: Model, graph: GraphView, values: Sequence[tuple[str, str]]) -> onnx.ModelProto:
    """A model that gives values as they are, each under a second name where it has one.

    Parameters
    ----------
    model : Model
    graph : GraphView
    values : sequence of (str, str)
        What a value is called where it enters and where it leaves.
    """
    border = gs.Graph(opset=model.opset, name="edge", import_domains=model.proto.opset_import)
    for enters, leaves in values:
        value = graph.values[enters] if enters in graph.values else graph.values[leaves]
        made = gs.Variable(enters, np.dtype(value.dtype), list(value.shape))
        border.inputs.append(made)
        if leaves != enters:
            source, made = made, gs.Variable(leaves, np.dtype(value.dtype), list(value.shape))
            border.nodes.append(gs.Node("Identity", name=leaves, inputs=[source], outputs=[made]))
        border.outputs.append(made)
    return export(border, model)
