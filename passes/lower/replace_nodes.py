"""Puts the nodes that a rewrite writes in the place of the one it was given, in a graph and in the bodies below it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import onnx

from coachc.core.plan import Rejected
from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.scope import Scope


class CannotWrite(ModelError):
    """Nodes have no form that the target takes.

    Attributes
    ----------
    nodes : tuple of (NodeProto, CannotLower)
        All of them that one pass found, with why.
    """

    def __init__(self, nodes: Sequence[tuple[onnx.NodeProto, CannotLower]], limits: Limits, target: int) -> None:
        (node, why), *others = self.nodes = tuple(nodes)
        also = (f"also         {', '.join(walk.label(other) for other, _ in others)}",) if others else ()
        super().__init__(
            f"{walk.label(node)} cannot be written for {limits.name}: {why.reason}",
            context=(f"expected     operators of opset {target}, the newest that {limits.name} takes", *also),
            hint=why.remedy or f"export the model with opset {target}, or replace the operator",
        )


Choose = Callable[[onnx.NodeProto], Rewrite | None]


def replace_nodes(
    work: onnx.ModelProto,
    choose: Choose,
    scope: Scope,
    opset: int,
    limits: Limits,
    target: int,
    tally: Tally,
    fitted: Callable[[onnx.NodeProto], None] = lambda node: None,
    may_stay: Collection[str] = (),
    count_attributes: bool = False,
) -> list[Rejected]:
    """Put what `choose` says in the place of nodes, bodies first, in place.

    What only sheds defaults, by attributes or names left empty, is counted with `count_attributes` alone.

    Returns
    -------
    list of Rejected
        Nodes among `may_stay` that did stay, and why.

    Raises
    ------
    CannotWrite
        Others have no form that the target takes.
    """
    made: list[onnx.TensorProto] = []
    failed: list[tuple[onnx.NodeProto, CannotLower]] = []
    rejected: list[Rejected] = []

    def within(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            for body in walk.bodies(node):
                within(body)
        nodes: list[onnx.NodeProto] = []
        touched = False
        for node in graph.node:
            rewrite = choose(node)
            if rewrite is None:
                nodes.append(node)
                continue
            b = Builder(node, scope, opset, opset_of(work))
            try:
                rewrite(node, b)
                for written in b.nodes:
                    fitted(written)
            except CannotLower as exc:
                if node.name in may_stay:
                    rejected.append(Rejected(walk.label(node), exc.reason))
                else:
                    failed.append((node, exc))
                nodes.append(node)
                continue
            touched = True
            same = len(b.nodes) == 1 and b.nodes[0].op_type == node.op_type and not b.initializers
            inputs = [name for name in node.input if name or not same]
            if not same or list(b.nodes[0].input) != inputs or (count_attributes and b.nodes[0] != node):
                tally.node(node.name)
            nodes += b.nodes
            made.extend(b.initializers)
        if touched:
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
            del graph.node[:]
            graph.node.extend(copies)

    within(work.graph)
    if failed:
        raise CannotWrite(failed, limits, target)
    work.graph.initializer.extend(made)
    return rejected
