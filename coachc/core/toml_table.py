"""A TOML table whose keys are taken one by one, each of a type; what is left over is a mistake.

Whatever is wrong with a file is an error that says where, what was expected and what was found: an InternalError for
files that are ours; for a user's file whatever error its reader chooses, with the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from coachc.errors import InternalError

_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*=""")


class Table:
    """A table and which of its keys were not taken yet.

    Parameters
    ----------
    where : str
        File and place in it, for messages.
    data : mapping
        Not changed.
    fail : callable
        Makes the error to be raised from what is wrong.
    lines : mapping of str to int
        Line of each key of this table, "" for its header, as `key_lines` finds them.
    """

    def __init__(
        self,
        where: str,
        data: Mapping[str, Any],
        *,
        fail: Callable[[str], Exception] = InternalError,
        lines: Mapping[str, int] | None = None,
    ) -> None:
        self.where = where
        self._left = dict(data)
        self._fail = fail
        self._lines = lines or {}

    def take(self, key: str, kind: Any, *default: Any) -> Any:
        """The value of a key, or the default if there is one.

        Parameters
        ----------
        key : str
        kind : type
            A class, list[class] or dict[str, class]; a bool is no int, an int is a float.

        Raises
        ------
        Exception
            What `fail` makes: the key is missing and has no default, or its value is of another type.
        """
        if key not in self._left:
            if default:
                return default[0]
            raise self._fail(f"{self._at('')}: key '{key}' is missing")
        value = self._left.pop(key)
        if not _is(value, kind):
            raise self.wrong(
                key, getattr(kind, "__name__", str(kind)) if get_origin(kind) is None else str(kind), value
            )
        return value

    def left(self) -> dict[str, Any]:
        """Everything not taken yet; it is then."""
        rest, self._left = self._left, {}
        return rest

    def done(self) -> None:
        """Say that no more keys are known.

        Raises
        ------
        Exception
            What `fail` makes: some are left.
        """
        if self._left:
            key = next(iter(self._left))
            raise self._fail(f"{self._at(key)}: unknown key '{key}'")

    def wrong(self, key: str, expected: str, found: object) -> Exception:
        """The error that a key is not as expected, to be raised."""
        return self._fail(f"{self._at(key)}: '{key}' is {found!r}, expected {expected}")

    def _at(self, key: str) -> str:
        line = self._lines.get(key, self._lines.get(""))
        return self.where if line is None else f"{self.where}, line {line}"


def key_lines(text: str) -> dict[str, dict[str, int]]:
    """Line of each key by table, "" for the header; the table before any header is called "".

    For tables written with headers: keys of an inline table are not told apart.
    """
    found: dict[str, dict[str, int]] = {"": {}}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = re.sub(r"\s*\.\s*", ".", header[1]).replace('"', "").replace("'", "")
            found.setdefault(table, {})[""] = number
        elif key := _KEY.match(line):
            found[table].setdefault(next(name for name in key.groups() if name is not None), number)
    return found


def _is(value: object, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_is(item, get_args(kind)[1]) for item in value.values())
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)
