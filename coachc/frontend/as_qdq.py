"""Operators on codes (QLinearConv, com.microsoft.QLinearAdd ...) as real ones between Dequantize- and QuantizeLinear.

The QOperator format says in one node what the QDQ format says in four. Everything later knows the second only: costs,
rules and rewrites, and TensorRT. Both mean the same; a runtime that computes on the integers may land on the
neighbouring code where a sum is within float rounding of the border between two.

Operators that only move or select elements (Reshape, MaxPool ...) are moved before the quantizer whose codes they take,
and codes are dequantized once: where they forked, a cut would send codes otherwise, whose type not every target has.
What has no such form stays as it is.
"""

from __future__ import annotations

import onnx

from coachc.frontend import walk
from coachc.frontend.qdq_writer import NoForm, Writer
from coachc.frontend.qoperators import FORMS, MOVES


def as_qdq(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write operators on codes as real ones.

    Parameters
    ----------
    model : ModelProto
        Normalised and sorted, opset 13 at least.

    Returns
    -------
    ModelProto
        The very model given where there are none; else a copy, whose nodes are to be sorted, and those to be dropped
        that nothing needs any more.
    """
    if not _is_on_codes(model.graph):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    writer = Writer(result)
    for node in model.graph.node:
        try:
            if (node.domain, node.op_type) in FORMS:
                FORMS[node.domain, node.op_type](node, writer)
            elif not node.domain and node.op_type in MOVES and writer.has_grid(node.input[0]):
                MOVES[node.op_type](node, writer)
            else:
                writer.plain(node)
        except NoForm:
            writer.plain(node)
    writer.finish()
    return result


def _is_on_codes(graph: onnx.GraphProto) -> bool:
    """Whether an operator computes on codes, or codes are read by anything but one DequantizeLinear."""
    if any((node.domain, node.op_type) in FORMS for node in graph.node):
        return True
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in walk.reads(node):
            readers.setdefault(name, []).append(node.op_type)
    made = (node.output[0] for node in graph.node if node.op_type == "QuantizeLinear" and not node.domain)
    return any(readers.get(codes, []) not in ([], ["DequantizeLinear"]) for codes in made)
