"""Quantized weights as float ones that are quantized in the graph, for a TensorRT that takes no int8 constants.

The form that NVIDIA's own quantizers export: the builder folds both nodes into the kernel and still finds int8 weights.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from coachc.passes.lower.builder import Builder, CannotLower


def through_float(node: onnx.NodeProto, b: Builder) -> None:
    """DequantizeLinear of constant codes: their real values, QuantizeLinear, DequantizeLinear.

    The codes that QuantizeLinear makes are those that were constant, each of them, or the node stays.
    """
    x, scale, zero = (b.input(index) for index in range(3))
    codes, factors = b.array(x, "codes"), b.array(scale, "scale")
    if codes.dtype != np.int8 or b.attribute("block_size", 0) or b.scope.element(node.output[0]) != TensorProto.FLOAT:
        raise CannotLower("it is no int8 weight with a scale per tensor or channel")
    if not zero:
        zero = b.constant(np.zeros(factors.shape, np.int8), "zero_point")
    elif b.array(zero, "zero point").any():
        raise CannotLower("its zero point is not 0", "quantize weights symmetrically")
    rank = codes.ndim
    along = {"axis": b.attribute("axis", 1) % rank} if factors.size > 1 else {}
    spread = factors.reshape([-1 if index == along.get("axis") else 1 for index in range(rank)])
    with np.errstate(over="ignore", invalid="ignore"):
        real = codes.astype(np.float32) * spread
        back = np.clip(np.round(real / spread), -128, 127)
    if not np.array_equal(back, codes):
        raise CannotLower("its codes do not come back from their real values", "quantize with a larger scale")
    quantized = b.add("QuantizeLinear", [b.constant(real, "weight"), scale, zero], **along)
    b.end("DequantizeLinear", [quantized, scale, zero], **along)
