"""The README's example prints what the README says; `python -m tests.helpers.readme_output` writes it there again."""

from __future__ import annotations

import re

from tests.helpers.readme_output import OUTPUT, README, as_block, block_after, output_of


def normal(text: str) -> str:
    """Without ids, in which the version of every library has a part."""
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", text)


def test_the_example_prints_what_the_readme_says():
    text = README.read_text("utf-8")
    start, end = block_after(text, OUTPUT)
    assert normal(text[start:end]) == normal(as_block(output_of(text)))
