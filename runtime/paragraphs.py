"""Text for people at the width of what shows it: lines that are too long go on below, hanging."""

import os
import textwrap
from typing import Any, Optional

#: Less is taken for this much; what shows it wraps by itself then.
NARROWEST = 40


def columns_of(stream: Any) -> Optional[int]:
    """At how many columns text on a stream is wrapped.

    Parameters
    ----------
    stream : text file

    Returns
    -------
    int or None
        The variable COLUMNS where it is set, else the terminal's columns. None for a pipe or a file: a fact stays on
        one line there, so that grep finds it whole.
    """
    stated = os.environ.get("COLUMNS", "")
    if stated.isdigit() and int(stated) > 0:
        return max(int(stated), NARROWEST)
    try:
        if not stream.isatty():
            return None
        return max(os.get_terminal_size(stream.fileno()).columns or 80, NARROWEST)
    except (AttributeError, OSError, ValueError):
        return None


def hanging(text: str, width: Optional[int], hang: int = 2) -> str:
    """Wrap each line of a text at spaces; what goes on below is indented further than its line, by `hang` columns.

    Words are never broken: paths, ids and addresses are copied. One that is longer than the width stands out.

    Parameters
    ----------
    text : str
    width : int or None
        None leaves it as it is.
    hang : int
    """
    if width is None:
        return text
    return "\n".join(_wrapped(line, width, hang) for line in text.split("\n"))


def _wrapped(line: str, width: int, hang: int) -> str:
    if len(line) <= width:
        return line
    indent = len(line) - len(line.lstrip())
    below = " " * min(hang if indent <= hang else indent + 2, width // 2)
    return textwrap.fill(line, width, subsequent_indent=below, break_long_words=False, break_on_hyphens=False)
