"""The README's examples print what it says; `python -m tests.helpers.readme_output` writes that there again."""

from __future__ import annotations

import re

from tests.helpers.readme_output import EXAMPLES, README, as_block, block_after, outputs_of


def normal(text: str) -> str:
    """Without ids, in which the version of every library has a part."""
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", text)


def test_the_examples_print_what_the_readme_says():
    text = README.read_text("utf-8")
    for (_, before), said in zip(EXAMPLES, outputs_of(text), strict=True):
        start, end = block_after(text, before)
        assert normal(text[start:end]) == normal(as_block(said))
