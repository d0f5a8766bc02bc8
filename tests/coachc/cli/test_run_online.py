"""`coachc run` under the online controller on the digits network: what a replay says of the same tasks, one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coachc.evaluate.bandwidth_trace import constant
from coachc.evaluate.evaluate_bundle import policies_of
from coachc.evaluate.replay import Setup, replay
from coachc.evaluate.tasks import BundleTasks
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.device.run_bundle import run_bundle
from tests.helpers.commands import coachc, serving, succeed

pytestmark = [pytest.mark.needs("sklearn"), pytest.mark.needs("uvicorn"), pytest.mark.needs("httptools")]

DIGITS = Path(__file__).parents[3] / "models" / "digits.onnx"
TASKS = 250


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A bundle for a TX2 on 20 Mbit/s, and the samples kept apart."""
    from coachc.models.digits import write_data

    folder = tmp_path_factory.mktemp("digits")
    write_data(folder / "calib.npz", folder / "test.npz")
    succeed("compile", DIGITS, "--device", "tx2", "--calib", folder / "calib.npz", "-o", folder / "digits.coach")
    return folder / "digits.coach", folder / "test.npz"


def test_a_run_is_its_replay(digits, tmp_path):
    """With spare time left to save bytes, no decision depends on the clock: exits, precision, audits and answers."""
    path, test = digits
    bundle = open_bundle(path)
    cut = bundle.manifest.chosen
    policies = policies_of(bundle)
    source = open_source(str(test), bundle.manifest.model.inputs, bundle.manifest.preprocess, limit=TASKS)
    tasks = BundleTasks(bundle, source, {name: named["none"] for name, named in policies.items()})
    setup = Setup(constant(2.5e6), 5e-3, 2.5e6, prefer="bytes", seed=1)
    expected = replay("default", tasks, range(TASKS), {cut: policies[cut]["default"]}, cut, setup)
    stats = tmp_path / "stats.jsonl"
    with serving(path) as address:
        report = run_bundle(
            str(path), address, str(test), limit=TASKS, prefer="bytes", stats=str(stats), in_flight=3,
            draw=np.random.default_rng(1).random,
        )  # fmt: skip
    lines = sorted((json.loads(line) for line in stats.read_text().splitlines()), key=lambda line: line["task"])
    assert [line["task"] for line in lines] == list(range(TASKS))
    assert report.predictions == tuple(outcome.label for outcome in expected)
    rungs = policies[cut]["default"].rungs
    for line, outcome in zip(lines, expected, strict=True):
        bits = [] if outcome.exit else list(rungs[outcome.rung].bits)
        assert (line["exit"], line["label"], line["bits"]) == (outcome.exit, outcome.label, bits)
    exits = sum(bool(outcome.exit) for outcome in expected)
    assert 0.3 * TASKS < exits < 0.9 * TASKS
    assert report.online.exits == {"score": exits}
    assert report.online.audits == report.online.audits_agreed > 0


def test_policies_on_the_command_line(digits):
    path, test = digits
    with serving(path) as address:
        run = ["run", path, "--server", address, "--source", test, "--limit", 100]
        reports = {name: coachc(*run, "--policy", name, "--json").json() for name in ("none", "paper", "default")}
        shown = coachc(*run).out
        refused = coachc(*run, "--policy", "best")
    assert {name: report["policy"] for name, report in reports.items()} == {name: name for name in reports}
    assert reports["none"]["exits"] == {}
    assert reports["paper"]["exits"]["score"] > 10
    assert reports["default"]["exits"]["score"] > 10
    assert reports["default"]["bytes_per_task"] < reports["none"]["bytes_per_task"]
    assert all(report["accuracy"] >= 0.97 for report in reports.values())
    assert "policy          default" in shown
    assert "estimated at the end" in shown
    assert refused.code != 0
    assert "--policy 'best': no such choice" in refused.err
