"""One TensorRT generation: what it takes, as values; `coachc.targets.generation_toml` reads them, none judges a model.

A generation has its opsets, tensor types and quantization, the operators of its parser with the types documented for
each, and limits on single operators. Everything names a source, and a source says whether it was documented, read (in
the parser's code), seen (run) or inferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

EVIDENCE = ("documented", "read", "seen", "inferred")
Severity = Literal["error", "warning"]
SEVERITIES = ("error", "warning")
EVERY_OPSET = (1, 10**6)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule is from.

    Attributes
    ----------
    evidence : str
        One of `EVIDENCE`.
    text : str
    """

    evidence: str
    text: str

    def __str__(self) -> str:
        return f"{self.evidence}: {self.text}"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of the parser.

    Attributes
    ----------
    types : tuple of str
        Documented for what it computes on; empty if nothing is said.
    since : str
        First release that has it so; empty for all of the generation.
    source : Source
    """

    types: tuple[str, ...]
    since: str
    source: Source


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition that the nodes of some operators must meet.

    Attributes
    ----------
    operators : tuple of str
    id : str
        Unique together with the operator.
    check : str
        Of `coachc.targets.limit_checks.CHECKS`.
    arguments : mapping
        What that check takes.
    reason, remedy : str
    source : Source
    severity : str
    when : mapping
        Attributes, and "types" of the first input, that a node must have for the limit to apply.
    since, until : str
        Releases between which it holds; empty for no end. `until` is the first without it.
    opsets : tuple of (int, int)
        Oldest and newest opset of the models it holds for.
    """

    operators: tuple[str, ...]
    id: str
    check: str
    arguments: Mapping[str, Any]
    reason: str
    remedy: str
    source: Source
    severity: Severity
    when: Mapping[str, Any]
    since: str
    until: str
    opsets: tuple[int, int] = EVERY_OPSET


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A type that is taken for a smaller one.

    Attributes
    ----------
    to : str
    source : Source
    """

    to: str
    source: Source


@dataclass(frozen=True, slots=True)
class Quantize:
    """What QuantizeLinear and DequantizeLinear may be.

    Attributes
    ----------
    codes : tuple of str
        Types of the quantized side.
    symmetric : bool
        Zero points must be 0.
    constant_parameters : bool
        Scale and zero point must be constants.
    input : tuple of str
        Types of what is quantized; empty for no limit of its own.
    per_channel : str
        "weights" if only constants may have a scale per channel.
    uint8 : str
        What becomes of uint8 codes that the parser lets through.
    float_weights : Source or None
        Who says that a constant that is dequantized must be float and quantized in the graph; None if it may be int8.
    source : Source
    """

    codes: tuple[str, ...]
    symmetric: bool
    constant_parameters: bool
    input: tuple[str, ...]
    per_channel: str
    uint8: str
    float_weights: Source | None
    source: Source


@dataclass(frozen=True)
class Generation:
    """One TensorRT generation.

    Attributes
    ----------
    name : str
        "8.2", "8.5", "8.6", "10", "11" or "rtx".
    title : str
    release : str
        The one that the file describes.
    dialect : str
        Of its Python API: "8.2" (bindings by index), "8.5" (tensors by name) or "11" (strongly typed).
    oldest_opset, newest_opset : int
    newest_ir : int
        0 if nothing is known; a newer one is a warning.
    functions : bool
        Whether the parser takes model-local functions.
    most_axes : int
        Of a tensor.
    types, io_only : frozenset of str
        Tensor types there are; those of them that only inputs and outputs of the network may have.
    narrowed : mapping of str to Narrowed
    quantize : Quantize
    capability : mapping of str to str
        Compute capability that a type needs.
    operators : mapping of str to tuple of Operator
        By name, in the order of `since`.
    limits : tuple of Limit
    sources : mapping of str to Source
        Of "opset", "ir", "functions", "rank", "types", "capability" and "int8".
    """

    name: str
    title: str
    release: str
    dialect: str
    oldest_opset: int
    newest_opset: int
    newest_ir: int
    functions: bool
    most_axes: int
    types: frozenset[str]
    io_only: frozenset[str]
    narrowed: Mapping[str, Narrowed]
    quantize: Quantize
    capability: Mapping[str, str]
    operators: Mapping[str, tuple[Operator, ...]]
    limits: tuple[Limit, ...]
    sources: Mapping[str, Source]

    @property
    def prefix(self) -> str:
        """Of the ids of its rules."""
        return self.name if self.name == "rtx" else f"trt{self.name}"

    def operator(self, name: str, release: str) -> Operator | None:
        """An operator as a release has it; None if it does not."""
        found = [entry for entry in self.operators.get(name, ()) if version(entry.since) <= version(release)]
        return found[-1] if found else None

    def taken_as(self, dtype: str) -> str:
        """The type that one is in an engine: a smaller one where it is narrowed, itself otherwise."""
        narrowed = self.narrowed.get(dtype)
        return narrowed.to if narrowed else dtype

    def limits_of(self, name: str, release: str, opset: int) -> list[Limit]:
        """What a release asks of the nodes of an operator in a model of an opset."""
        at = version(release)
        return [
            limit
            for limit in self.limits
            if name in limit.operators
            and limit.opsets[0] <= opset <= limit.opsets[1]
            and version(limit.since) <= at
            and (not limit.until or at < version(limit.until))
        ]


def version(text: str) -> tuple[int, ...]:
    """ "10.3" as (10, 3); "" as ()."""
    return tuple(int(part) for part in text.split(".")) if text else ()
