"""If as a parser takes it that looks for what a branch gives out among the layers that its nodes became."""

from __future__ import annotations

import onnx
from onnx import helper

from coachc.frontend import walk
from coachc.frontend.order import fresh, rename
from coachc.passes.lower.builder import Builder, Rewrite


def one_by_one(node: onnx.NodeProto, b: Builder) -> None:
    """One If for each output, each of which an Identity gives out; names of nodes are no beginnings of one another.

    What several outputs are computed from is computed for each of them.
    """
    outputs = [name for name in node.output if name]
    for place, name in enumerate(node.output):
        if not name:
            continue
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.output[:]
        copy.output.append(name)
        copy.name = node.name if name == outputs[-1] else b.value("If")
        for entry in copy.attribute:
            if entry.HasField("g"):
                entry.g.CopyFrom(_giving(entry.g, place, b, f"{copy.name}/{entry.name}" if len(outputs) > 1 else ""))
        b.nodes.append(copy)


def _giving(branch: onnx.GraphProto, place: int, b: Builder, within: str) -> onnx.GraphProto:
    """A branch that gives out one of its values, with names of its own where `within` says whose."""
    given = branch.output[place]
    result = onnx.GraphProto(name=branch.name)
    nodes: list[onnx.NodeProto] = []
    needed = {given.name}
    for inner in reversed(branch.node):
        if needed & set(inner.output):
            nodes.insert(0, inner)
            needed.update(walk.reads(inner))
    result.node.extend(nodes)
    result.initializer.extend(tensor for tensor in branch.initializer if tensor.name in needed)
    result.value_info.extend(value for value in branch.value_info if value.name in needed)
    result.output.append(given)
    if within:
        for graph in walk.graphs(result):
            rename(graph, {name: fresh(name, b.scope.taken) for name in walk.made(graph)})
        for inner in walk.nodes(result):
            inner.name = fresh(f"{within}/{inner.name}", b.scope.taken)
    source = result.output[0].name
    made = fresh(f"{source}/out", b.scope.taken)
    result.node.append(helper.make_node("Identity", [source], [made], name=made))
    result.output[0].name = made
    _part_names(result, b)
    return result


def _part_names(graph: onnx.GraphProto, b: Builder) -> None:
    """Rename nodes until no name begins with the whole name of another one."""
    nodes = sorted(walk.nodes(graph), key=lambda inner: inner.name)
    for place, inner in enumerate(nodes):
        if any(other.name.startswith(inner.name) for other in nodes[place + 1 : place + 2]):
            inner.name = fresh(f"{inner.name}#", b.scope.taken)


#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    f"If/{limit}": one_by_one
    for limit in (
        "if-first-outputs",
        "if-names",
        "if-one-layer",
        "if-order",
        "if-outputs-found",
        "if-prefix-free",
        "if-several-outputs",
        "if-then-first-outputs",
        "if-then-found",
        "if-then-order",
    )
}
