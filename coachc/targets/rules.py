"""Whether a target's TensorRT takes a model: every node it would refuse, with the reason and a remedy.

The limits are data, one file a TensorRT generation in `coachc/targets/generations`; `coachc.targets.generation` says
what the files hold. An error does not build, or builds into something that computes something else; a warning builds
as far as is known. Nothing is reported of what is not known, such as the type of a value that inference cannot tell.
This file goes through the model and judges what is about the whole of it; `coachc.targets.node_rules` judges one node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx

from coachc.frontend import walk
from coachc.targets import node_rules as nodes
from coachc.targets.assertions_toml import WHOLE
from coachc.targets.facts import Facts, facts_of
from coachc.targets.generation import Generation
from coachc.targets.limit_kinds.whole_model import MODEL_CHECKS
from coachc.targets.target import Target
from coachc.targets.violation import Broken, Violation


def violations(model: onnx.ModelProto, target: Target) -> list[Violation]:
    """Everything in a model that a target does not take.

    Parameters
    ----------
    model : ModelProto
        Any; weights may be external or left out.
    target : Target

    Returns
    -------
    list of Violation
        What is about the whole model first, then by value and by node, in order; bodies of If, Loop and Scan and local
        functions are looked into. Empty if the target takes the model, and always for ONNX Runtime.
    """
    rules = target.rules
    return [] if rules is None else list(dict.fromkeys(_violations(model, target, rules)))


def errors(model: onnx.ModelProto, target: Target) -> list[Violation]:
    """Those of `violations` that do not build."""
    return [violation for violation in violations(model, target) if violation.severity == "error"]


def _violations(model: onnx.ModelProto, target: Target, rules: Generation) -> Iterator[Violation]:
    facts = facts_of(model)
    functions = {(function.domain, function.name) for function in model.functions}
    for one in _versions(model, facts, rules, functions):
        yield one.at(rules.prefix, "")
    for limit in rules.limits_of(WHOLE, target.release, facts.opset):
        for name, found in MODEL_CHECKS[limit.check](model, facts):
            said = f"{limit.reason}; found {found}"
            yield Broken(f"model/{limit.id}", said, limit.remedy, limit.source, limit.severity).at(rules.prefix, name)
    for role, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            if value.name in facts.inputs or role == "output":
                for one in _end(role, value.name, facts, rules):
                    yield one.at(rules.prefix, value.name)
    wide: list[onnx.NodeProto] = []
    for node in walk.nodes(model.graph):
        for one in nodes.broken(node, model, facts, target, rules, functions=functions):
            yield at_node(one, node, rules)
        if any(facts.types.get(name) == "double" for name in (*node.input, *node.output)):
            wide.append(node)
    if wide and (narrowed := rules.narrowed.get("double")):
        double = Broken(
            "narrowed/double",
            f"computes in double, which becomes {narrowed.to} ({len(wide)} node{'s' * (len(wide) > 1)} in all)",
            "export the model in float",
            narrowed.source,
            severity="warning",
        )
        yield at_node(double, wide[0], rules)
    for function in model.functions if rules.functions else ():
        inner = Facts(opset=facts.opset)
        for node in function.node:
            for one in nodes.broken(node, model, inner, target, rules, functions=functions, in_function=True):
                yield at_node(one, node, rules)


def at_node(broken: Broken, node: onnx.NodeProto, rules: Generation) -> Violation:
    """A rule that a node breaks; an unnamed one is called after what it makes."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    name = node.name or next((output for output in node.output if output), "")
    return broken.at(rules.prefix, name, operator)


def _versions(
    model: onnx.ModelProto, facts: Facts, rules: Generation, functions: Collection[tuple[str, str]]
) -> Iterator[Broken]:
    opset = facts.opset
    if not rules.oldest_opset <= opset <= rules.newest_opset:
        wanted = min(max(opset, rules.oldest_opset), rules.newest_opset)
        yield Broken(
            "opset",
            f"the model has opset {opset}; {rules.title} takes {rules.oldest_opset} to {rules.newest_opset}",
            f"re-export with opset_version={wanted}",
            rules.sources["opset"],
        )
    elif rules.newest_ir and model.ir_version > rules.newest_ir:
        yield Broken(
            "ir",
            f"the model has IR version {model.ir_version}; {rules.title} knows {rules.newest_ir}",
            f"save it with ir_version {rules.newest_ir}",
            rules.sources["ir"],
            severity="warning",
        )
    if functions and not rules.functions:
        domain, name = min(functions)
        yield Broken(
            "functions",
            f"the model has local functions, such as {domain}.{name}, which the parser does not take",
            "inline them: onnx.inliner.inline_local_functions",
            rules.sources["functions"],
        )


def _end(role: str, name: str, facts: Facts, rules: Generation) -> Iterator[Broken]:
    """An input or output of the network."""
    dtype = facts.types.get(name, "")
    narrowed = rules.narrowed.get(dtype)
    if narrowed:
        yield Broken(
            f"narrowed/{dtype}-{role}",
            f"{role} '{name}' is {dtype}, and {narrowed.to} in the engine",
            f"make it {narrowed.to}, or convert where the engine is called",
            narrowed.source,
            severity="warning",
        )
    elif dtype and dtype not in rules.types:
        yield Broken(
            f"type/{dtype}",
            f"{role} '{name}' is {dtype}; {rules.title} has {', '.join(sorted(rules.types))}",
            "cast it outside of the model",
            rules.sources["types"],
        )
