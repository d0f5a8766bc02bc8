"""Checks of what shapes, bounds and counts are computed from, where they are not constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check

#: Made of layers that cannot make a shape in TensorRT 8.2; nodes that are not here can.
_NO_SHAPES = frozenset((
    "Abs", "Acos", "Acosh", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
    "BatchNormalization", "Ceil", "Conv", "ConvTranspose", "Cos", "Cosh", "DequantizeLinear", "Einsum", "Elu",
    "Erf", "Exp", "Floor", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "LRN", "LeakyRelu", "Log",
    "LogSoftmax", "Loop", "MatMul", "MaxPool", "PRelu", "Pow", "QuantizeLinear", "Reciprocal", "ReduceMean",
    "Relu", "Resize", "Round", "Scan", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus",
    "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu", "TopK",
))  # fmt: skip
#: What is known of a tensor before its contents are.
_OF_SHAPES = frozenset({"Shape", "Size"})
#: Inputs that are shapes, bounds or counts.
_SHAPES = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Loop": (0,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (3,),
    "Slice": (1, 2, 4),
    "Split": (1,),
    "Tile": (1,),
}
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def _sources(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> Iterator[onnx.NodeProto]:
    """Nodes that some inputs are computed by, back to where shapes are asked for."""
    names = [node.input[index] for index in inputs if index < len(node.input)]
    seen: set[str] = set()
    while names:
        name = names.pop()
        maker = facts.makers.get(name)
        if name in seen or name in facts.initializers or maker is None:
            continue
        seen.add(name)
        yield maker
        if maker.op_type not in _OF_SHAPES:
            names.extend(maker.input)


def _shape_sources(node: onnx.NodeProto, facts: Facts) -> str:
    sources = _sources(node, facts, _SHAPES.get(node.op_type, ()))
    found = (walk.label(one) for one in sources if one.op_type in _NO_SHAPES)
    return next(found, "")


def _whole_numbers(node: onnx.NodeProto, facts: Facts) -> str:
    sources = _sources(node, facts, _SHAPES.get(node.op_type, ()))
    casts = (one for one in sources if one.op_type == "Cast")
    return next((walk.label(one) for one in casts if walk.attribute(one, "to") in _FLOATS), "")


def _known_when_built(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    """An input that is neither constant nor follows from known shapes."""
    for index in inputs:
        name = node.input[index] if index < len(node.input) else ""
        if name in facts.inputs:
            return f"'{name}' an input"
        for maker in _sources(node, facts, [index]):
            if maker.op_type in _OF_SHAPES:
                fed = [one for one in maker.input if None in facts.shapes.get(one, ())]
            else:
                fed = [one for one in maker.input if one in facts.inputs]
            if fed:
                return f"'{name}' computed from '{fed[0]}'"
    return ""


#: By the name that TOML gives it.
CHECKS = {
    "shape_sources": Check(_shape_sources, {}),
    "whole_numbers": Check(_whole_numbers, {}),
    "known_when_built": Check(_known_when_built, {"inputs": list[int]}),
}
