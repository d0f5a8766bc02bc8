"""What a target does not take of a model once `coachc compile` has lowered it: what is rewritten, and what stays."""

from __future__ import annotations

from dataclasses import replace

import onnx

from coachc.cost.device import DeviceSpec
from coachc.emit.lowering import lowered_for
from coachc.errors import ModelError
from coachc.passes.lower.replace_nodes import CannotWrite
from coachc.targets.rules import at_node, violations
from coachc.targets.target import target_of
from coachc.targets.violation import Broken, Violation


def after_lowering(model: onnx.ModelProto, spec: DeviceSpec) -> list[Violation]:
    """Violations of a model, those first that it has as it is.

    Parameters
    ----------
    model : onnx.ModelProto
        Imported.
    spec : DeviceSpec

    Returns
    -------
    list of Violation
        An error of the model that its lowered form has not is a warning whose remedy is that compile rewrites it,
        unless what takes its place is refused as well. Where nodes keep the model from being lowered, each is an error
        with its own reason, in place of the opset's.
    """
    target = target_of(spec)
    found = violations(model, target)
    if all(one.severity == "warning" for one in found):
        return found
    try:
        lowered = lowered_for(model, [spec])
    except CannotWrite as exc:
        return _blocked(found, exc, spec)
    except ModelError:
        return found  # what it would write is no valid model, so nothing is promised
    left = violations(lowered.model, target)
    known = {(one.rule, one.node) for one in found}
    staying = {(one.rule, one.node) for one in left}
    # What takes a node's place may be refused as well: then the node is, whose name people know.
    worse = [one.node for one in left if one.severity == "error" and (one.rule, one.node) not in known]
    blamed = {one.node for one in found if one.node and any(_stems_from(name, one.node) for name in worse)}
    explained = all(any(_stems_from(name, node) for node in blamed) for name in worse)
    remedy = f"none is needed: coachc compile rewrites it for {spec.name} ({lowered.describe()})"

    def told(one: Violation) -> Violation:
        if one.severity == "warning" or (one.rule, one.node) in staying or one.node in blamed or not explained:
            return one
        return replace(one, severity="warning", remedy=remedy)

    return [told(one) for one in found]


def _stems_from(name: str, node: str) -> bool:
    """Whether a node was written in the place of another, by its name."""
    return name == node or name.startswith(f"{node}/")


def _blocked(found: list[Violation], exc: CannotWrite, spec: DeviceSpec) -> list[Violation]:
    """What is refused, and the nodes that have no form there in place of what hides them: the model's opset."""
    rules = target_of(spec).rules
    assert rules is not None
    refused = {one.node for one in found if one.severity == "error"}
    source = rules.sources["opset"]
    nodes = [
        at_node(
            Broken(
                f"older-form/{node.op_type}",
                f"has no form that {rules.title} takes: {why.reason}",
                why.remedy or exc.hint,
                source,
            ),
            node,
            rules,
        )
        for node, why in exc.nodes
        if node.name not in refused
    ]
    return nodes + [one for one in found if one.rule != f"{rules.prefix}/opset"]
