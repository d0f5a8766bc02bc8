"""Checks of whole models: what no single node can say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.function_limits import FUNCTION_CHECKS

#: What TensorRT's parser knows of tensors in other files.
_EXTERNAL_KEYS = frozenset({"checksum", "length", "location", "offset"})
_DEEPEST = 24


def _label(node: onnx.NodeProto) -> str:
    return node.name or next((name for name in node.output if name), "")


def _tensors(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every constant with a name to call it by."""
    for graph in walk.graphs(model.graph):
        for tensor in graph.initializer:
            yield tensor.name, tensor
        for node in graph.node:
            for entry in node.attribute:
                if entry.HasField("t"):
                    yield _label(node), entry.t


def _empty_outputs(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for graph in walk.graphs(model.graph):
        nodes = [node for node in graph.node if "" in node.output]
        count = sum(list(node.output).count("") for node in nodes)
        if count > 1:
            yield _label(nodes[-1]), f'{count} of them spelled ""'


def _empty_cycle(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for graph in walk.graphs(model.graph):
        makers = {name: node for node in graph.node for name in node.output if name}
        for node in graph.node:
            if "" in node.output and (reader := _reads_empty(node, makers)) is not None:
                yield _label(node), f'"" among the inputs of {walk.label(reader)}'


def _reads_empty(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """A node, or one that it depends on, that leaves an input out by ""."""
    waiting, seen = [node], set()
    while waiting:
        one = waiting.pop()
        if "" in one.input:
            return one
        names = [name for name in one.input if name in makers and name not in seen]
        seen.update(names)
        waiting.extend(makers[name] for name in names)
    return None


def _half_words(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for name, tensor in _tensors(model):
        if tensor.data_type == onnx.TensorProto.FLOAT16 and len(tensor.int32_data) > 1:
            yield name, f"{len(tensor.int32_data)} numbers in int32_data"


def _external(model: onnx.ModelProto) -> Iterator[tuple[str, set[str]]]:
    for name, tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield name, {entry.key for entry in tensor.external_data}


def _external_length(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for name, keys in _external(model):
        if "length" not in keys:
            yield name, "none"


def _external_keys(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for name, keys in _external(model):
        if foreign := sorted(keys - _EXTERNAL_KEYS):
            yield name, f"'{foreign[0]}'"


def _opset_domain(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    domains = [entry.domain for entry in model.opset_import]
    if "ai.onnx" in domains and len(domains) > 1:
        yield "", f"'ai.onnx' beside '{next(name for name in domains if name != 'ai.onnx')}'"


def _output_is_input(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    for value in model.graph.output:
        if value.name in facts.inputs:
            yield value.name, f"'{value.name}'"


def _nesting(model: onnx.ModelProto, facts: Facts) -> Iterator[tuple[str, str]]:
    def depth(graph: onnx.GraphProto) -> int:
        return max((1 + depth(body) for node in graph.node for body in walk.bodies(node)), default=0)

    if (found := depth(model.graph)) > _DEEPEST:
        yield "", f"{found}"


#: (model, facts) -> names of the nodes or values, and what was found at each; by the name that TOML gives it.
MODEL_CHECKS: dict[str, Callable[[onnx.ModelProto, Facts], Iterator[tuple[str, str]]]] = {
    "empty_outputs": _empty_outputs,
    "empty_cycle": _empty_cycle,
    "half_words": _half_words,
    "external_length": _external_length,
    "external_keys": _external_keys,
    "opset_domain": _opset_domain,
    "output_is_input": _output_is_input,
    "nesting": _nesting,
    **FUNCTION_CHECKS,
}
