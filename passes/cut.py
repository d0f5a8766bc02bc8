"""Split a model at a partition into two models that run one after the other.

The device half takes the model's inputs and gives the boundary values and those model outputs that it makes; the cloud
half takes the boundary values and gives the others. Constants that both need are in both. Nothing is quantized here
(`passes.insert_qdq` does that).
"""

from __future__ import annotations

import onnx

from coachc.core.graph import GraphView
from coachc.errors import InternalError
from coachc.frontend.model import Model
from coachc.passes.extract import as_they_are, extract

#: A model input that the cloud needs as it is crosses under this name: a graph cannot return its own input.
SENT_SUFFIX = "/sent"


def split(model: Model, graph: GraphView, mask: int) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Cut `model` so that the nodes in `mask` run on the device.

    Parameters
    ----------
    model : Model
    graph : GraphView
        Fused operators of `model`.
    mask : int
        An ideal other than the full one.

    Returns
    -------
    device, cloud : onnx.ModelProto
        Unquantized halves. The device half gives `boundary_name(...)` of each value of the cut, then the model outputs
        made on the device; the cloud half takes the same names.
    """
    if mask == graph.full_mask or not graph.is_ideal(mask):
        raise InternalError(f"mask {mask:#x} is not an ideal that leaves work to the cloud")
    crossing = [(name, boundary_name(graph, name)) for name in graph.cut_values(mask)]
    kept = [both for both in as_they_are(outputs_on_device(graph, mask)) if both not in crossing]
    device = extract(model, as_they_are(graph.inputs), [*crossing, *kept])
    cloud = extract(model, crossing, as_they_are(outputs_on_cloud(graph, mask)))
    return device, cloud


def boundary_name(graph: GraphView, value: str) -> str:
    """Name under which an unquantized boundary value crosses."""
    return f"{value}{SENT_SUFFIX}" if value in graph.inputs else value


def outputs_on_device(graph: GraphView, mask: int) -> tuple[str, ...]:
    """Model outputs made on the device, and those that no operator makes."""
    there = set(outputs_on_cloud(graph, mask))
    return tuple(name for name in graph.outputs if name not in there)


def outputs_on_cloud(graph: GraphView, mask: int) -> tuple[str, ...]:
    """Model outputs made on the cloud."""
    made = {name for node in graph.nodes_outside(mask) for name in node.outputs}
    return tuple(name for name in graph.outputs if name in made)
