"""Walking a graph and the bodies of its If, Loop and Scan nodes. Changes nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, then every body below it, outer before inner."""
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from graphs(body)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of the bodies below it."""
    for inner in graphs(graph):
        yield from inner.node


def made(graph: onnx.GraphProto) -> Iterator[str]:
    """Names a graph itself defines: inputs, then initializers that are not inputs, then node outputs."""
    inputs = [value.name for value in graph.input]
    yield from inputs
    seen = set(inputs)
    yield from (tensor.name for tensor in graph.initializer if tensor.name not in seen)
    yield from (sparse.values.name for sparse in graph.sparse_initializer if sparse.values.name not in seen)
    for node in graph.node:
        yield from (name for name in node.output if name)


def reads(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names a node needs from its own graph: its inputs, and what its bodies capture. Each once, in order."""
    names = dict.fromkeys(name for name in node.input if name)
    for body in bodies(node):
        names.update(dict.fromkeys(captured(body)))
    return tuple(names)


def captured(body: onnx.GraphProto) -> tuple[str, ...]:
    """Names a body uses and does not define."""
    own = set(made(body))
    names: dict[str, None] = {}
    for node in body.node:
        names.update(dict.fromkeys(name for name in reads(node) if name not in own))
    names.update(dict.fromkeys(value.name for value in body.output if value.name not in own))
    return tuple(names)


def label(node: onnx.NodeProto) -> str:
    """How an error names a node."""
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    if node.name:
        return f"node '{node.name}' ({kind})"
    output = next((name for name in node.output if name), "")
    return f"the unnamed {kind} node that makes '{output}'"


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or `default` when it is absent."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default
