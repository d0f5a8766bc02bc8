"""GRU, LSTM and RNN as a parser takes them that is particular about activations, directions and float16."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from coachc.passes.lower.builder import Builder, CannotLower, Rewrite
from coachc.passes.lower.writing import as_float, attributes_of

#: Every activation of ONNX as it is spelled, by itself in lower case.
_SPELLED = {
    name.lower(): name
    for name in (
        "Elu", "HardSigmoid", "LeakyRelu", "Relu", "ScaledTanh", "Sigmoid", "Softplus", "Softsign", "Tanh",
        "ThresholdedRelu",
    )
}  # fmt: skip
#: Activations that take numbers, by the attribute that these stand in, and the defaults.
_NUMBERS = {
    "activation_alpha": ("elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu"),
    "activation_beta": ("hardsigmoid", "scaledtanh"),
}
#: Inputs that have a part for each direction, by the axis that lists them: weights and states; then the outputs.
_DIRECTED = (1, 2, 3, 5, 6, 7)
_OUTPUT_AXES = (1, 0, 0)


def spelled(node: onnx.NodeProto, b: Builder) -> None:
    """Activations with the capitals of ONNX."""
    names = [name.decode() for name in b.attribute("activations")]
    foreign = [name for name in names if name.lower() not in _SPELLED]
    if foreign:
        raise CannotLower(f"it has no activation {foreign[0]}", "use another activation")
    b.keep(activations=[_SPELLED[name.lower()] for name in names])


def in_float(node: onnx.NodeProto, b: Builder) -> None:
    """A float16 layer in float32, its results cast back."""
    element = b.scope.element(b.input(0))
    inputs = [as_float(b, name) if b.scope.element(name) == element else name for name in node.input]
    _layer(node, b, inputs, attributes_of(node))
    made = b.nodes[-1]
    for place, name in enumerate(node.output):
        if name:
            b.end_cast(made.output[place], element)
            del b.nodes[-1].output[:]
            b.nodes[-1].output.append(name)
            b.nodes[-1].name = name
    b.nodes[-1].name = node.name


def _layer(node: onnx.NodeProto, b: Builder, inputs: list[str], attributes: dict[str, Any]) -> list[str]:
    """The layer with outputs of its own, which are as many as the node names."""
    outputs = [b.value(node.op_type) if name else "" for name in node.output]
    first = next(name for name in outputs if name)
    b.nodes.append(onnx.helper.make_node(node.op_type, inputs, outputs, name=first, **attributes))
    return outputs


def each_way(node: onnx.NodeProto, b: Builder) -> None:
    """A bidirectional layer as one forward and one in reverse, put together."""
    if b.attribute("layout", 0):
        raise CannotLower("layout = 1: the batch comes before the time", "export with batch_first=False")
    attributes = attributes_of(node, without=("activations", "direction", *_NUMBERS))
    results = []
    for way, direction in enumerate(("forward", "reverse")):
        inputs = [_part(name, way, b) if place in _DIRECTED else name for place, name in enumerate(node.input)]
        results.append(_layer(node, b, inputs, {**attributes, **_activations(way, b), "direction": direction}))
    for place, name in enumerate(node.output):
        if name:
            made = [outputs[place] for outputs in results]
            b.nodes.append(onnx.helper.make_node("Concat", made, [name], name=name, axis=_OUTPUT_AXES[place]))
    b.nodes[-1].name = node.name


def _part(name: str, way: int, b: Builder) -> str:
    """The part of an input that one direction has."""
    if not name:
        return ""
    array = b.scope.array(name)
    if array is not None:
        return b.constant(array[way : way + 1], "part")
    bounds = [b.constant(np.array([value], np.int64), "bound") for value in (way, way + 1, 0)]
    return b.add("Slice", [name, *bounds])


def _activations(way: int, b: Builder) -> dict[str, Any]:
    """Activations of one direction, and the numbers that ONNX gives them: in order, to those that take any."""
    names = [name.decode() for name in b.attribute("activations", [])]
    if not names:
        return {}
    half = len(names) // 2
    own = slice(half * way, half * (way + 1))
    found: dict[str, Any] = {"activations": names[own]}
    for attribute, takers in _NUMBERS.items():
        numbers = list(b.attribute(attribute, []))
        served = [place for place, name in enumerate(names) if name.lower() in takers][: len(numbers)]
        mine = [number for number, place in zip(numbers, served, strict=False) if own.start <= place < own.stop]
        if mine:
            found[attribute] = mine
    return found


_LAYERS = ("GRU", "LSTM", "RNN")

#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    **{f"{name}/activation-names": spelled for name in _LAYERS},
    **{f"{name}/bidirectional": each_way for name in _LAYERS},
    **{f"{name}/bidirectional-numbers": each_way for name in _LAYERS},
    **{f"{name}/float16-lengths": in_float for name in _LAYERS},
    "GRU/float16-gate": in_float,
}
