"""A TOML table whose keys are taken one by one, each of a type; what is left over is a mistake.

For files that are ours: whatever is wrong with one is an InternalError that says where, what was expected and what was
found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from coachc.errors import InternalError


class Table:
    """A table and which of its keys were not taken yet.

    Parameters
    ----------
    where : str
        File and place in it, for messages.
    data : mapping
        Not changed.
    """

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where = where
        self._left = dict(data)

    def take(self, key: str, kind: Any, *default: Any) -> Any:
        """The value of a key, or the default if there is one.

        Parameters
        ----------
        key : str
        kind : type
            A class or list[class]; a bool is no int.

        Raises
        ------
        InternalError
            The key is missing and has no default, or its value is of another type.
        """
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
        """Everything not taken yet; it is then."""
        rest, self._left = self._left, {}
        return rest

    def done(self) -> None:
        """Say that no more keys are known.

        Raises
        ------
        InternalError
            Some are left.
        """
        if self._left:
            raise InternalError(f"{self.where}: unknown key '{next(iter(self._left))}'")

    def wrong(self, key: str, expected: str, found: object) -> InternalError:
        """The error that a key is not as expected, to be raised."""
        return InternalError(f"{self.where}: '{key}' is {found!r}, expected {expected}")


def _is(value: object, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is(item, get_args(kind)[0]) for item in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
