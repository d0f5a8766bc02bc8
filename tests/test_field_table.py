"""The table of what coachc makes of a folder of models, and what it makes of those at hand."""

from __future__ import annotations

import os

import pytest

from tests.helpers import field_table
from tests.helpers.bundles import save
from tests.helpers.field_models import MODELS

pytestmark = pytest.mark.needs("onnxruntime")

#: Models that no flag mends; all but the first can be cut and run.
REFUSED = {
    "fails_when_it_runs": "node 'up' (ConvTranspose) fails when the model runs",
    "computes_nothing": "no operator of computes_nothing computes anything",
    "optional_between": "no plan builds on both sides",
}


@pytest.mark.parametrize("name", MODELS)
def test_models_as_people_have_them(name, tmp_path):
    """No crash, and no bundle that fails its own check."""
    row = field_table.row_of(save(MODELS[name](), tmp_path / f"{name}.onnx"), ("tx2",), 5)
    assert row.verdict == ("refused" if name in REFUSED else "ok"), row.said
    assert REFUSED.get(name, "") in row.said
    assert row.checked == ({} if name in REFUSED else {"tx2": 0})
    assert row.peak_mib > 1
    assert ("recomposed" in row.cuts) == (name != "fails_when_it_runs")


@pytest.mark.parametrize("how", [lambda *given: os._exit(7), lambda *given: 1 / 0])
def test_a_process_that_dies_is_a_crash(how, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(field_table, "tried", how)
    row = field_table.row_of(tmp_path / "m.onnx", ("tx2",), 5)
    assert row.verdict == "crash"
    capfd.readouterr()


@pytest.mark.parametrize(
    ("codes", "verdict"),
    [
        ({"compile": 0, "check": 0}, "ok"),
        ({"compile": 1, "check": 0}, "refused"),
        ({"compile": 70, "check": 0}, "crash"),
        ({"compile": 0, "check": 3}, "fails its own check"),
        ({"compile": 0, "check": 70}, "crash"),
    ],
)
def test_the_verdict_is_that_of_the_exit_codes(codes, verdict, tmp_path, monkeypatch):
    monkeypatch.setattr(field_table, "_run", lambda command, *rest: (codes[command], "said"))
    assert field_table.tried(tmp_path / "m.onnx", ("tx2",), 5).verdict == verdict
