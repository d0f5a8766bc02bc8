"""Whether a target's TensorRT takes a model: every node it would refuse, with the reason and a remedy.

The limits are data, one file a TensorRT generation in `coachc/targets/generations`; `coachc.targets.generation` says
what the files hold. An error does not build, or builds into something that computes something else; a warning builds
as far as is known. Nothing is reported of what is not known, such as the type of a value that inference cannot tell.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import onnx

from coachc.cost.device import DeviceSpec
from coachc.errors import ProfileError
from coachc.frontend import walk
from coachc.targets import quantizers
from coachc.targets.facts import Facts, facts_of
from coachc.targets.generation import Generation, Limit, Source, generations, version
from coachc.targets.limits import CHECKS

Severity = Literal["error", "warning"]

_INT32 = (-(2**31), 2**31 - 1)
#: The input whose type is documented, for operators where it is not the first.
_TYPED_INPUT = {"Where": 1, "OneHot": 2}
#: Operators whose documented type is that of what they make, and those of which nothing simple can be said.
_TYPED_OUTPUT = ("Constant", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform")
_UNTYPED = ("If", "Loop", "Scan", *quantizers.OPERATORS)


@dataclass(frozen=True, slots=True)
class Violation:
    """One node, value or figure of a model that a target does not take.

    Attributes
    ----------
    rule : str
        Its id, such as "trt8.2/op/Mod": generation, kind, and what it is about.
    node : str
        Name of the node; of the value or "" where it is about no node.
    operator : str
        Its type, the domain before it unless it is ai.onnx; "" where it is about no node.
    reason, remedy : str
    severity : "error" or "warning"
        An error does not build, or builds into something else; a warning may.
    source : str
        How the rule is known: documented, seen or inferred, and where.
    """

    rule: str
    node: str
    operator: str
    reason: str
    remedy: str
    severity: Severity = "error"
    source: str = ""


@dataclass(frozen=True)
class Target:
    """A device as the rules see it.

    Attributes
    ----------
    name : str
    generation : str
        Of its TensorRT: "8.2", "8.5", "8.6", "10", "11", "rtx"; "" for ONNX Runtime, which takes every model.
    release : str
        Of its TensorRT, such as "10.3".
    compute_capability : str
        Empty if it is not known.
    precisions : tuple of str
    fast_int8 : bool
        Whether the GPU has INT8 arithmetic; without it no Q/DQ builds.
    """

    name: str
    generation: str
    release: str = ""
    compute_capability: str = ""
    precisions: tuple[str, ...] = ()
    fast_int8: bool = True

    @property
    def rules(self) -> Generation | None:
        """The generation's rules; None for ONNX Runtime."""
        return generations()[self.generation] if self.generation else None

    @property
    def operators(self) -> frozenset[str] | None:
        """Operators of ai.onnx that it has; None for all."""
        rules = self.rules
        return None if rules is None else frozenset(n for n in rules.operators if rules.operator(n, self.release))

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.name} (TensorRT {self.release})" if self.generation else f"{self.name} (ONNX Runtime)"


def target_of(spec: DeviceSpec) -> Target:
    """The target that a device is.

    Raises
    ------
    ProfileError
        There are no rules for a TensorRT as old as its.
    """
    generation = "" if spec.is_local else _generation_of(spec)
    return Target(
        name=spec.name,
        generation=generation,
        release=spec.tensorrt,
        compute_capability=spec.compute_capability,
        precisions=spec.precisions,
        fast_int8="int8" in spec.precisions,
    )


def _generation_of(spec: DeviceSpec) -> str:
    numbered = [name for name in generations() if name != "rtx"]
    older = [name for name in numbered if version(name) <= version(spec.tensorrt)]
    if not older:
        raise ProfileError(
            f"there are no rules for TensorRT {spec.tensorrt} of {spec.name}",
            context=[f"oldest known: {numbered[0]}"],
            hint="choose another target; `coachc devices` lists them",
        )
    return older[-1]


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
    if rules is None:
        return []
    found = _Checker(model, target, rules).check()
    return list(dict.fromkeys(found))


def errors(model: onnx.ModelProto, target: Target) -> list[Violation]:
    """Those of `violations` that do not build."""
    return [violation for violation in violations(model, target) if violation.severity == "error"]


@cache
def _remedies() -> dict[str, str]:
    data = tomllib.loads((resources.files("coachc.targets") / "remedies.toml").read_text("utf-8"))
    return {"": data["default"], **data["operators"]}


def _foreign_remedy(node: onnx.NodeProto) -> str:
    """How to do without an operator of another domain."""
    if node.domain == "com.microsoft" and any(part in node.op_type for part in ("QLinear", "QGemm", "Quantize", "Int")):
        return _remedies()["QLinearConv"]
    return "export with operators of ai.onnx only (no optimizer of another runtime before export)"


class _Checker:
    """One model against one target."""

    def __init__(self, model: onnx.ModelProto, target: Target, rules: Generation) -> None:
        self._model = model
        self._target = target
        self._rules = rules
        self._facts = facts_of(model)
        self._functions = {(function.domain, function.name) for function in model.functions}

    def check(self) -> Iterator[Violation]:
        yield from self._versions()
        for role, values in (("input", self._model.graph.input), ("output", self._model.graph.output)):
            for value in values:
                if value.name in self._facts.inputs or role == "output":
                    yield from self._end(role, value.name)
        wide: list[onnx.NodeProto] = []
        for node in walk.nodes(self._model.graph):
            yield from self._node(node, self._facts)
            if any(self._facts.types.get(name) == "double" for name in (*node.input, *node.output)):
                wide.append(node)
        if wide and (narrowed := self._rules.narrowed.get("double")):
            yield self._violation(
                "narrowed/double",
                wide[0],
                f"computes in double, which becomes {narrowed.to} ({len(wide)} node{'s' * (len(wide) > 1)} in all)",
                "export the model in float",
                narrowed.source,
                severity="warning",
            )
        for function in self._model.functions if self._rules.functions else ():
            inner = Facts(opset=self._facts.opset)
            for node in function.node:
                yield from self._node(node, inner, in_function=True)

    def _versions(self) -> Iterator[Violation]:
        rules, opset = self._rules, self._facts.opset
        if not rules.oldest_opset <= opset <= rules.newest_opset:
            wanted = min(max(opset, rules.oldest_opset), rules.newest_opset)
            yield self._violation(
                "opset",
                None,
                f"the model has opset {opset}; {rules.title} takes {rules.oldest_opset} to {rules.newest_opset}",
                f"re-export with opset_version={wanted}",
                rules.sources["opset"],
            )
        elif rules.newest_ir and self._model.ir_version > rules.newest_ir:
            yield self._violation(
                "ir",
                None,
                f"the model has IR version {self._model.ir_version}; {rules.title} knows {rules.newest_ir}",
                f"save it with ir_version {rules.newest_ir}",
                rules.sources["ir"],
                severity="warning",
            )
        if self._functions and not rules.functions:
            domain, name = min(self._functions)
            yield self._violation(
                "functions",
                None,
                f"the model has local functions, such as {domain}.{name}, which the parser does not take",
                "inline them: onnx.inliner.inline_local_functions",
                rules.sources["functions"],
            )

    def _end(self, role: str, name: str) -> Iterator[Violation]:
        """An input or output of the network."""
        dtype = self._facts.types.get(name, "")
        narrowed = self._rules.narrowed.get(dtype)
        if narrowed:
            yield self._violation(
                f"narrowed/{dtype}-{role}",
                None,
                f"{role} '{name}' is {dtype}, and {narrowed.to} in the engine",
                f"make it {narrowed.to}, or convert where the engine is called",
                narrowed.source,
                severity="warning",
                value=name,
            )
        elif dtype and dtype not in self._rules.types:
            yield self._violation(
                f"type/{dtype}",
                None,
                f"{role} '{name}' is {dtype}; {self._rules.title} has {', '.join(sorted(self._rules.types))}",
                "cast it outside of the model",
                self._rules.sources["types"],
                value=name,
            )

    def _node(self, node: onnx.NodeProto, facts: Facts, *, in_function: bool = False) -> Iterator[Violation]:
        rules = self._rules
        if node.domain not in ("", "ai.onnx"):
            if (node.domain, node.op_type) not in self._functions:
                yield self._violation(
                    f"domain/{node.domain}",
                    node,
                    f"operators of {node.domain} are not in the parser's operator list",
                    _foreign_remedy(node),
                    rules.sources["types"],
                )
            return
        operator = rules.operator(node.op_type, self._target.release)
        if operator is None:
            later = rules.operators.get(node.op_type, ())
            after = f"; it comes with {later[0].since}" if later else ""
            yield self._violation(
                f"op/{node.op_type}",
                node,
                f"not in the parser's operator list{after}",
                _remedies().get(node.op_type, _remedies()[""]),
                later[0].source if later else rules.sources["opset"],
            )
            return
        yield from self._types(node, facts)
        if node.op_type in quantizers.OPERATORS:
            target = self._target
            for one in quantizers.broken(
                node, self._model, facts, rules, device=target.name, fast_int8=target.fast_int8
            ):
                yield self._violation(f"quantize/{one.what}", node, one.reason, one.remedy, one.source)
        documented = operator.types
        found = self._documented_type(node, facts)
        if documented and found and found not in documented:
            yield self._violation(
                f"types/{node.op_type}",
                node,
                f"computes on {found}; documented for {', '.join(documented)}",
                f"cast to {'float' if 'float' in documented else documented[0]} before it",
                operator.source,
                severity="warning",
            )
        for limit in rules.limits_of(node.op_type, self._target.release):
            if in_function and limit.check == "constant":
                continue
            yield from self._limit(limit, node, facts)

    def _limit(self, limit: Limit, node: onnx.NodeProto, facts: Facts) -> Iterator[Violation]:
        for name, wanted in limit.when.items():
            if name == "types":
                if facts.input_type(node, 0) not in wanted:
                    return
            elif facts.attribute(node, name) != wanted:
                return
        if found := CHECKS[limit.check].found(node, facts, **limit.arguments):
            yield self._violation(
                f"limit/{node.op_type}/{limit.id}",
                node,
                f"{limit.reason}; found {found}",
                limit.remedy,
                limit.source,
                severity="warning" if limit.severity == "warning" else "error",
            )

    def _documented_type(self, node: onnx.NodeProto, facts: Facts) -> str:
        """What a node computes on, as its target sees it; "" if it is not known."""
        if node.op_type in _UNTYPED:
            return ""
        if node.op_type in _TYPED_OUTPUT:
            found = facts.types.get(node.output[0], "")
        else:
            found = facts.input_type(node, _TYPED_INPUT.get(node.op_type, 0))
        return self._seen_as(found)

    def _seen_as(self, dtype: str) -> str:
        narrowed = self._rules.narrowed.get(dtype)
        return narrowed.to if narrowed else dtype

    def _types(self, node: onnx.NodeProto, facts: Facts) -> Iterator[Violation]:
        rules = self._rules
        for name in dict.fromkeys((*node.input, *node.output)):
            dtype = self._seen_as(facts.types.get(name, ""))
            if dtype and dtype not in rules.types and not quantizers.is_codes(node, name):
                yield self._violation(
                    f"type/{dtype}",
                    node,
                    f"'{name}' is {dtype}; {rules.title} has {', '.join(sorted(rules.types))}",
                    "compute in float, float16 or int32",
                    rules.sources["types"],
                )
            if (
                dtype in rules.io_only
                and node.op_type not in quantizers.OPERATORS
                and not self._is_end_cast(node, name)
            ):
                yield self._violation(
                    f"io-only/{dtype}",
                    node,
                    f"'{name}' is {dtype}, which only Cast may read from an input or make for an output",
                    "compute in int32 or float, and cast at the output",
                    rules.sources["types"],
                )
            least, having = rules.capability.get(dtype, ""), self._target.compute_capability
            if least and having and version(having) < version(least):
                yield self._violation(
                    f"capability/{dtype}",
                    node,
                    f"'{name}' is {dtype}, which needs compute capability {least}; {self._target.name} has {having}",
                    "compute in float16 or float",
                    rules.sources["capability"],
                )
            shape = facts.shapes.get(name, ())
            if len(shape) > rules.most_axes:
                yield self._violation(
                    "rank",
                    node,
                    f"'{name}' has {len(shape)} axes; a tensor has {rules.most_axes} at most",
                    "merge neighbouring axes with Reshape",
                    rules.sources["rank"],
                )
        yield from self._wide_integers(node, facts)

    def _is_end_cast(self, node: onnx.NodeProto, name: str) -> bool:
        if node.op_type not in ("Cast", "CastLike"):
            return False
        return name in (self._facts.outputs if name in node.output else self._facts.inputs)

    def _wide_integers(self, node: onnx.NodeProto, facts: Facts) -> Iterator[Violation]:
        """Constants that do not fit the integers they become. Ends of a Slice are clamped without harm."""
        narrowed = self._rules.narrowed.get("int64")
        if narrowed is None or node.op_type == "Slice":
            return
        names = list(node.output) if node.op_type == "Constant" else list(node.input)
        if node.op_type == "Constant" and all(reader.op_type == "Slice" for reader in facts.readers.get(names[0], [])):
            return
        for name in names:
            if facts.types.get(name) != "int64" or (value := facts.constant(name)) is None or not value.size:
                continue
            worst = max(value.min(), value.max(), key=abs)
            if not _INT32[0] <= worst <= _INT32[1]:
                yield self._violation(
                    "narrowed/int64",
                    node,
                    f"constant '{name}' holds {worst}, which is clamped to {narrowed.to}",
                    "use a value within 32 bits",
                    narrowed.source,
                )

    def _violation(
        self,
        rule: str,
        node: onnx.NodeProto | None,
        reason: str,
        remedy: str,
        source: Source,
        *,
        severity: Severity = "error",
        value: str = "",
    ) -> Violation:
        operator = "" if node is None else f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        name = value if node is None else node.name or next((output for output in node.output if output), "")
        return Violation(f"{self._rules.prefix}/{rule}", name, operator, reason, remedy, severity, str(source))
