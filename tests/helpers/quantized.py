"""Quantized models: networks by ONNX Runtime's own quantizer, in both of its formats, and single operators on codes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.helpers.onnx_models import constant, info, op

#: Arguments of `quantize_static`, by a name for tests. In the QDQ format: symmetric int8 per tensor and per channel,
#: asymmetric uint8, weights that stay float behind a QuantizeLinear (what TensorRT's own tools export); and QOperator.
KINDS: dict[str, dict[str, Any]] = {
    "int8": {"activation": "QInt8", "extra": {"ActivationSymmetric": True, "WeightSymmetric": True}},
    "int8 per channel": {
        "activation": "QInt8",
        "per_channel": True,
        "extra": {"ActivationSymmetric": True, "WeightSymmetric": True},
    },
    "uint8": {"activation": "QUInt8"},
    "float weights": {
        "activation": "QInt8",
        "per_channel": True,
        "extra": {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "QuantizeBias": False,
            "DedicatedQDQPair": True,
        },
    },
    "QOperator uint8": {"activation": "QUInt8", "format": "QOperator"},
    "QOperator int8": {"activation": "QInt8", "format": "QOperator", "extra": {"ActivationSymmetric": True}},
}


def quantize(source: Path, target: Path, kind: str) -> Path:
    """A network quantized on four random inputs."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Noise(CalibrationDataReader):
        def __init__(self) -> None:
            graph = onnx.load(source).graph
            constants = {tensor.name for tensor in graph.initializer}
            (value,) = (value for value in graph.input if value.name not in constants)
            shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
            rng = np.random.default_rng(0)
            self._feeds = iter([{value.name: rng.standard_normal(shape, dtype=np.float32)} for _ in range(4)])

        def get_next(self) -> Any:
            return next(self._feeds, None)

    asked = KINDS[kind]
    logging.disable(logging.WARNING)
    try:
        quantize_static(
            source,
            target,
            Noise(),
            quant_format=QuantFormat[asked.get("format", "QDQ")],
            activation_type=QuantType[asked["activation"]],
            weight_type=QuantType.QInt8,
            per_channel=asked.get("per_channel", False),
            extra_options=asked.get("extra", {}),
        )
    finally:
        logging.disable(logging.NOTSET)
    return target


def on_codes(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, tuple[int, ...]],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    codes: str = "uint8",
    opset: int = 13,
    returned: str = "DequantizeLinear",
) -> onnx.ModelProto:
    """Inputs a, b ... quantized to qa, qb ... on grids (sa, za) ..., nodes that make q on (sq, zq), and its value y.

    Without `returned` the last is left out, and the codes are the output.
    """
    grids = {name: (0.031 + 0.01 * index, 3 + 100 * index) for index, name in enumerate((*inputs, "q"))}
    limits = np.iinfo(codes)
    constants = []
    for name, (scale, zero) in grids.items():
        constants += [
            constant(f"s{name}", np.float32(scale)),
            constant(f"z{name}", np.clip(zero, limits.min, limits.max).astype(codes)),
        ]
    quantizers = [op("QuantizeLinear", f"{name} s{name} z{name}", f"q{name}") for name in inputs]
    ends = [op(returned, "q sq zq", "y")] if returned else []
    made = "y" if returned else "q"
    graph = helper.make_graph(
        [*quantizers, *nodes, *ends],
        "codes",
        [info(name, shape) for name, shape in inputs.items()],
        [info(made, None, "float32" if returned else codes)],
        [*constants, *weights],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
