"""Measurements survive a run that was stopped, and only what is the same is taken for the same."""

from __future__ import annotations

import pytest

from coachc.calib.measurements import Measured, Measurements, measurement_key
from coachc.core.plan import Accuracy, Quantizer
from coachc.errors import FileError

ONE = Measured(Accuracy("labels", 0.9, 0.89, 100, 0.01), promising=False)
TWO = Measured(Accuracy("outputs", 1.0, 0.98, 50, 0.02, 0.03, needed=900, clip=4, worst="boxes"), promising=True)


def test_a_second_run_goes_on_where_the_first_was_stopped(tmp_path):
    path = tmp_path / "bundle.coach.partial"
    first = Measurements(path)
    first.put("a", ONE)
    first.put("b", TWO)
    second = Measurements(path)
    assert second.resumed == 2
    assert (second.get("a"), second.get("b"), second.get("c")) == (ONE, TWO, None)
    second.discard()
    assert not path.exists()


@pytest.mark.parametrize(
    "damage",
    [
        b'{"key": "b", "accur', b"\x00\x01", b'{"key": "b"}\n', b'{"key": "b", "accuracy": {}, "promising": true}',
        b'{"key": "b", "accuracy": {"kind": "labels", "whole": 1, "split": 1, "samples": 3, "loss": 0}}\n',
    ],
    ids=["cut off", "no text", "no accuracy", "another accuracy", "no promise"],
)  # fmt: skip
def test_a_line_that_cannot_be_read_ends_the_file(tmp_path, damage):
    path = tmp_path / "partial"
    Measurements(path).put("a", ONE)
    with path.open("ab") as file:
        file.write(damage)
    again = Measurements(path)
    assert again.resumed == 1
    assert again.get("a") == ONE
    again.put("b", TWO)
    third = Measurements(path)
    assert (third.resumed, third.get("b")) == (2, TWO)


def test_nothing_is_written_without_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = Measurements()
    kept.put("a", ONE)
    assert kept.get("a") == ONE
    kept.discard()
    assert not list(tmp_path.iterdir())


def test_keys_tell_samples_budgets_and_quantizers_apart():
    base = ("f", 0.005, [Quantizer("v", "packed", 4, (0.5,), (0,))])
    keys = {
        measurement_key(*base),
        measurement_key("g", *base[1:]),
        measurement_key(base[0], 0.01, base[2]),
        measurement_key(base[0], base[1], [Quantizer("v", "packed", 4, (0.25,), (0,))]),
        measurement_key(base[0], base[1], [Quantizer("w", "packed", 4, (0.5,), (0,))]),
    }
    assert len(keys) == 5
    assert measurement_key(*base) == measurement_key(*base)


def test_a_file_that_cannot_be_used(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError) as caught:
        Measurements(tmp_path / "folder")
    assert caught.value.message == f"cannot use {tmp_path}/folder, where measurements are kept: Is a directory"
    assert caught.value.hint == "move it away, or give another output"
    absent = Measurements(tmp_path / "absent" / "partial")
    with pytest.raises(FileError) as caught:
        absent.put("a", ONE)
    assert caught.value.message == (f"cannot keep measurements in {tmp_path}/absent/partial: No such file or directory")
    assert caught.value.hint == (
        "make room there or give another output; the same command goes on with what was measured"
    )
