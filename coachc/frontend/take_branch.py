"""An If replaced by one of its branches."""

from __future__ import annotations

import onnx

from coachc.frontend import walk
from coachc.frontend.order import rename


def take_branch(graph: onnx.GraphProto, node: onnx.NodeProto, *, then: bool) -> None:
    """Put the nodes of a branch in the place of an If, in place; they come last, unsorted.

    Parameters
    ----------
    graph : GraphProto
        Values of its bodies have names of their own (`frontend.order`).
    node : NodeProto
        An If of that very graph.
    then : bool
        Which branch.
    """
    branch = onnx.GraphProto()
    branch.CopyFrom(walk.attribute(node, "then_branch" if then else "else_branch"))
    inner = {name for child in branch.node for name in child.output}
    names: dict[str, str] = {}
    copies = []
    for value, outer in zip(branch.output, node.output, strict=True):
        if value.name in inner and value.name not in names and outer:
            names[value.name] = outer
        elif outer:  # a captured value, an initializer, or one value returned twice
            source = names.get(value.name, value.name)
            copies.append(onnx.helper.make_node("Identity", [source], [outer]))
    rename(branch, names)
    graph.node.extend([*branch.node, *copies])
    graph.initializer.extend(branch.initializer)
    graph.node.remove(node)
