"""What a target says of one node: whether the parser has its operator, on what types, and within which limits."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from importlib import resources

import onnx

from coachc.targets import quantizer_rules as quantizers
from coachc.targets import tensor_rules as tensors
from coachc.targets.facts import Facts
from coachc.targets.generation import Generation, Limit
from coachc.targets.limit_checks import CHECKS
from coachc.targets.target import Target
from coachc.targets.violation import Broken

#: The input whose type is documented, for operators where it is not the first.
_TYPED_INPUT = {"Where": 1, "OneHot": 2}
#: Operators whose documented type is that of what they make, and those of which nothing simple can be said.
_TYPED_OUTPUT = ("Constant", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform")
_UNTYPED = ("If", "Loop", "Scan", *quantizers.OPERATORS)


def broken(
    node: onnx.NodeProto,
    model: onnx.ModelProto,
    facts: Facts,
    target: Target,
    rules: Generation,
    *,
    functions: Collection[tuple[str, str]],
    in_function: bool = False,
) -> Iterator[Broken]:
    """What the target does not take of a node; nothing more is said of an operator that it does not have.

    Parameters
    ----------
    node : NodeProto
    model : ModelProto
        That it is in.
    facts : Facts
    target : Target
    rules : Generation
        The target's.
    functions : collection of (domain, name)
        Local functions of the model, which are no operators.
    in_function : bool
        Whether the node is in one of them, where no value is known to be constant.
    """
    if node.domain not in ("", "ai.onnx"):
        if (node.domain, node.op_type) not in functions:
            yield Broken(
                f"domain/{node.domain}",
                f"operators of {node.domain} are not in the parser's operator list",
                _foreign_remedy(node),
                rules.sources["types"],
            )
        return
    operator = rules.operator(node.op_type, target.release)
    if operator is None:
        later = rules.operators.get(node.op_type, ())
        after = f"; it comes with {later[0].since}" if later else ""
        yield Broken(
            f"op/{node.op_type}",
            f"not in the parser's operator list{after}",
            _remedies().get(node.op_type, _remedies()[""]),
            later[0].source if later else rules.sources["opset"],
        )
        return
    yield from tensors.broken(node, facts, target, rules)
    if node.op_type in quantizers.OPERATORS:
        yield from quantizers.broken(node, model, facts, rules, device=target.name, fast_int8=target.fast_int8)
    limits = rules.limits_of(node.op_type, target.release, facts.opset)
    asked = [limit for limit in limits if not in_function or limit.check != "constant"]
    beyond = [one for limit in asked for one in _limit(limit, node, facts)]
    documented = operator.types
    found = rules.taken_as(_computed_on(node, facts))
    # Where a limit refuses the node, it says more than that nothing is documented.
    if documented and found and found not in documented and all(one.severity != "error" for one in beyond):
        yield Broken(
            f"types/{node.op_type}",
            f"computes on {found}; documented for {', '.join(documented)}",
            f"cast to {'float' if 'float' in documented else documented[0]} before it",
            operator.source,
            severity="warning",
        )
    yield from beyond


def _limit(limit: Limit, node: onnx.NodeProto, facts: Facts) -> Iterator[Broken]:
    for name, wanted in limit.when.items():
        if name == "types":
            if facts.input_type(node, 0) not in wanted:
                return
        elif facts.attribute(node, name) != wanted:
            return
    if found := CHECKS[limit.check].found(node, facts, **limit.arguments):
        yield Broken(
            f"limit/{node.op_type}/{limit.id}",
            f"{limit.reason}; found {found}",
            limit.remedy,
            limit.source,
            severity=limit.severity,
        )


def _computed_on(node: onnx.NodeProto, facts: Facts) -> str:
    """The type that a node's documentation is about; "" if it is not known."""
    if node.op_type in _UNTYPED:
        return ""
    if node.op_type in _TYPED_OUTPUT:
        return facts.types.get(node.output[0], "")
    return facts.input_type(node, _TYPED_INPUT.get(node.op_type, 0))


@cache
def _remedies() -> dict[str, str]:
    data = tomllib.loads((resources.files("coachc.targets") / "remedies.toml").read_text("utf-8"))
    return {"": data["default"], **data["operators"]}


def _foreign_remedy(node: onnx.NodeProto) -> str:
    """How to do without an operator of another domain."""
    if node.domain == "com.microsoft" and any(part in node.op_type for part in ("QLinear", "QGemm", "Quantize", "Int")):
        return _remedies()["QLinearConv"]
    return "export with operators of ai.onnx only (no optimizer of another runtime before export)"
