"""Checks of a model's local functions: how they are called, and what they and their inputs are named like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts


@cache
def _operators() -> frozenset[str]:
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain)


def _calls(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, onnx.FunctionProto]]:
    functions = {(one.domain, one.name): one for one in model.functions}
    inner = (node for one in model.functions for node in one.node)
    for node in (*walk.nodes(model.graph), *inner):
        if (node.domain, node.op_type) in functions:
            yield node, functions[node.domain, node.op_type]


def _inputs(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for node, function in _calls(model):
        if len(node.input) != len(function.input):
            yield node.name, f"{len(node.input)} inputs of {len(function.input)}"


def _empty_inputs(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for node, _ in _calls(model):
        if "" in node.input:
            yield node.name, f'"" as input {list(node.input).index("")}'


def _names(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for function in model.functions:
        if function.name in _operators():
            yield function.name, f"{function.domain}.{function.name}"


def _domains(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for name, count in Counter(function.name for function in model.functions).items():
        if count > 1:
            yield name, f"{count} functions {name}"


def _shadows(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    outside = set(walk.made(model.graph))
    for node, function in _calls(model):
        for formal, given in zip(function.input, node.input, strict=False):
            if formal in outside and formal != given:
                yield node.name, f"'{formal}' given '{given}'"


#: (model, facts) -> names of the functions or calls, and what was found; by the name that TOML gives it.
FUNCTION_CHECKS: dict[str, Callable[[onnx.ModelProto, Facts], Iterator[tuple[str, str]]]] = {
    "function_inputs": _inputs,
    "function_empty_inputs": _empty_inputs,
    "function_names": _names,
    "function_domains": _domains,
    "function_shadows": _shadows,
}
