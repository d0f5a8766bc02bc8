"""Who makes what: unique names, every value made once, nodes in topological order, nothing that leads nowhere.

Works on the graph and on the bodies of If, Loop and Scan alike. A body's values that reuse a name of the graph around
it, or of a sibling body, are renamed, so that a name alone identifies a value.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import onnx

from coachc.errors import ModelError
from coachc.frontend import walk

_REEXPORT = "the file is damaged or was edited by hand: export the model again"


def order(model: onnx.ModelProto) -> onnx.ModelProto:
    """Check and unique the names, sort the nodes, and drop what no output needs.

    Parameters
    ----------
    model : ModelProto
        Without model-local functions and sparse initializers.

    Returns
    -------
    ModelProto
        A copy; equal to `model` if nothing had to change.

    Raises
    ------
    ModelError
        A value made twice, used but never made, or nodes in a cycle.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _check_made_once(result.graph)
    _unique_body_values(result.graph)
    _sort(result.graph, frozenset())
    _prune(result.graph)
    _name_nodes(result.graph)
    return result


def _check_made_once(graph: onnx.GraphProto) -> None:
    for inner in walk.graphs(graph):
        seen: set[str] = set()
        for name in walk.made(inner):
            if name in seen:
                raise ModelError(f"value '{name}' is made more than once in graph '{inner.name}'", hint=_REEXPORT)
            seen.add(name)
        outputs = [value.name for value in inner.output]
        if inner is graph and len(set(outputs)) != len(outputs):
            twice = next(name for name in outputs if outputs.count(name) > 1)
            raise ModelError(f"graph output '{twice}' is listed more than once", hint="list it once")


def _unique_body_values(graph: onnx.GraphProto) -> None:
    taken: set[str] = set()
    # Every name of the model counts, not only those met so far: a fresh name must not clash with a later body's.
    everything = {name for inner in walk.graphs(graph) for name in (*walk.made(inner), *walk.captured(inner))}
    for inner in walk.graphs(graph):
        clashes = {}
        for name in walk.made(inner):
            if name in taken:
                clashes[name] = fresh(name, everything)
        if clashes:
            rename(inner, clashes)
        taken.update(walk.made(inner))


def fresh(stem: str, taken: set[str]) -> str:
    """A name that starts with `stem` and is not in `taken`; it is added there."""
    number = 1
    while f"{stem}_{number}" in taken:
        number += 1
    taken.add(f"{stem}_{number}")
    return f"{stem}_{number}"


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values of a graph in place, also where its bodies capture them."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for body in walk.bodies(node):
            shadowed = set(walk.made(body))
            rename(body, {old: new for old, new in names.items() if old not in shadowed})


def _sort(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
    """Stable topological order: among nodes that are ready, the one that came first in the file."""
    visible = outer | frozenset(walk.made(graph))
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    waits: list[set[int]] = []
    readers: list[list[int]] = [[] for _ in graph.node]
    for index, node in enumerate(graph.node):
        needed = walk.reads(node)
        for name in needed:
            if name not in visible:
                raise ModelError(f"{walk.label(node)} reads value '{name}', which nothing makes", hint=_REEXPORT)
        waits.append({producer[name] for name in needed if name in producer})
        for source in waits[index]:
            readers[source].append(index)
    for value in graph.output:
        if value.name not in visible:
            raise ModelError(f"output '{value.name}' of graph '{graph.name}' is made by nothing", hint=_REEXPORT)

    pending = [len(sources) for sources in waits]
    ready = [index for index, count in enumerate(pending) if not count]
    ordered: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(index)
        for reader in readers[index]:
            pending[reader] -= 1
            if not pending[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(graph.node):
        node = graph.node[_on_cycle(waits, set(range(len(waits))) - set(ordered))]
        raise ModelError(f"{walk.label(node)} is part of a cycle: it needs its own result", hint=_REEXPORT)
    if ordered != list(range(len(ordered))):
        nodes = [graph.node[index] for index in ordered]
        _replace_nodes(graph, nodes)
    for node in graph.node:
        for body in walk.bodies(node):
            _sort(body, visible)


def _on_cycle(waits: list[set[int]], stuck: set[int]) -> int:
    """Walk backwards among nodes that never became ready until one comes up again."""
    seen: set[int] = set()
    index = min(stuck)
    while index not in seen:
        seen.add(index)
        index = min(waits[index] & stuck)
    return index


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _prune(graph: onnx.GraphProto) -> None:
    """Drop nodes that reach no output and initializers that nothing reads; bodies first, since they capture."""
    for node in graph.node:
        for body in walk.bodies(node):
            _prune(body)
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(walk.reads(node))
    if len(kept) < len(graph.node):
        _replace_nodes(graph, kept[::-1])
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in needed:
            del graph.initializer[index]


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Give unnamed nodes, and all but the first of equal names, a name made of operator and position."""
    taken = {node.name for node in walk.nodes(graph) if node.name}
    seen: set[str] = set()
    for position, node in enumerate(walk.nodes(graph)):
        if not node.name or node.name in seen:
            name = f"{node.op_type}_{position}"
            if name in taken:
                name = fresh(name, taken)
            taken.add(name)
            node.name = name
        seen.add(node.name)
