"""The flag of all commands that print a table, and how texts of flags become values; groups of flags are in `flags`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coachc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of a table.")]


def parse_fraction(text: str, flag: str) -> float:
    """A fraction from "0.5%" or "0.005"."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        meant = f"write {flag} {number}% if you meant percent" if 1 <= value <= 100 else f"for example {flag} 0.5%"
        raise UsageError(f"{flag} '{text}' is not a fraction between 0 and 1", hint=meant)
    return value


def one_of(text: str, flag: str, known: Iterable[str]) -> str:
    """A flag's value that is one of a few words."""
    if text not in known:
        raise UsageError(f"{flag} '{text}' is unknown", hint=f"one of {', '.join(known)}")
    return text
