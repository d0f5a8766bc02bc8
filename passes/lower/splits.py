"""Split before opset 18: the sizes of uneven parts are an input."""

from __future__ import annotations

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder


def sizes_instead_of_count(node: onnx.NodeProto, b: Builder) -> None:
    """`num_outputs` parts, the last of them smaller where they do not come out even."""
    x, count = b.input(0), b.attribute("num_outputs")
    if count is None or b.input(1):
        b.keep(drop=["num_outputs"])
        return
    size = b.shape(x)[b.attribute("axis", 0)]
    part = -(-size // count)
    sizes = [max(0, min(part, size - index * part)) for index in range(count)]
    b.keep(inputs=[x, b.constant(np.array(sizes, np.int64), "split")], drop=["num_outputs"])
