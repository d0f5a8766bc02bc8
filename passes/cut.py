"""Split a model at a partition into two models that run one after the other.

The device half takes the model's inputs and gives the boundary values and those model outputs that it makes; the cloud
half takes the boundary values and gives the others. Constants that both need are in both. Nothing is quantized here
(`passes.insert_qdq` does that).
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx_graphsurgeon as gs

from coachc.core.graph import GraphView
from coachc.errors import InternalError
from coachc.frontend.fuse import captured_and_own_inputs
from coachc.frontend.model import Model
from coachc.passes.surgery import Tensors, constant_nodes, export, import_graph, typed_variable

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
    cut = graph.cut_values(mask)
    on_device, on_cloud = set(graph.members_in(mask)), graph.members_outside(mask)

    device = import_graph(model.proto)
    tensors = Tensors(device)
    sent = []
    for name in cut:
        tensor = tensors[name]
        if name in graph.inputs:
            copy = gs.Variable(boundary_name(graph, name), dtype=tensor.dtype, shape=tensor.shape)
            device.nodes.append(gs.Node("Identity", name=f"{name}{SENT_SUFFIX}", inputs=[tensor], outputs=[copy]))
            on_device.add(f"{name}{SENT_SUFFIX}")
            tensor = copy
        sent.append(typed_variable(tensor, graph.values[name]))
    kept = [tensors[name] for name in outputs_on_device(graph, mask)]
    device.outputs = sent + [tensor for tensor in kept if all(tensor is not s for s in sent)]
    keep_members(device, on_device, model)

    cloud = import_graph(model.proto)
    tensors = Tensors(cloud)
    for name in cut:
        tensor = typed_variable(tensors[name], graph.values[name])
        tensor.inputs.clear()
        tensor.name = boundary_name(graph, name)
    cloud.inputs = [tensors[name] for name in cut]
    cloud.outputs = [tensors[name] for name in outputs_on_cloud(graph, mask)]
    keep_members(cloud, on_cloud, model)
    return export(device, model), export(cloud, model)


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


def keep_members(graph: gs.Graph, members: Iterable[str], model: Model) -> None:
    """Drop every node that is neither a member nor a constant a member reads."""
    wanted = set(members)
    constants = constant_nodes(model)
    for node in reversed(model.proto.graph.node):
        if node.name in wanted:
            wanted.update(constants[name] for name in captured_and_own_inputs(node) if name in constants)
    graph.nodes = [node for node in graph.nodes if node.name in wanted]
