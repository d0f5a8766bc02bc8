"""GlobalAveragePool and GlobalMaxPool as reductions, for targets that pool over two or three axes only."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder


def as_reduction(node: onnx.NodeProto, b: Builder) -> None:
    """The mean or the maximum over every axis from 2 on."""
    op = "ReduceMean" if node.op_type == "GlobalAveragePool" else "ReduceMax"
    axes = list(range(2, len(b.shape(b.input(0)))))
    made = b.reduce(op, b.input(0), axes)
    # The last node has the name of the one replaced.
    last = b.nodes.pop()
    assert last.output[0] == made
    last.output[0], last.name = node.output[0], node.name
    b.nodes.append(last)
