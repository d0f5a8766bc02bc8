"""Options that take one value and are given two."""

from __future__ import annotations

import os
from unittest import mock

import pytest

from coachc.cli.command_line import first_sentence
from coachc.cli.main import app
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


@pytest.mark.parametrize("columns", ["80", "60"])
def test_the_list_of_commands_has_whole_sentences(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    said = coachc("--help").out
    assert max(map(len, said.splitlines())) <= int(columns)
    words = " ".join(said.split())
    for command in app.registered_commands:
        sentence = first_sentence(command.callback.__doc__)
        assert f"{command.name} {sentence}" in words
        assert sentence.endswith(".")
    assert "..." not in said.split("Commands:")[1]


def completions(line):
    words = {"_COACHC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    with mock.patch.dict(os.environ, words):
        return coachc().out.split()


def test_shells_complete_commands_and_flags():
    assert completions("coachc comp") == ["compile", "compare"]
    found = completions("coachc compile m.onnx --device tx2 --dev")
    assert sorted(found) == ["--device-precision", "--device-profile", "--devices"]
    # A line that would be refused is completed all the same.
    assert "--cloud" in completions("coachc compile --device tx2 --device nx --clou")


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/completions/coachc.fish")]
)
def test_completion_is_installed(shell, file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    with mock.patch("shellingham.detect_shell", return_value=(shell, f"/bin/{shell}")):
        outcome = coachc("--install-completion")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / file).exists()
