"""Where commands print for people: tables and lines at the width that is there, styles where they can be seen.

COLUMNS sets the width, also of a pipe; a terminal has its own. A pipe without it gets tables of `PIPE_COLUMNS` and all
else a fact a line. NO_COLOR, FORCE_COLOR and TERM=dumb are rich's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from coachc.cli.table_layout import Column, Row, table_lines
from coachc.runtime.paragraphs import columns_of, hanging

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Of tables in a pipe or a file: what a table of eight figures and a name takes.
PIPE_COLUMNS = 120
#: Facts begin with a label of so many columns.
LABEL = 10


class Screen:
    """A stream that shows tables and lines.

    Parameters
    ----------
    stream : text file, optional
        stdout if not given.
    width : int, optional
        Columns; the stream's own if not given.

    Attributes
    ----------
    width : int
        Of tables.
    """

    def __init__(self, stream: Any = None, width: int | None = None) -> None:
        from rich.console import Console

        stream = stream or sys.stdout
        self._wraps_at = width or columns_of(stream)
        self.width = self._wraps_at or PIPE_COLUMNS
        # Names of operators may look like rich's markup. With a height the console asks nobody else for its size.
        self._console = Console(file=stream, width=self.width, height=25, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", hang: int = 2, *, bold: bool = False) -> None:
        """Text whose lines go on below, `hang` columns to the right, where they are too long."""
        self._console.print(hanging(text, self._wraps_at, hang), style="bold" if bold else None, soft_wrap=True)

    def facts(self, lines: Iterable[str]) -> None:
        """Lines that begin with a label of `LABEL` columns, or so many spaces."""
        for line in lines:
            self.line(line, LABEL)

    def table(self, columns: Sequence[Column], rows: Sequence[Row], title: str = "") -> None:
        """A table, as `table_layout` fits it."""
        if title:
            self.line(title)
        for text, bold in table_lines(columns, rows, self.width):
            self._console.print(text, style="bold" if bold else None, soft_wrap=True)

    def tree(self, tree: RenderableType) -> None:
        """Something of rich that fits itself to the width."""
        self._console.print(tree)
