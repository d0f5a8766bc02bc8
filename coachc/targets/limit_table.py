"""A limit as TOML states it, and the words and types in such tables, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from coachc.core.toml_table import Table
from coachc.targets.generation import EVERY_OPSET, SEVERITIES, Limit, Source

TYPES = frozenset(name.lower() for name, _ in onnx.TensorProto.DataType.items())


def word(table: Table, key: str, known: tuple[str, ...], *default: str) -> str:
    """The value of a key, one of those that are known."""
    value: str = table.take(key, str, *default)
    if value not in known:
        raise table.wrong(key, f"one of {', '.join(known)}", value)
    return value


def types(table: Table, key: str, *default: list[str]) -> tuple[str, ...]:
    """Names of ONNX tensor types."""
    names = table.take(key, list[str], *default)
    for name in names:
        if name not in TYPES:
            raise table.wrong(key, "names of ONNX tensor types", name)
    return tuple(names)


def read_limit(
    table: Table, operators: tuple[str, ...], source: Source, checks: Mapping[str, Mapping[str, Any]]
) -> Limit:
    """The limit that a table states, of every release.

    Parameters
    ----------
    table : Table
        Its keys are taken, but for those that say where and from when to when it holds.
    operators : tuple of str
    source : Source
    checks : mapping of str to mapping
        Arguments of each check that it may name.
    """
    check = word(table, "check", tuple(checks))
    when = {**table.take("when", dict, {})}
    if when_types := types(table, "when_types", []):
        when["types"] = when_types
    oldest, newest = table.take("opsets", list[int], list(EVERY_OPSET))
    return Limit(
        operators=operators,
        id=table.take("id", str),
        check=check,
        arguments={key: table.take(key, kind) for key, kind in checks[check].items()},
        reason=table.take("reason", str),
        remedy=table.take("remedy", str),
        source=source,
        severity="warning" if word(table, "severity", SEVERITIES, "error") == "warning" else "error",
        when=when,
        since="",
        until="",
        opsets=(oldest, newest),
    )
