"""Read what the parser's code asserts, from `coachc/targets/assertions`: one table over all generations.

An assertion is a limit that names a line of the code for each generation that has it; where the code could not be read,
that it was seen. What is not worth a rule is in `left_out.toml`, each with its reason.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coachc.core.toml_table import Table
from coachc.errors import InternalError
from coachc.targets.generation import Generation, Limit, Source
from coachc.targets.limit_checks import CHECKS
from coachc.targets.limit_kinds.whole_model import MODEL_CHECKS
from coachc.targets.limit_table import read_limit

RELEASES, LEFT_OUT = "releases.toml", "left_out.toml"
#: In place of a line: a parser that has it was seen to.
SEEN = "seen"
#: The operator of assertions about whole models.
WHOLE = "*"


def parse_assertions(texts: Mapping[str, str], known: Mapping[str, Generation]) -> dict[str, list[Limit]]:
    """Limits by generation.

    Parameters
    ----------
    texts : mapping of str to str
        Files of assertions by name; without `RELEASES` there are none.
    known : mapping of str to Generation

    Raises
    ------
    InternalError
        A file is not as it must be; says which, where, and what was expected.
    """
    made: dict[str, list[Limit]] = {name: [] for name in known}
    if RELEASES not in texts:
        return made
    places = _read(RELEASES, texts)
    for name in sorted(set(texts) - {RELEASES, LEFT_OUT}):
        for index, value in enumerate(_read(name, texts).get("assertions", [])):
            table = Table(f"{name}, assertions {index + 1} ('{value.get('id', '')}')", value)
            for generation, limit in _limits(table, places, known):
                made[generation].append(limit)
    return made


def _read(name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    try:
        return tomllib.loads(texts[name])
    except tomllib.TOMLDecodeError as exc:
        raise InternalError(f"{name} is not TOML: {exc}") from exc


def _limits(table: Table, places: Mapping[str, Any], known: Mapping[str, Generation]) -> list[tuple[str, Limit]]:
    """The same limit once for each generation that has it."""
    names = tuple(table.take("operators", list[str]))
    arguments: Mapping[str, Mapping[str, Any]] = {name: check.arguments for name, check in CHECKS.items()}
    if names == (WHOLE,):
        arguments = {name: {} for name in MODEL_CHECKS}
    lines, since, until = table.take("at", dict[str, str]), *(table.take(key, dict, {}) for key in ("since", "until"))
    if unknown := set(lines) - set(known):
        raise table.wrong("at", f"generations {', '.join(known)}", min(unknown))
    sources = {generation: _source(generation, line, places, table) for generation, line in lines.items()}
    limit = read_limit(table, names, next(iter(sources.values())), arguments)
    table.done()
    found = []
    for generation, source in sources.items():
        there = tuple(name for name in names if name == WHOLE or name in known[generation].operators)
        if not there:
            raise table.wrong("operators", f"operators of {generation}", ", ".join(names))
        held = {"since": since.get(generation, ""), "until": until.get(generation, "")}
        found.append((generation, replace(limit, operators=there, source=source, **held)))
    return found


def _source(generation: str, line: str, places: Mapping[str, Any], table: Table) -> Source:
    """Where one generation has it."""
    place = places["seen" if line == SEEN else "releases"].get(generation)
    if place is None:
        raise table.wrong("at", f"a generation of {RELEASES}", f"{generation}: {line}")
    return Source("seen", place) if line == SEEN else Source("read", f"{line}, {place}")
