"""Read the generations from their files in `coachc/targets/generations`: TOML in, `Generation` out, checked throughout.

A generation may inherit the operators and limits of an older one, and drop limits by "operator/id". What the parser's
code asserts comes from files of its own, which hold all generations side by side: `coachc.targets.assertions_toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from coachc.core.toml_table import Table
from coachc.errors import InternalError
from coachc.targets.assertions_toml import parse_assertions
from coachc.targets.generation import (
    EVIDENCE,
    Generation,
    Limit,
    Narrowed,
    Operator,
    Quantize,
    Source,
    version,
)
from coachc.targets.limit_checks import CHECKS
from coachc.targets.limit_table import read_limit, types, word


@cache
def generations() -> Mapping[str, Generation]:
    """Every generation by name, oldest first, RTX last.

    Raises
    ------
    InternalError
        A file is not as it must be; says which, where, and what was expected.
    """
    return parse_generations(_texts("generations"), _texts("assertions"))


def _texts(folder: str) -> dict[str, str]:
    files = (resources.files("coachc.targets") / folder).iterdir()
    return {
        file.name: file.read_text("utf-8")
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".toml")
    }


def parse_generations(texts: Mapping[str, str], assertions: Mapping[str, str]) -> Mapping[str, Generation]:
    """Generations from the texts of their files, and of those of assertions, by file name.

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
    ordered = {name: made[name] for name in (*numbered, *(["rtx"] if "rtx" in made else []))}
    asserted = parse_assertions(assertions, ordered)
    return {name: replace(one, limits=(*one.limits, *asserted[name])) for name, one in ordered.items()}


class _File:
    """One file, its sources read first because everything else names one."""

    def __init__(self, name: str, text: str) -> None:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise InternalError(f"{name} is not TOML: {exc}") from exc
        self.name = name
        self.top = Table(name, data)
        self._sources: dict[str, Source] = {}
        for key, value in self.top.take("sources", dict).items():
            table = Table(f"{name}, source '{key}'", value)
            evidence = word(table, "evidence", EVIDENCE)
            self._sources[key] = Source(evidence, table.take("text", str))
            table.done()

    def table(self, key: str, *default: dict[str, Any]) -> Table:
        return Table(f"{self.name}, [{key}]", self.top.take(key, dict, *default))

    def source(self, table: Table) -> Source:
        key = table.take("source", str)
        return self._source(table, key)

    def _source(self, table: Table, key: str) -> Source:
        if key not in self._sources:
            raise table.wrong("source", f"one of {', '.join(self._sources)}", key)
        return self._sources[key]

    def int8(self) -> Source:
        return self._source(self.top, "int8")


def _generation(name: str, file: _File, parent: Generation | None) -> Generation:
    top = file.top
    dropped = top.take("dropped", list[str], [])
    opset, functions, rank, tensors = (file.table(key) for key in ("opset", "functions", "rank", "types"))
    ir, capability = file.table("ir", {}), file.table("capability", {})
    sources = {"int8": file.int8(), "opset": file.source(opset), "functions": file.source(functions)}
    sources |= {"rank": file.source(rank), "types": file.source(tensors)}
    newest_ir = ir.take("newest", int, 0)
    if newest_ir:
        sources["ir"] = file.source(ir)
    narrowed = {}
    for dtype, value in tensors.take("narrowed", dict, {}).items():
        table = Table(f"{file.name}, [types.narrowed.{dtype}]", value)
        narrowed[dtype] = Narrowed(table.take("to", str), file.source(table))
        table.done()
    capabilities: dict[str, str] = {}
    if has_capability := capability.left():
        table = Table(capability.where, has_capability)
        sources["capability"] = file.source(table)
        capabilities = table.left()
    operators: dict[str, tuple[Operator, ...]] = dict(parent.operators) if parent else {}
    for index, value in enumerate(top.take("operators", list[dict], [])):
        table = Table(f"{file.name}, operators {index + 1}", value)
        entry = Operator(types(table, "types"), table.take("since", str, ""), file.source(table))
        for operator in table.take("names", list[str]):
            if not entry.since:
                operators[operator] = ()
            operators[operator] = (*operators.get(operator, ()), entry)
        table.done()
    limits = _limits(file, operators)
    known = parent.limits if parent else ()
    unknown = set(dropped) - {f"{operator}/{limit.id}" for limit in known for operator in limit.operators}
    if unknown:
        raise InternalError(f"{file.name}: dropped names no inherited limit: {', '.join(sorted(unknown))}")
    kept = [limit for limit in known if not any(f"{operator}/{limit.id}" in dropped for operator in limit.operators)]
    made = Generation(
        name=name,
        title=top.take("title", str),
        release=top.take("release", str),
        dialect=word(top, "dialect", ("8.2", "8.5", "11")),
        oldest_opset=opset.take("oldest", int),
        newest_opset=opset.take("newest", int),
        newest_ir=newest_ir,
        functions=functions.take("supported", bool),
        most_axes=rank.take("at_most", int),
        types=frozenset(types(tensors, "taken")),
        io_only=frozenset(types(tensors, "io_only", [])),
        narrowed=narrowed,
        quantize=_quantize(file),
        capability=capabilities,
        operators=operators,
        limits=(*kept, *limits),
        sources=sources,
    )
    for table in (opset, functions, rank, tensors, ir, top):
        table.done()
    return made


def _quantize(file: _File) -> Quantize:
    table = file.table("quantize")
    float_weights = None
    if value := table.take("float_weights", dict, {}):
        inner = Table(f"{table.where}, float_weights", value)
        float_weights = file.source(inner)
        inner.done()
    made = Quantize(
        codes=types(table, "codes"),
        symmetric=table.take("symmetric", bool),
        constant_parameters=table.take("constant_parameters", bool, False),
        input=types(table, "input", []),
        per_channel=word(table, "per_channel", ("", "weights"), ""),
        uint8=table.take("uint8", str, ""),
        float_weights=float_weights,
        source=file.source(table),
    )
    table.done()
    return made


def _limits(file: _File, operators: Mapping[str, object]) -> list[Limit]:
    made = []
    arguments = {name: check.arguments for name, check in CHECKS.items()}
    for index, value in enumerate(file.top.take("limits", list[dict], [])):
        table = Table(f"{file.name}, limits {index + 1} ('{value.get('id', '')}')", value)
        names = tuple(table.take("operators", list[str]))
        for name in names:
            if name not in operators:
                raise table.wrong("operators", "operators of the parser", name)
        limit = read_limit(table, names, file.source(table), arguments)
        made.append(replace(limit, since=table.take("since", str, ""), until=table.take("until", str, "")))
        table.done()
    return made
