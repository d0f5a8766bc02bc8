"""One kind of limit: a function that says what it found in a node, and the arguments that TOML gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of limit.

    Attributes
    ----------
    found : callable
        (node, facts, **arguments) -> what breaks the limit, "" if nothing does.
    arguments : dict of str to type
        Keys of the TOML table that it takes.
    """

    found: Callable[..., str]
    arguments: dict[str, Any]
