"""Checks of GRU, LSTM and RNN: their activations and the numbers that these take."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check

#: Activations that take a number, by the attribute that it stands in.
_TAKEN_BY = {
    "activation_alpha": ("affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu"),
    "activation_beta": ("affine", "hardsigmoid", "scaledtanh"),
}


def activations(node: onnx.NodeProto) -> list[str]:
    """The activations that a node names, as it spells them; none where it leaves them at their defaults."""
    return [entry.decode() for entry in walk.attribute(node, "activations", ())]


def _activation_names(node: onnx.NodeProto, facts: Facts, allowed: Sequence[str]) -> str:
    foreign = [name for name in activations(node) if name not in allowed]
    return f"'{foreign[0]}'" if foreign else ""


def _same_numbers(node: onnx.NodeProto, facts: Facts) -> str:
    if facts.attribute(node, "direction") != "bidirectional":
        return ""
    for attribute in _TAKEN_BY:
        numbers = list(walk.attribute(node, attribute, ()))
        half = len(numbers) // 2
        if numbers[:half] != numbers[half:]:
            return f"{attribute} {[round(number, 6) for number in numbers]}"
    return ""


def _numbers_in_place(node: onnx.NodeProto, facts: Facts) -> str:
    """Numbers that belong to an activation which is not at their place in the list."""
    names = [name.lower() for name in activations(node)]
    for attribute, takers in _TAKEN_BY.items():
        numbers = list(walk.attribute(node, attribute, ()))
        served = [place for place, name in enumerate(names) if name in takers][: len(numbers)]
        if served != list(range(len(served))):
            return f"{attribute} {[round(number, 6) for number in numbers]} for {', '.join(activations(node))}"
    return ""


#: By the name that TOML gives it.
CHECKS = {
    "activation_names": Check(_activation_names, {"allowed": list[str]}),
    "same_numbers": Check(_same_numbers, {}),
    "numbers_in_place": Check(_numbers_in_place, {}),
}
