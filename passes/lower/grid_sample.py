"""GridSample before opset 20 calls its modes by the names of images, and knows no volumes."""

from __future__ import annotations

import onnx

from coachc.passes.lower.builder import Builder, CannotLower

_NAMES = {"linear": "bilinear", "cubic": "bicubic", "nearest": "nearest"}


def names_of_images(node: onnx.NodeProto, b: Builder) -> None:
    """linear is bilinear, cubic is bicubic."""
    if len(b.shape(b.input(0))) != 4:
        raise CannotLower("it samples a volume", "sample images, of rank 4")
    b.keep(mode=_NAMES[b.attribute("mode", "linear")])
