"""Which operators each target builds, found before the search so that no plan is made that cannot be built.

The whole model is lowered for a target as its halves will be, and the target's rules say what is left. Where the whole
cannot be lowered, every operator that differs from those before is lowered by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from coachc.core.graph import GraphView, Value
from coachc.core.placement import ANYWHERE, Placement
from coachc.cost.device import DeviceSpec
from coachc.emit.lowering import limits_of, lowered_for
from coachc.emit.two_halves import Emitted
from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.model import Model
from coachc.frontend.value_table import tensor_info
from coachc.targets.rules import errors
from coachc.targets.target import Target, target_of
from coachc.targets.violation import Violation


def placement_of(model: Model, graph: GraphView, device: DeviceSpec, cloud: DeviceSpec) -> Placement:
    """What the targets of both sides refuse of a model.

    Parameters
    ----------
    model : Model
    graph : GraphView
        Of that model.
    device, cloud : DeviceSpec
    """
    return placements_of(model, graph, [(device, cloud)])[0]


def placements_of(
    model: Model, graph: GraphView, pairs: Sequence[tuple[DeviceSpec, DeviceSpec]]
) -> tuple[Placement, ...]:
    """The same of several pairs of device and cloud: the model is lowered once for each target among them.

    Parameters
    ----------
    model : Model
    graph : GraphView
    pairs : sequence of (DeviceSpec, DeviceSpec)
    """
    # By identity: a target holds tables, which have no hash; two that are equal are asked twice, which costs time only.
    refused = {id(spec): _refused(model, graph, spec) for spec in {id(s): s for pair in pairs for s in pair}.values()}
    return tuple(
        _placement(model, graph, {"device": device, "cloud": cloud}, (refused[id(device)], refused[id(cloud)]))
        for device, cloud in pairs
    )


def _placement(
    model: Model, graph: GraphView, sides: dict[str, DeviceSpec], refused: tuple[dict[int, str], dict[int, str]]
) -> Placement:
    if all(target_of(spec).rules is None for spec in sides.values()):
        return ANYWHERE
    crossings: dict[str, str] = {}
    known: dict[tuple[str, int], str] = {}
    for name, value in graph.values.items():
        if value.cuttable and not value.quantizable:
            kind = (value.dtype, len(value.shape))
            if kind not in known:
                known[kind] = next(filter(None, (_end(value, model.opset, spec) for spec in sides.values())), "")
            if known[kind]:
                crossings[name] = f"'{name}' {known[kind]}"
    return Placement(*refused, crossings)


def refusals(emitted: Emitted, model: onnx.ModelProto, device: DeviceSpec, cloud: DeviceSpec) -> dict[str, str]:
    """What is still refused of what was emitted, by the name of the cut.

    Parameters
    ----------
    emitted : Emitted
    model : ModelProto
        The whole model, which a cut may run as it is.
    device, cloud : DeviceSpec
    """
    found: dict[str, str] = {}
    known: dict[tuple[str, str], str] = {}
    for cut in emitted.cuts:
        for side, spec in (("device", device), ("cloud", cloud)):
            target = target_of(spec)
            for path in cut.run_by(side):
                if (path, side) not in known:
                    left = errors(emitted.models.get(path, model), target)
                    known[path, side] = _said(left[0], target) if left else ""
                if known[path, side]:
                    found.setdefault(cut.name, known[path, side])
    return found


def _refused(model: Model, graph: GraphView, spec: DeviceSpec) -> dict[int, str]:
    target = target_of(spec)
    if target.rules is None:
        return {}
    try:
        built = lowered_for(model.proto, [spec]).model
    except ModelError:
        return _one_by_one(model, graph, spec)
    place = {member: index for index, node in enumerate(graph.nodes) for member in node.members}
    found: dict[int, str] = {}
    left = errors(built, target)
    if not left:
        return found
    owners = _owners(built, place)
    for violation in left:
        for index in owners.get(violation.node, ()):
            found.setdefault(index, _said(violation, target))
    return found


def _owners(built: onnx.ModelProto, place: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Operators by the names of nodes, and of the values that they read or make, of a model that was lowered.

    A node that took part in replacing another leads to the one that kept its name.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in built.graph.node:
        for name in walk.reads(node):
            readers.setdefault(name, []).append(node)
    owners: dict[str, tuple[int, ...]] = {}
    for node in reversed(built.graph.node):
        if node.name in place:
            owners[node.name] = (place[node.name],)
        else:
            below = [index for name in node.output for reader in readers.get(name, ()) for index in owners[reader.name]]
            owners[node.name] = tuple(dict.fromkeys(below))
        for body in walk.bodies(node):
            for inner in walk.nodes(body):
                owners.setdefault(inner.name, owners[node.name])
    ends: dict[str, tuple[int, ...]] = {}
    for value in built.graph.input:
        around = [index for reader in readers.get(value.name, ()) for index in owners[reader.name]]
        ends[value.name] = tuple(dict.fromkeys(around))
    for value in built.graph.output:
        ends[value.name] = next((owners[node.name] for node in built.graph.node if value.name in node.output), ())
    return {**ends, **owners}


def _one_by_one(model: Model, graph: GraphView, spec: DeviceSpec) -> dict[int, str]:
    """What each operator says that is lowered by itself."""
    weights = {tensor.name: tensor for tensor in model.proto.graph.initializer}
    known: dict[bytes, str] = {}
    nodes = {node.name: node for node in model.proto.graph.node}
    found: dict[int, str] = {}
    for index, operator in enumerate(graph.nodes):
        for member in operator.members:
            alone = _alone(model, nodes[member], weights)
            same = _signature(alone)
            if same not in known:
                known[same] = _against(alone, spec)
            if known[same]:
                found.setdefault(index, f"{walk.label(nodes[member])}: {known[same]}")
    return found


def _alone(model: Model, node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> onnx.ModelProto:
    """A model of one node, with the constants that it reads."""
    read = walk.reads(node)
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [_info(model.values[name]) for name in read if name in model.values],
        [_info(model.values[name]) for name in node.output if name in model.values],
        [weights[name] for name in read if name in weights],
    )
    return onnx.helper.make_model(graph, opset_imports=model.proto.opset_import, ir_version=model.proto.ir_version)


def _info(value: Value) -> onnx.ValueInfoProto:
    return tensor_info(value) if value.cuttable else onnx.ValueInfoProto(name=value.name)


def _signature(alone: onnx.ModelProto) -> bytes:
    """Equal for operators that differ in names and in long weights only."""
    copy = onnx.ModelProto()
    copy.CopyFrom(alone)
    names: dict[str, str] = {}
    for graph in walk.graphs(copy.graph):
        for tensor in graph.initializer:
            if len(tensor.raw_data) > 256:
                tensor.raw_data = b""
    for item in (*copy.graph.input, *copy.graph.output, *copy.graph.initializer):
        item.name = names.setdefault(item.name, str(len(names)))
    node = copy.graph.node[0]
    node.name = ""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    return copy.SerializeToString(deterministic=True)


def _against(alone: onnx.ModelProto, spec: DeviceSpec) -> str:
    target = target_of(spec)
    try:
        left = errors(lowered_for(alone, [spec]).model, target)
    except ModelError as exc:
        return f"{exc.message.partition(': ')[2] or exc.message} ({target.title})"
    return f"{left[0].reason} ({target.title})" if left else ""


def _end(value: Value, opset: int, spec: DeviceSpec) -> str:
    """Why a target takes no value of this type as an input or output; empty if it does."""
    target = target_of(spec)
    if target.rules is None:
        return ""
    ends = [onnx.helper.make_tensor_value_info(n, _info(value).type.tensor_type.elem_type, value.shape) for n in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "end", ends[:1], ends[1:])
    version = onnx.helper.make_opsetid("", min(opset, limits_of(spec, onnx.ModelProto()).opset))
    left = errors(onnx.helper.make_model(graph, opset_imports=[version], ir_version=8), target)
    return f"is {value.dtype}, which {target.title} has no inputs or outputs of" if left else ""


def _said(violation: Violation, target: Target) -> str:
    return f"{violation.label}: {violation.reason} ({target.title})"
