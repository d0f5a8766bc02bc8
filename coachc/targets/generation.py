"""One TensorRT generation as its file in `coachc/targets/generations` states it; checks the file, judges no model.

A file has the generation's opsets, tensor types and quantization, the operators of its parser with the types documented
for each, and limits on single operators. Everything names a source, and a source says whether it was documented, seen
(run) or inferred. A generation may inherit the operators and limits of an older one, and drop limits by
"operator/id".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, get_args, get_origin

import onnx

from coachc.errors import InternalError
from coachc.targets.limits import CHECKS

EVIDENCE = ("documented", "seen", "inferred")
SEVERITIES = ("error", "warning")
TYPES = frozenset(name.lower() for name, _ in onnx.TensorProto.DataType.items())


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
        Of `coachc.targets.limits.CHECKS`.
    arguments : mapping
        What that check takes.
    reason, remedy : str
    source : Source
    severity : str
    when : mapping
        Attributes, and "types" of the first input, that a node must have for the limit to apply.
    since, until : str
        Releases between which it holds; empty for no end. `until` is the first without it.
    """

    operators: tuple[str, ...]
    id: str
    check: str
    arguments: Mapping[str, Any]
    reason: str
    remedy: str
    source: Source
    severity: str
    when: Mapping[str, Any]
    since: str
    until: str


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
    inputs : int
        Fewest inputs a node must have.
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
    inputs: int
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

    def limits_of(self, name: str, release: str) -> list[Limit]:
        """What a release asks of the nodes of an operator."""
        at = version(release)
        return [
            limit
            for limit in self.limits
            if name in limit.operators and version(limit.since) <= at and (not limit.until or at < version(limit.until))
        ]


def version(text: str) -> tuple[int, ...]:
    """ "10.3" as (10, 3); "" as ()."""
    return tuple(int(part) for part in text.split(".")) if text else ()


@cache
def generations() -> Mapping[str, Generation]:
    """Every generation by name, oldest first, RTX last.

    Raises
    ------
    InternalError
        A file is not as it must be; says which, where, and what was expected.
    """
    folder = resources.files("coachc.targets") / "generations"
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return parse_generations(texts)


def parse_generations(texts: Mapping[str, str]) -> Mapping[str, Generation]:
    """Generations from the texts of their files, by file name.

    Raises
    ------
    InternalError
        As `generations`.
    """
    files = {name: _File(name, text) for name, text in texts.items()}
    by_name = {file.top.take("generation", str): file for file in files.values()}
    made: dict[str, Generation] = {}

    def make(name: str, asked_by: _File | None = None) -> Generation:
        if name not in by_name:
            assert asked_by is not None
            raise asked_by.top.wrong("inherits", f"one of {', '.join(sorted(by_name))}", name)
        if name not in made:
            file = by_name[name]
            parent = file.top.take("inherits", str, "")
            made[name] = _generation(name, file, make(parent, file) if parent else None)
        return made[name]

    for name in by_name:
        make(name)
    numbered = sorted((name for name in made if name != "rtx"), key=version)
    return {name: made[name] for name in (*numbered, *(["rtx"] if "rtx" in made else []))}


class _Table:
    """A TOML table whose keys are taken one by one, each of a type; what is left over is a mistake."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where = where
        self._left = dict(data)

    def take(self, key: str, kind: Any, *default: Any) -> Any:
        if key not in self._left:
            if default:
                return default[0]
            raise InternalError(f"{self.where}: key '{key}' is missing")
        value = self._left.pop(key)
        if not _is(value, kind):
            raise self.wrong(
                key, getattr(kind, "__name__", str(kind)) if get_origin(kind) is None else str(kind), value
            )
        return value

    def left(self) -> dict[str, Any]:
        rest, self._left = self._left, {}
        return rest

    def done(self) -> None:
        if self._left:
            raise InternalError(f"{self.where}: unknown key '{next(iter(self._left))}'")

    def wrong(self, key: str, expected: str, found: object) -> InternalError:
        return InternalError(f"{self.where}: '{key}' is {found!r}, expected {expected}")


def _is(value: object, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is(item, get_args(kind)[0]) for item in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


class _File:
    """One file, its sources read first because everything else names one."""

    def __init__(self, name: str, text: str) -> None:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise InternalError(f"{name} is not TOML: {exc}") from exc
        self.name = name
        self.top = _Table(name, data)
        self._sources: dict[str, Source] = {}
        for key, value in self.top.take("sources", dict).items():
            table = _Table(f"{name}, source '{key}'", value)
            evidence = self.word(table, "evidence", EVIDENCE)
            self._sources[key] = Source(evidence, table.take("text", str))
            table.done()

    def table(self, key: str, *default: dict[str, Any]) -> _Table:
        return _Table(f"{self.name}, [{key}]", self.top.take(key, dict, *default))

    def source(self, table: _Table) -> Source:
        key = table.take("source", str)
        return self._source(table, key)

    def _source(self, table: _Table, key: str) -> Source:
        if key not in self._sources:
            raise table.wrong("source", f"one of {', '.join(self._sources)}", key)
        return self._sources[key]

    def int8(self) -> Source:
        return self._source(self.top, "int8")

    def word(self, table: _Table, key: str, known: tuple[str, ...], *default: str) -> str:
        value: str = table.take(key, str, *default)
        if value not in known:
            raise table.wrong(key, f"one of {', '.join(known)}", value)
        return value

    def types(self, table: _Table, key: str, *default: list[str]) -> tuple[str, ...]:
        names = table.take(key, list[str], *default)
        for name in names:
            if name not in TYPES:
                raise table.wrong(key, "names of ONNX tensor types", name)
        return tuple(names)


def _generation(name: str, file: _File, parent: Generation | None) -> Generation:
    top = file.top
    dropped = top.take("dropped", list[str], [])
    opset, functions, rank, types = (file.table(key) for key in ("opset", "functions", "rank", "types"))
    ir, capability = file.table("ir", {}), file.table("capability", {})
    sources = {"int8": file.int8(), "opset": file.source(opset), "functions": file.source(functions)}
    sources |= {"rank": file.source(rank), "types": file.source(types)}
    newest_ir = ir.take("newest", int, 0)
    if newest_ir:
        sources["ir"] = file.source(ir)
    narrowed = {}
    for dtype, value in types.take("narrowed", dict, {}).items():
        table = _Table(f"{file.name}, [types.narrowed.{dtype}]", value)
        narrowed[dtype] = Narrowed(table.take("to", str), file.source(table))
        table.done()
    capabilities: dict[str, str] = {}
    if has_capability := capability.left():
        table = _Table(capability.where, has_capability)
        sources["capability"] = file.source(table)
        capabilities = table.left()
    operators: dict[str, tuple[Operator, ...]] = dict(parent.operators) if parent else {}
    for index, value in enumerate(top.take("operators", list[dict], [])):
        table = _Table(f"{file.name}, operators {index + 1}", value)
        entry = Operator(file.types(table, "types"), table.take("since", str, ""), file.source(table))
        for operator in table.take("names", list[str]):
            if not entry.since:
                operators[operator] = ()
            operators[operator] = (*operators.get(operator, ()), entry)
        table.done()
    limits = _limits(file, operators)
    kept = [
        limit
        for limit in (parent.limits if parent else ())
        if not any(f"{operator}/{limit.id}" in dropped for operator in limit.operators)
    ]
    made = Generation(
        name=name,
        title=top.take("title", str),
        release=top.take("release", str),
        dialect=file.word(top, "dialect", ("8.2", "8.5", "11")),
        oldest_opset=opset.take("oldest", int),
        newest_opset=opset.take("newest", int),
        newest_ir=newest_ir,
        functions=functions.take("supported", bool),
        most_axes=rank.take("at_most", int),
        types=frozenset(file.types(types, "taken")),
        io_only=frozenset(file.types(types, "io_only", [])),
        narrowed=narrowed,
        quantize=_quantize(file),
        capability=capabilities,
        operators=operators,
        limits=(*kept, *limits),
        sources=sources,
    )
    for table in (opset, functions, rank, types, ir, top):
        table.done()
    return made


def _quantize(file: _File) -> Quantize:
    table = file.table("quantize")
    float_weights = None
    if value := table.take("float_weights", dict, {}):
        inner = _Table(f"{table.where}, float_weights", value)
        float_weights = file.source(inner)
        inner.done()
    made = Quantize(
        codes=file.types(table, "codes"),
        inputs=table.take("inputs", int),
        symmetric=table.take("symmetric", bool),
        constant_parameters=table.take("constant_parameters", bool, False),
        input=file.types(table, "input", []),
        per_channel=file.word(table, "per_channel", ("", "weights"), ""),
        uint8=table.take("uint8", str, ""),
        float_weights=float_weights,
        source=file.source(table),
    )
    table.done()
    return made


def _limits(file: _File, operators: Mapping[str, object]) -> list[Limit]:
    made = []
    for index, value in enumerate(file.top.take("limits", list[dict], [])):
        table = _Table(f"{file.name}, limits {index + 1} ('{value.get('id', '')}')", value)
        names = tuple(table.take("operators", list[str]))
        for name in names:
            if name not in operators:
                raise table.wrong("operators", "operators of the parser", name)
        check = file.word(table, "check", tuple(CHECKS))
        limit = {
            "id": table.take("id", str),
            "reason": table.take("reason", str),
            "remedy": table.take("remedy", str),
            "source": file.source(table),
            "severity": file.word(table, "severity", SEVERITIES, "error"),
            "when": {**table.take("when", dict, {})},
            "since": table.take("since", str, ""),
            "until": table.take("until", str, ""),
        }
        when_types = file.types(table, "when_types", [])
        if when_types:
            limit["when"]["types"] = when_types
        arguments = {key: table.take(key, kind) for key, kind in CHECKS[check].arguments.items()}
        table.done()
        made.append(Limit(operators=names, check=check, arguments=arguments, **limit))
    return made
