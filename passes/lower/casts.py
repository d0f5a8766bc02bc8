"""Cast before opset 19 (no float8, so nothing to saturate) and CastLike, which came with 15."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder


def plain_cast(node: onnx.NodeProto, b: Builder) -> None:
    """`saturate` and `round_mode` speak of float8 only; a float8 that is there is refused by its type."""
    b.keep(drop=["saturate", "round_mode"])


def cast_to_known_type(node: onnx.NodeProto, b: Builder) -> None:
    """Types are known here."""
    b.end_cast(b.input(0), b.scope.element(node.output[0]))
