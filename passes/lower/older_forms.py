"""Writes every node as an older opset has it."""

from __future__ import annotations

import onnx

from coachc.frontend.opset import opset_of
from coachc.passes.lower.builder import Builder, Rewrite
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.replace_nodes import replace_nodes
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.schema import changed_between, fit
from coachc.passes.lower.scope import Scope
from coachc.passes.lower.table import OLDER


def write_older(model: onnx.ModelProto, target: int, limits: Limits, tally: Tally) -> onnx.ModelProto:
    """A model in an older opset, or the very model given where it has that opset, or an older one.

    Raises
    ------
    coachc.errors.ModelError
        A node has no form there.
    """
    source = opset_of(model)
    if source <= target:
        return model
    work = onnx.ModelProto()
    work.CopyFrom(model)
    scope = Scope(work)

    def choose(node: onnx.NodeProto) -> Rewrite | None:
        if node.domain or not changed_between(node.op_type, target, source):
            return None
        return OLDER.get(node.op_type, _as_it_is)

    def fitted(node: onnx.NodeProto) -> None:
        if not node.domain and changed_between(node.op_type, target, source):
            fit(node, scope, target, source)

    replace_nodes(work, choose, scope, target, limits, target, tally, fitted)
    for entry in work.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = target
    return work


def _as_it_is(node: onnx.NodeProto, b: Builder) -> None:
    b.keep()
