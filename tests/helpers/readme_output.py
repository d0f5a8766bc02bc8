"""The README's examples as they print today: `python -m tests.helpers.readme_output` writes them there again."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import tempfile
from pathlib import Path
from unittest import mock

from coachc.models import digits
from tests.helpers.commands import REPOSITORY, succeed

README = REPOSITORY / "README.md"
#: What an indented block of the README can hold in a line of 120.
COLUMNS = 114
#: Words of the line before each block of commands, and before the block of what the last of them prints.
EXAMPLES = (("**Try it**", "which prints"), ("**Estimate.**", "which gives"))


def block_after(text: str, words: str) -> tuple[int, int]:
    """Where the first indented block after a line with these words begins and ends in a README's text."""
    start = text.index("\n\n    ", text.index(words)) + 2
    return start, start + re.match(r"(?:    .*\n|\n(?=    ))+", text[start:]).end()  # type: ignore[union-attr]


def commands(text: str, words: str) -> list[list[str]]:
    """The words of an example's commands."""
    start, end = block_after(text, words)
    return [shlex.split(line) for line in text[start:end].replace("\\\n", " ").splitlines()]


def outputs_of(text: str) -> list[str]:
    """What the last command of each example prints, after all those before it, in an empty folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, COLUMNS=str(COLUMNS)),
    ):
        return [_said(commands(text, before)) for before, _ in EXAMPLES]


def _said(lines: list[list[str]]) -> str:
    said = ""
    for words in lines:
        if words[0] == "coachc":
            said = succeed(*words[1:])
        else:
            assert words[:4] == ["python", "-m", "coachc.models.digits", "data"], words
            with contextlib.redirect_stdout(None):
                digits.app(words[3:], standalone_mode=False)
    return said


def as_block(said: str) -> str:
    """Output as the README has it."""
    return "".join(f"    {line}".rstrip() + "\n" for line in said.splitlines())


def refreshed(text: str) -> str:
    """The README with the output of its examples."""
    for (_, before), said in zip(EXAMPLES, outputs_of(text), strict=True):
        start, end = block_after(text, before)
        text = text[:start] + as_block(said) + text[end:]
    return text


if __name__ == "__main__":
    Path(README).write_text(refreshed(README.read_text("utf-8")), "utf-8")
