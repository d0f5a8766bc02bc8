"""Every error of the compiler ends a command with its code, and so do our own faults."""

from __future__ import annotations

from unittest import mock

import pytest
import typer

from coachc import errors
from tests.helpers.commands import coachc

CODES = {
    "CoachError": 1,
    "ModelError": 1,
    "DataError": 1,
    "FileError": 1,
    "ProfileError": 1,
    "InfeasibleError": 1,
    "ToolchainError": 1,
    "UsageError": 2,
    "CheckFailure": 3,
    "InternalError": 70,
}


def test_the_errors_of_that_table_are_all_there_are():
    classes = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)}
    assert classes == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_a_command_ends_with_the_code_of_its_error(name):
    error = getattr(errors, name)("what was wrong")
    with mock.patch("coachc.cost.device_files.all_devices", side_effect=error):
        outcome = coachc("devices")
    assert (outcome.code, outcome.out) == (CODES[name], "")
    assert "what was wrong" in outcome.err
    assert ("Traceback" in outcome.err) == (name == "InternalError")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ZeroDivisionError("division by zero"), 70, "error[internal]: this is a bug in coachc"),
        (OSError(28, "No space left on device", "/data/x"), 1, "error[file]: /data/x: No space left on device"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(3), 3, ""),
    ],
)
def test_other_ends(raised, code, said):
    with mock.patch("coachc.cost.device_files.all_devices", side_effect=raised):
        outcome = coachc("devices")
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


def test_what_typer_refuses_is_wrong_usage():
    assert [coachc(*words).code for words in (["devices", "--jsn"], ["nothing"], ["compile"])] == [2, 2, 2]


def test_the_help_says_what_the_codes_mean():
    said = " ".join(coachc("--help").out.split())
    assert "Exit codes: 0 done; 1 an error you can mend; 2 wrong usage; 3 a finding" in said
    assert "70 a bug in coachc; 130 interrupted." in said
