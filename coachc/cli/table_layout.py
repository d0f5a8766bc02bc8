"""Tables as lines of at most so many columns, in which no number ever loses a digit.

What does not fit is narrowed in this order: titles and texts wrap at spaces, names go on in a second line or are
shortened in their middle, and where that is not enough, each row becomes a short list. Nothing is left out.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Literal, NamedTuple

from coachc.cli.short_names import fitted

#: Columns that a name needs at least, to tell it from others.
LEAST_OF_NAME = 16
#: Between the figures of a list.
_APART = "   "


class Column(NamedTuple):
    """A title, and what stands below it: a number to the right, a name that may be shortened, or text that wraps."""

    title: str
    kind: Literal["number", "name", "text"] = "number"


class Row(NamedTuple):
    """Cells, of which each may have several lines; those of the same place stand beside each other."""

    cells: tuple[str, ...]
    bold: bool = False


class Line(NamedTuple):
    """One line of a table as it is shown."""

    text: str
    bold: bool = False


def table_lines(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Line]:
    """A table at `width` columns, or, where it does not fit, a list a row.

    Parameters
    ----------
    columns : sequence of Column
    rows : sequence of Row
    width : int
    """
    cells = [[text for row in rows for text in row.cells[place].split("\n")] for place in range(len(columns))]
    whole = [max(len(text) for text in (column.title, *found)) for column, found in zip(columns, cells, strict=True)]
    least = [_least(column, found) for column, found in zip(columns, cells, strict=True)]
    for gap in (2, 1):
        room = width - gap * (len(columns) - 1)
        if sum(least) <= room:
            return _as_table(columns, rows, _spread(columns, whole, least, room), " " * gap)
    return _as_lists(columns, rows, width)


def _least(column: Column, cells: Sequence[str]) -> int:
    """The narrowest a column can be."""
    whole = max((len(text) for text in cells), default=0)
    words = max((len(word) for text in cells for word in text.split()), default=0)
    title = max((len(word) for word in column.title.split()), default=0)
    return max(title, {"number": whole, "name": min(whole, LEAST_OF_NAME), "text": words}[column.kind])


def _spread(columns: Sequence[Column], whole: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths between least and whole that fill the room: names and texts first, of them those that lack the least."""
    widths = list(least)
    lacking = sorted(
        range(len(columns)), key=lambda place: (columns[place].kind == "number", whole[place] - least[place])
    )
    for place in lacking:
        widths[place] += max(0, min(whole[place] - least[place], room - sum(widths)))
    return widths


def _as_table(columns: Sequence[Column], rows: Sequence[Row], widths: Sequence[int], gap: str) -> list[Line]:
    names = [
        fitted({text for row in rows for text in row.cells[place].split("\n")}, width) if column.kind == "name" else {}
        for place, (column, width) in enumerate(zip(columns, widths, strict=True))
    ]

    def lines(cells: Sequence[str], bold: bool) -> list[Line]:
        wrapped = [
            names[place][text].split("\n") if text in names[place] else _wrapped(text, width)
            for place, (text, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return [
            Line(gap.join(map(_padded, columns, texts, widths)).rstrip(), bold)
            for texts in itertools.zip_longest(*wrapped, fillvalue="")
        ]

    found = lines([column.title for column in columns], False)
    for row in rows:
        for cells in itertools.zip_longest(*(cell.split("\n") for cell in row.cells), fillvalue=""):
            found += lines(cells, row.bold)
    return found


def _wrapped(text: str, width: int) -> list[str]:
    """Text at spaces; what follows a mark and two columns stays below the text."""
    below = "  " if text[:2] in ("> ", "  ") else ""
    return textwrap.wrap(text, width, subsequent_indent=below, break_long_words=False) or [""]


def _padded(column: Column, text: str, width: int) -> str:
    return text.rjust(width) if column.kind == "number" else text.ljust(width)


def _as_lists(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Line]:
    """Of each row the first cell, and below it the others, each after its title and as many on a line as fit."""
    room = width - 4
    names = [
        _one_line_each([text for row in rows for text in row.cells[place].split("\n")], room - len(column.title))
        if column.kind == "name"
        else {}
        for place, column in enumerate(columns)
    ]
    found = []
    for row in rows:
        cells = [
            "; ".join(names[place].get(text, text) for text in cell.split("\n") if text)
            for place, cell in enumerate(row.cells)
        ]
        head = f"{cells[0]} {columns[0].title}" if columns[0].kind == "number" else cells[0]
        pairs = [f"{column.title}: {cell}" for column, cell in zip(columns[1:], cells[1:], strict=True) if cell]
        for line in [head, *_flowing(pairs, width)]:
            wrapped = textwrap.wrap(
                line, width, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False
            )
            found += [Line(text, row.bold) for text in wrapped]
    return found


def _flowing(pairs: Sequence[str], width: int) -> list[str]:
    """Indented lines of as many pairs as fit."""
    lines: list[str] = []
    for pair in pairs:
        if lines and len(lines[-1]) + len(_APART) + len(pair) <= width:
            lines[-1] += _APART + pair
        else:
            lines.append(f"  {pair}")
    return lines


def _one_line_each(names: Sequence[str], width: int) -> dict[str, str]:
    """Names that two would share when shortened stay whole."""
    return {name: text.replace("\n", "") for name, text in fitted(names, width, 1).items()}
