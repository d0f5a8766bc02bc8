"""Checks of Loop and Scan: what their bodies read, how long they run, and what is carried and collected."""

from __future__ import annotations

import onnx

from coachc.frontend import walk
from coachc.targets.facts import Facts
from coachc.targets.limit_kinds.check import Check

#: Operators that work element by element, so that an axis of 1 in front of a number changes nothing beside other axes.
_ELEMENTWISE = frozenset((
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul",
    "Or", "Pow", "Sub", "Sum", "Where", "Xor",
))  # fmt: skip


def _body(node: onnx.NodeProto) -> onnx.GraphProto:
    return next(walk.bodies(node))


def _given(node: onnx.NodeProto, index: int) -> bool:
    return index < len(node.input) and bool(node.input[index])


def _readers(body: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [inner for inner in body.node if name in walk.reads(inner)]


def _reads(body: onnx.GraphProto, place: int) -> bool:
    """Whether a body makes use of one of its inputs."""
    if place >= len(body.input):
        return False
    name = body.input[place].name
    return bool(_readers(body, name)) or any(value.name == name for value in body.output)


def _endless(node: onnx.NodeProto, facts: Facts, above: int) -> str:
    """Why there is no count of iterations: it is left out, or so large that it stands for none."""
    if not _given(node, 0):
        return "no trip count"
    count = facts.constant(node.input[0])
    return f"a trip count of {count.flat[0]}" if count is not None and count.size and count.flat[0] > above else ""


def _scan_outputs(node: onnx.NodeProto) -> bool:
    """Whether a Loop collects something of each iteration."""
    return len(_body(node).output) - 1 > max(len(node.input) - 2, 0)


def _iteration_number(node: onnx.NodeProto, facts: Facts, above: int) -> str:
    return _endless(node, facts, above) if _reads(_body(node), 0) else ""


def _iteration_rank(node: onnx.NodeProto, facts: Facts) -> str:
    body = _body(node)
    if not body.input or not _reads(body, 0) or not _given(node, 0):
        return ""
    name = body.input[0].name
    if any(value.name == name for value in body.output):
        return "the iteration number as an output"
    for reader in _readers(body, name):
        others = [facts.shapes.get(other) for other in reader.input if other != name]
        vectors = reader.op_type in _ELEMENTWISE and any(others)
        if reader.op_type != "Reshape" and not vectors:
            return f"{walk.label(reader)} reading the iteration number"
    return ""


def _condition_inside(node: onnx.NodeProto, facts: Facts) -> str:
    return f"'{_body(node).input[1].name}' read" if not _given(node, 1) and _reads(_body(node), 1) else ""


def _scan_count(node: onnx.NodeProto, facts: Facts, above: int) -> str:
    return _endless(node, facts, above) if _scan_outputs(node) else ""


def _scan_until(node: onnx.NodeProto, facts: Facts) -> str:
    if not _scan_outputs(node) or not _given(node, 1):
        return ""
    body = _body(node)
    name = body.output[0].name
    while (maker := facts.makers.get(name)) is not None and maker.op_type == "Identity":
        name = maker.input[0]
    always = _is_true(facts, node.input[1])
    if always and (name == body.input[1].name or _is_true(facts, name)):
        return ""
    return f"the condition '{body.output[0].name}'"


def _is_true(facts: Facts, name: str) -> bool:
    value = facts.constant(name)
    return value is not None and bool(value.all())


def _state_shapes(node: onnx.NodeProto, facts: Facts) -> str:
    body = _body(node)
    for name, after in zip(node.input[2:], body.output[1:], strict=False):
        before, behind = facts.shapes.get(name), facts.shapes.get(after.name)
        if before is None or behind is None:
            continue
        known = [pair for pair in zip(before, behind, strict=False) if None not in pair]
        if len(before) != len(behind) or any(one != other for one, other in known):
            return f"{list(before)} before and {list(behind)} after an iteration"
    return ""


def _scan_states(node: onnx.NodeProto, facts: Facts) -> str:
    return "none" if len(node.input) == walk.attribute(node, "num_scan_inputs") else ""


def _scan_axes(node: onnx.NodeProto, facts: Facts) -> str:
    for attribute in ("scan_input_axes", "scan_output_axes"):
        axes = list(walk.attribute(node, attribute, ()))
        if any(axis < 0 for axis in axes):
            return f"{attribute} {axes}"
    return ""


#: By the name that TOML gives it.
CHECKS = {
    "loop_iteration_number": Check(_iteration_number, {"above": int}),
    "loop_iteration_rank": Check(_iteration_rank, {}),
    "loop_condition_inside": Check(_condition_inside, {}),
    "loop_scan_count": Check(_scan_count, {"above": int}),
    "loop_scan_until": Check(_scan_until, {}),
    "loop_state_shapes": Check(_state_shapes, {}),
    "scan_states": Check(_scan_states, {}),
    "scan_axes": Check(_scan_axes, {}),
}
