"""The README's example as it prints today: `python -m tests.helpers.readme_output` writes it into the README again."""

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
#: The line before each of the two blocks.
COMMANDS, OUTPUT = "**Try it**", "which prints"


def block_after(text: str, words: str) -> tuple[int, int]:
    """Where the first indented block after a line with these words begins and ends in a README's text."""
    start = text.index("\n\n    ", text.index(words)) + 2
    return start, start + re.match(r"(?:    .*\n|\n(?=    ))+", text[start:]).end()  # type: ignore[union-attr]


def commands(text: str) -> list[list[str]]:
    """The words of the example's commands."""
    start, end = block_after(text, COMMANDS)
    return [shlex.split(line) for line in text[start:end].replace("\\\n", " ").splitlines()]


def output_of(text: str) -> str:
    """What the last command of the example prints, after those before it, in an empty folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, COLUMNS=str(COLUMNS)),
    ):
        said = ""
        for words in commands(text):
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
    """The README with the output of its example."""
    start, end = block_after(text, OUTPUT)
    return text[:start] + as_block(output_of(text)) + text[end:]


if __name__ == "__main__":
    Path(README).write_text(refreshed(README.read_text("utf-8")), "utf-8")
