"""Puts the nodes that a rewrite writes in the place of the one it was given, in a graph and in the bodies below it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx

from coachc.core.plan import Rejected
from coachc.errors import ModelError
from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.scope import Scope

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
) -> list[Rejected]:
    """Put what `choose` says in the place of nodes, bodies first, in place; what only sheds defaults is not counted.

    Returns
    -------
    list of Rejected
        Nodes among `may_stay` that did stay, and why.
    """
    made: list[onnx.TensorProto] = []
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
                    nodes.append(node)
                    continue
                raise cannot_be_written(node, limits, target, exc) from exc
            touched = True
            same = len(b.nodes) == 1 and b.nodes[0].op_type == node.op_type and not b.initializers
            if not same or list(b.nodes[0].input) != [name for name in node.input if name or not same]:
                tally.node(node.name)
            nodes += b.nodes
            made.extend(b.initializers)
        if touched:
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
            del graph.node[:]
            graph.node.extend(copies)

    within(work.graph)
    work.graph.initializer.extend(made)
    return rejected


def cannot_be_written(node: onnx.NodeProto, limits: Limits, target: int, exc: CannotLower) -> ModelError:
    """The error of a node that has no form which the target takes."""
    return ModelError(
        f"{walk.label(node)} cannot be written for {limits.name}: {exc.reason}",
        context=(f"expected     operators of opset {target}, the newest that {limits.name} takes",),
        hint=exc.remedy or f"export the model with opset {target}, or replace the operator",
    )
