"""Writes the quantizers that the target refuses as arithmetic."""

from __future__ import annotations

import onnx

from coachc.frontend import walk
from coachc.frontend.opset import opset_of
from coachc.passes.lower import qdq_arithmetic
from coachc.passes.lower.builder import Rewrite
from coachc.passes.lower.limits import Limits
from coachc.passes.lower.replace_nodes import replace_nodes
from coachc.passes.lower.rewrite_count import Tally
from coachc.passes.lower.scope import Scope


def refused_quantizers(model: onnx.ModelProto, limits: Limits) -> set[str]:
    """Names of the quantizers that the target does not take."""
    if limits.quantization == "any" or not any(n.op_type in qdq_arithmetic.OPERATORS for n in walk.nodes(model.graph)):
        return set()
    scope = Scope(model)
    return {n.name for n in walk.nodes(model.graph) if qdq_arithmetic.refused(n, scope, limits.quantization)}


def without_refused_qdq(model: onnx.ModelProto, limits: Limits, tally: Tally) -> onnx.ModelProto:
    """A model without quantizers that the target refuses; the very model given where it has none.

    Raises
    ------
    coachc.errors.ModelError
        One cannot be written as arithmetic.
    """
    names = refused_quantizers(model, limits)
    if not names:
        return model
    work = onnx.ModelProto()
    work.CopyFrom(model)
    scope = Scope(work)
    unread = qdq_arithmetic.codes_as_numbers(work.graph, names)

    def choose(node: onnx.NodeProto) -> Rewrite | None:
        if node.name not in names:
            return None
        write = qdq_arithmetic.quantize if node.op_type == "QuantizeLinear" else qdq_arithmetic.dequantize
        return lambda n, b: write(n, b, unread)

    replace_nodes(work, choose, scope, opset_of(work), limits, limits.opset, tally)
    return work
