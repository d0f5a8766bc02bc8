import io
import os

import pytest

from coachc.runtime.paragraphs import NARROWEST, columns_of, hanging


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 7


def test_the_width_of_a_stream(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((97, 30)))
    monkeypatch.delenv("COLUMNS", raising=False)
    assert (columns_of(Terminal()), columns_of(io.StringIO())) == (97, None)
    for text, width in (("60", 60), ("10", NARROWEST), ("", 97), ("0", 97), ("wide", 97)):
        monkeypatch.setenv("COLUMNS", text)
        assert columns_of(Terminal()) == width
    monkeypatch.setenv("COLUMNS", "60")
    assert columns_of(io.StringIO()) == 60


def test_a_terminal_that_does_not_say_has_80(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((0, 0)))
    assert columns_of(Terminal()) == 80


@pytest.mark.parametrize(
    ("text", "hang", "wrapped"),
    [
        ("short", 4, "short"),
        ("policy    default of them all", 10, "policy    default of\n          them all"),
        ("          default of them all", 10, "          default of\n          them all"),
        ("  at a: one two three four", 2, "  at a: one two three\n  four"),
        ("a line\n  more of it, which is long", 4, "a line\n  more of it, which is\n    long"),
        ("in /a/path/that/is/longer/than/that now", 4, "in\n    /a/path/that/is/longer/than/that\n    now"),
    ],
)
def test_what_goes_on_below_hangs(text, hang, wrapped):
    assert hanging(text, 22, hang) == wrapped
    assert hanging(text, None, hang) == text
