"""A model at one task and at several: what grows with their number, and along which axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx
import onnx.shape_inference

from coachc.frontend import walk
from coachc.frontend.shapes import Shape, known_values, static_shape

#: How many tasks the second model is made for: no size that models are usually made of.
TASKS = 3


class FixedBatch(Exception):
    """A model cannot take another number of tasks.

    Attributes
    ----------
    node : str
        The node, or input or output, that keeps it from that, described; "" where it is none.
    reason : str
    """

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}" if node else reason)
        self.node = node
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Growth:
    """A value grows along `axis`, where it has `size` rows for one task."""

    axis: int
    size: int


def same_nodes(one: onnx.ModelProto, many: onnx.ModelProto) -> None:
    """Whether both have the same nodes, which then differ in constants at most.

    Raises
    ------
    FixedBatch
        Names the first node that differs.
    """
    for node, other in zip(one.graph.node, many.graph.node, strict=False):
        if node.SerializeToString(deterministic=True) != other.SerializeToString(deterministic=True):
            raise FixedBatch(walk.label(node), f"it is another node for {TASKS} tasks than for one")
    if len(one.graph.node) != len(many.graph.node):
        longer = max(one.graph.node, many.graph.node, key=len)
        node = longer[min(len(one.graph.node), len(many.graph.node))]
        raise FixedBatch(walk.label(node), f"the model has other nodes for {TASKS} tasks than for one")


def shapes_of(model: onnx.ModelProto) -> dict[str, Shape]:
    """By value: its shape, where it is known."""
    typed = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {name: static_shape(value) for name, value in known_values(typed).items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def growths(
    graph: onnx.GraphProto, before: Mapping[str, Shape], after: Mapping[str, Shape]
) -> dict[str, Growth | None]:
    """By value: how it grows, None where it stays as it is. Values whose shape is not known are left out.

    Parameters
    ----------
    graph : onnx.GraphProto
    before, after : mapping of str to tuple of int
        Shapes for one task and for `TASKS`.

    Raises
    ------
    FixedBatch
        A value grows otherwise than with the number of tasks; names the node that makes it.
    """
    found: dict[str, Growth | None] = {}
    for name in _in_order(graph):
        if name in before and name in after:
            found[name] = _growth(name, before[name], after[name], graph)
    return found


def maker(graph: onnx.GraphProto, name: str) -> str:
    """The node that makes a value, or the input, in words."""
    node = next((node for node in graph.node if name in node.output), None)
    return f"input '{name}'" if node is None else walk.label(node)


def _in_order(graph: onnx.GraphProto) -> Iterable[str]:
    yield from (value.name for value in graph.input)
    yield from (name for node in graph.node for name in node.output if name)


def _growth(name: str, one: Shape, many: Shape, graph: onnx.GraphProto) -> Growth | None:
    if one == many:
        return None
    changed = [axis for axis, (size, other) in enumerate(zip(one, many, strict=False)) if size != other]
    if len(one) == len(many) and len(changed) == 1 and many[changed[0]] == TASKS * one[changed[0]]:
        return Growth(changed[0], one[changed[0]])
    sizes = " and ".join("x".join(map(str, shape)) or "a scalar" for shape in (one, many))
    raise FixedBatch(maker(graph, name), f"'{name}' is {sizes} for 1 and {TASKS} tasks")
