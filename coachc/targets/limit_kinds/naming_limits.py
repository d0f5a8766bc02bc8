"""Checks of how a node leaves inputs and outputs out: ONNX allows "" in their place, importers often do not."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check


def _spelled_empty(node: onnx.NodeProto, facts: Facts, inputs: Sequence[int]) -> str:
    left_out = [i for i in inputs if i < len(node.input) and not node.input[i]]
    return f'"" as input {left_out[0]}' if left_out else ""


def _spelled_empty_last(node: onnx.NodeProto, facts: Facts, input: int) -> str:
    return _spelled_empty(node, facts, [input]) if len(node.input) == input + 1 else ""


def _spelled_empty_before(node: onnx.NodeProto, facts: Facts, input: int) -> str:
    return _spelled_empty(node, facts, [input]) if any(node.input[input + 1 :]) else ""


def _empty_outputs(node: onnx.NodeProto, facts: Facts, at_most: int) -> str:
    left_out = [i for i, name in enumerate(node.output) if i >= at_most and not name]
    return f'"" as output {left_out[0]}' if left_out else ""


#: By the name that TOML gives it.
CHECKS = {
    "spelled_empty": Check(_spelled_empty, {"inputs": list[int]}),
    "spelled_empty_last": Check(_spelled_empty_last, {"input": int}),
    "spelled_empty_before": Check(_spelled_empty_before, {"input": int}),
    "empty_outputs": Check(_empty_outputs, {"at_most": int}),
}
