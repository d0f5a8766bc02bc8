"""Checks of If: how its branches name, order and make what they give out.

Before TensorRT 10 the outputs of a branch are looked for among the layers that its nodes became, by the names of these,
not by those that the branch gives. Nothing is asked of an If whose condition is constant: only one branch is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check

#: Operators that the importer makes of several layers of which the last one does not have the node's name.
_SEVERAL_LAYERS = frozenset((
    "Celu", "DepthToSpace", "EyeLike", "GRU", "Gemm", "GlobalLpPool", "GreaterOrEqual", "IsNaN", "LSTM",
    "LessOrEqual", "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "Mean", "RNN", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "Scan", "Softmax", "SpaceToDepth",
))  # fmt: skip
#: Those that get an axis and lose it again where there is one spatial axis only.
_ONE_AXIS = frozenset((
    "AveragePool", "Conv", "ConvTranspose", "InstanceNormalization", "MaxPool",
))  # fmt: skip
#: Those that are made one layer for each further input.
_CHAINS = frozenset((
    "Max", "Min", "Sum",
))  # fmt: skip


def _branches(node: onnx.NodeProto, facts: Facts, names: Sequence[str]) -> Iterator[onnx.GraphProto]:
    if node.input[0] not in facts.initializers:
        yield from (entry.g for entry in node.attribute if entry.name in names)


def _makers(branch: onnx.GraphProto) -> list[int | None]:
    """For each output the place of the node that makes it; None where none is found: it is read again, or constant."""
    nodes = ((place, inner) for place, inner in enumerate(branch.node) if inner.op_type != "Constant")
    made = {name: place for place, inner in nodes for name in inner.output if name}
    read = {name for inner in branch.node for name in walk.reads(inner)}
    return [made.get(value.name) if value.name not in read else None for value in branch.output]


def _condition_constant(node: onnx.NodeProto, facts: Facts) -> str:
    return f"'{node.input[0]}' is constant" if node.input[0] in facts.initializers else ""


def _outputs_found(node: onnx.NodeProto, facts: Facts, branches: Sequence[str]) -> str:
    for branch in _branches(node, facts, branches):
        makers = _makers(branch)
        if None in makers and any(place is not None for place in makers):
            return f"'{branch.output[makers.index(None)].name}' beside others"
    return ""


def _outputs_in_order(node: onnx.NodeProto, facts: Facts, branches: Sequence[str]) -> str:
    for branch in _branches(node, facts, branches):
        makers = [place for place in _makers(branch) if place is not None]
        if any(one >= other for one, other in pairwise(makers)):
            return ", ".join(f"'{value.name}'" for value in branch.output)
    return ""


def _first_outputs(node: onnx.NodeProto, facts: Facts, branches: Sequence[str]) -> str:
    for branch in _branches(node, facts, branches):
        for value, place in zip(branch.output, _makers(branch), strict=True):
            if place is not None and branch.node[place].output[0] != value.name:
                return f"'{value.name}' of {walk.label(branch.node[place])}"
    return ""


def _outputs_of_one_layer(node: onnx.NodeProto, facts: Facts) -> str:
    for branch in _branches(node, facts, ["then_branch"]):
        for place in _makers(branch):
            maker = branch.node[place] if place is not None else None
            if maker is not None and _several_layers(maker, facts):
                return walk.label(maker)
    return ""


def _several_layers(node: onnx.NodeProto, facts: Facts) -> bool:
    if node.op_type in _CHAINS:
        return len(node.input) > 2
    return node.op_type in _SEVERAL_LAYERS or (
        node.op_type in _ONE_AXIS and len(facts.shapes.get(node.input[0], ())) == 3
    )


def _prefix_free(node: onnx.NodeProto, facts: Facts) -> str:
    """A name that begins with that of a node which makes an output or reads what is outside of the branch."""
    for branch in _branches(node, facts, ["then_branch", "else_branch"]):
        own = set(walk.made(branch))
        given = {value.name for value in branch.output}
        names = [inner.name for inner in walk.nodes(branch) if inner.name]
        for inner in branch.node:
            if inner.name and (given & set(inner.output) or any(name not in own for name in walk.reads(inner))):
                longer = [name for name in names if name != inner.name and name.startswith(inner.name)]
                if longer:
                    return f"'{inner.name}' and '{longer[0]}'"
    return ""


def _same_shapes(node: onnx.NodeProto, facts: Facts) -> str:
    both = list(_branches(node, facts, ["then_branch", "else_branch"]))
    for one, other in zip(*(branch.output for branch in both), strict=False):
        first, second = facts.shapes.get(one.name), facts.shapes.get(other.name)
        if one.name == other.name or first is None or second is None:
            continue
        pairs = zip(first, second, strict=False)
        if len(first) != len(second) or any(a != b for a, b in pairs if a is not None and b is not None):
            return f"{list(first)} and {list(second)}"
    return ""


#: By the name that TOML gives it.
CHECKS = {
    "if_condition_computed": Check(_condition_constant, {}),
    "if_outputs_found": Check(_outputs_found, {"branches": list[str]}),
    "if_outputs_in_order": Check(_outputs_in_order, {"branches": list[str]}),
    "if_first_outputs": Check(_first_outputs, {"branches": list[str]}),
    "if_one_layer": Check(_outputs_of_one_layer, {}),
    "if_prefix_free": Check(_prefix_free, {}),
    "if_same_shapes": Check(_same_shapes, {}),
}
