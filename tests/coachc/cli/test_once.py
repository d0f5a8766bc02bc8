"""Options that take one value and are given two."""

from __future__ import annotations

import pytest

from tests.helpers.commands import coachc


@pytest.mark.parametrize(
    ("words", "name", "values"),
    [
        (["compile", "m.onnx", "--device", "tx2", "--device", "nx"], "--device", "tx2, nx"),
        (["compile", "m.onnx", "--device=tx2", "-o", "a", "--output", "b", "--output=c"], "--output", "a, b, c"),
        (["run", "b", "--source", "x", "--source", "x"], "--source", "x, x"),
        (["explain", "m.onnx", "--bits", "3", "--bits", "4"], "--bits", "3, 4"),
        (["serve", "b", "--listen", "h:1", "--cut", "a", "--listen", "h:2"], "--listen", "h:1, h:2"),
    ],
)
def test_an_option_given_twice_is_refused(words, name, values):
    outcome = coachc(*words)
    assert (outcome.code, outcome.out) == (2, "")
    times = values.count(",") + 1
    said = f"error[usage]: {name} is given {times} times and takes one value: {values}\n"
    assert outcome.err == f"{said}  hint: leave one {name} out\n"


def test_what_repeats_and_switches_may_be_given_twice():
    outcome = coachc("check", "nothing.onnx", "--shape", "a:1x2", "--shape", "b:1x2", "--json", "--json")
    assert outcome.code == 1
    assert "error[model]" in outcome.err


def test_help_still_wins():
    assert coachc("compile", "--device", "tx2", "--help").code == 0
