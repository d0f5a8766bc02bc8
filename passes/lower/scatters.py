"""ScatterElements and ScatterND before opset 16 only overwrite."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder, CannotLower


def overwriting(node: onnx.NodeProto, b: Builder) -> None:
    """`reduction` = none is what there was; what came at 16 and 18 is not."""
    known = ("none",) if b.opset < 16 else ("none", "add", "mul")
    if b.attribute("reduction", "none") not in known:
        raise CannotLower(f"reduction = {b.attribute('reduction')}", "scatter without a reduction")
    b.keep(drop=["reduction"] if b.opset < 16 else ())
