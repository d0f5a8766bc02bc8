"""What a target says of the tensors at one node: their types, their number of axes, and constants that do not fit."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from coachc.targets import quantizer_rules as quantizers
from coachc.targets.facts import Facts
from coachc.targets.generation import Generation, version
from coachc.targets.target import Target
from coachc.targets.violation import Broken

_INT32 = (-(2**31), 2**31 - 1)


def broken(node: onnx.NodeProto, facts: Facts, target: Target, rules: Generation) -> Iterator[Broken]:
    """What the target does not take of a node's inputs and outputs, by value, then constants.

    Parameters
    ----------
    node : NodeProto
    facts : Facts
    target : Target
    rules : Generation
        The target's.
    """
    for name in dict.fromkeys((*node.input, *node.output)):
        dtype = rules.taken_as(facts.types.get(name, ""))
        if dtype and dtype not in rules.types and not quantizers.is_codes(node, name):
            yield Broken(
                f"type/{dtype}",
                f"'{name}' is {dtype}; {rules.title} has {', '.join(sorted(rules.types))}",
                "compute in float, float16 or int32",
                rules.sources["types"],
            )
        if dtype in rules.io_only and node.op_type not in quantizers.OPERATORS and not _is_end_cast(node, name, facts):
            yield Broken(
                f"io-only/{dtype}",
                f"'{name}' is {dtype}, which only Cast may read from an input or make for an output",
                "compute in int32 or float, and cast at the output",
                rules.sources["types"],
            )
        least, having = rules.capability.get(dtype, ""), target.compute_capability
        if least and having and version(having) < version(least):
            yield Broken(
                f"capability/{dtype}",
                f"'{name}' is {dtype}, which needs compute capability {least}; {target.name} has {having}",
                "compute in float16 or float",
                rules.sources["capability"],
            )
        shape = facts.shapes.get(name, ())
        if len(shape) > rules.most_axes:
            yield Broken(
                "rank",
                f"'{name}' has {len(shape)} axes; a tensor has {rules.most_axes} at most",
                "merge neighbouring axes with Reshape",
                rules.sources["rank"],
            )
    yield from _wide_integers(node, facts, rules)


def _exact(node: onnx.NodeProto) -> list[str]:
    """Inputs of which it matters what number they are, not only that it is a large one.

    A bound beyond 32 bits does nothing to what they hold.
    """
    if node.op_type in ("Clip", "Max", "Min", "Slice"):
        return []
    return list(node.input[1 if node.op_type == "Loop" else 0 :])


def _is_end_cast(node: onnx.NodeProto, name: str, facts: Facts) -> bool:
    if node.op_type not in ("Cast", "CastLike"):
        return False
    return name in (facts.outputs if name in node.output else facts.inputs)


def _wide_integers(node: onnx.NodeProto, facts: Facts, rules: Generation) -> Iterator[Broken]:
    """Constants that do not fit the integers they become. Ends of a Slice and trip counts are clamped without harm."""
    narrowed = rules.narrowed.get("int64")
    if narrowed is None:
        return
    names = list(node.output) if node.op_type == "Constant" else _exact(node)
    if node.op_type == "Constant" and all(names[0] not in _exact(one) for one in facts.readers.get(names[0], [])):
        return
    for name in names:
        if facts.types.get(name) != "int64" or (value := facts.constant(name)) is None or not value.size:
            continue
        worst = max(int(value.min()), int(value.max()), key=abs)
        if not _INT32[0] <= worst <= _INT32[1]:
            yield Broken(
                "narrowed/int64",
                f"constant '{name}' holds {worst}, which is clamped to {narrowed.to}",
                "use a value within 32 bits",
                narrowed.source,
            )
