"""How long work says what it is at."""

from __future__ import annotations

from collections.abc import Callable

#: Says what is going on: (step, done, total); total 0 where it is unknown.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """A progress nobody watches."""
