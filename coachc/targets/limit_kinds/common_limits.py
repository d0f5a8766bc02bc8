"""Checks that any operator may have: which inputs are constant, of which types and ranks, and which attributes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check


def _constant(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    computed = [node.input[i] for i in inputs if i < len(node.input) and node.input[i] not in {"", *facts.initializers}]
    return f"'{computed[0]}' is computed" if computed else ""


def _absent(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    given = [node.input[i] for i in inputs if i < len(node.input) and node.input[i]]
    return f"input '{given[0]}'" if given else ""


def _attribute(node: onnx.NodeProto, facts: Facts, attribute: str, allowed: Sequence[object]) -> str:
    value = facts.attribute(node, attribute)
    return "" if value is None or value in allowed else f"{attribute} {value}"


def _ones(node: onnx.NodeProto, facts: Facts, attribute: str) -> str:
    value = walk.attribute(node, attribute)
    return "" if value is None or all(item == 1 for item in value) else f"{attribute} {list(value)}"


def _outputs(node: onnx.NodeProto, facts: Facts, at_most: int) -> str:
    extra = [name for name in node.output[at_most:] if name]
    return f"output '{extra[0]}'" if extra else ""


def _rank(node: onnx.NodeProto, facts: Facts, input: int, allowed: Sequence[int]) -> str:
    shape = facts.shapes.get(node.input[input]) if input < len(node.input) else None
    return "" if shape is None or len(shape) in allowed else f"{len(shape)} axes"


def _types(node: onnx.NodeProto, facts: Facts, input: int, allowed: Sequence[str]) -> str:
    found = facts.input_type(node, input)
    return "" if not found or found in allowed else found


def _static(node: onnx.NodeProto, facts: Facts, input: int) -> str:
    shape = facts.shapes.get(node.input[input])
    return "" if shape is None or None not in shape else "an axis of unknown size"


def _at_most(node: onnx.NodeProto, facts: Facts, input: int, maximum: int) -> str:
    value = facts.constant(node.input[input]) if input < len(node.input) else None
    return "" if value is None or not value.size or value.max() <= maximum else f"{value.max()}"


def _plain_einsum(node: onnx.NodeProto, facts: Facts) -> str:
    equation = facts.attribute(node, "equation")
    if not isinstance(equation, str):
        return ""
    terms = equation.replace(" ", "").split("->")[0].split(",")
    plain = "." not in equation and all(len(set(term)) == len(term) for term in terms)
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=False):
        for letter, size in zip(term, facts.shapes.get(name, ()), strict=False):
            plain = plain and (size is None or sizes.setdefault(letter, size) == size)
    return "" if plain else f"'{equation}'"


def _same_activations(node: onnx.NodeProto, facts: Facts) -> str:
    activations = [entry.decode().lower() for entry in walk.attribute(node, "activations", ())]
    half = len(activations) // 2
    if facts.attribute(node, "direction") != "bidirectional" or activations[:half] == activations[half:]:
        return ""
    return ", ".join(activations)


def _branch_outputs(node: onnx.NodeProto, facts: Facts) -> str:
    first, *others = ({value.name for value in body.output} for body in walk.bodies(node))
    shared = sorted(first.intersection(*others)) if others else []
    return f"both have '{shared[0]}'" if shared else ""


#: By the name that TOML gives it.
CHECKS = {
    "constant": Check(_constant, {"inputs": list[int]}),
    "absent": Check(_absent, {"inputs": list[int]}),
    "attribute": Check(_attribute, {"attribute": str, "allowed": list}),
    "ones": Check(_ones, {"attribute": str}),
    "outputs": Check(_outputs, {"at_most": int}),
    "rank": Check(_rank, {"input": int, "allowed": list[int]}),
    "types": Check(_types, {"input": int, "allowed": list[str]}),
    "static": Check(_static, {"input": int}),
    "at_most": Check(_at_most, {"input": int, "maximum": int}),
    "plain_einsum": Check(_plain_einsum, {}),
    "same_activations": Check(_same_activations, {}),
    "branch_outputs": Check(_branch_outputs, {}),
}
