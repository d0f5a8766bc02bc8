"""Names of operators and values in few columns: over two lines or without their middle, and no two of them alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Stands for what is left out.
MARK = "…"
#: Lines of a name in a table.
LINES = 2


def fitted(names: Iterable[str], width: int, lines: int = LINES) -> dict[str, str]:
    """How each name is shown at `width` columns, with line breaks in it where it takes several.

    Parameters
    ----------
    names : iterable of str
    width : int
    lines : int
        Over which a name may go before it is shortened instead.

    Returns
    -------
    dict of str to str
        Different for different names. None is shortened where all fit into `lines` lines, or where the shortened ones
        could not be told apart.
    """
    known = list(dict.fromkeys(names))
    folded = {name: _folded(name, width) for name in known}
    if all(text.count("\n") < lines for text in folded.values()):
        return folded
    for way in (_without_parts, _without_middle):
        found = {name: way(name, width) for name in known}
        if len(set(found.values())) == len(found):
            return found
    return folded


def _folded(name: str, width: int) -> str:
    """Lines that end behind a slash or a space where that is possible."""
    lines = [""]
    for part in re.findall(r"[^/ ]*[/ ]|[^/ ]+$", name):
        if len(lines[-1]) + len(part.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.rstrip() for line in lines)


def _without_parts(name: str, width: int) -> str:
    """Whole parts between slashes are left out: "block_1/…/Conv_3"."""
    if len(name) <= width:
        return name
    parts = name.split("/")
    begin = 2 if name.startswith("/") else 1
    kept = [
        "/".join((*parts[:first], MARK, *parts[last:]))
        for first in range(begin, len(parts))
        for last in range(first + 1, len(parts))
    ]
    return max((text for text in kept if len(text) <= width), key=len, default=_without_middle(name, width))


def _without_middle(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}{MARK}{name[len(name) - tail :]}"
