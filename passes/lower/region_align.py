"""RoiAlign before opset 16 has no half-pixel shift."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder, CannotLower


def unshifted(node: onnx.NodeProto, b: Builder) -> None:
    """Only `output_half_pixel` is what there was; the default since 16 is the other."""
    if b.attribute("coordinate_transformation_mode", "half_pixel") != "output_half_pixel":
        raise CannotLower("coordinate_transformation_mode = half_pixel shifts its regions", "export with aligned=False")
    b.keep(drop=["coordinate_transformation_mode"])
