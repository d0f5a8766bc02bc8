"""`coachc run` under the online controller on the digits network: what a replay says of the same tasks, one by one.

And over a link that changes: its record decides the same again, and its trace alone comes to the same shares.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coachc.evaluate.bandwidth_trace import constant, load_trace
from coachc.evaluate.evaluate_bundle import policies_of
from coachc.evaluate.replay import Setup, replay
from coachc.evaluate.replay_figures import mean
from coachc.evaluate.tasks import BundleTasks
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.commands import coachc, serving
from tests.helpers.device_run import run_all
from tests.helpers.traced_link import serving_over

pytestmark = [pytest.mark.needs("sklearn"), pytest.mark.needs("uvicorn"), pytest.mark.needs("httptools")]

DIGITS = Path(__file__).parents[3] / "models" / "digits.onnx"
TASKS = 250
#: Tasks of a run over a link that changes, and how many come each second: 10 s.
PACED, FPS = 150, 15
#: 1.5 ms for a task of 8 bits, then 80 (3 bits) to 150 ms, then 1.5 ms again: 66 ms between tasks leave room for the
#: first, not for the second, also where a busy machine adds some tens of ms. Half of the tasks are in the middle,
#: so that what the device sends before it knows the link weighs little.
LINK = {"dur_ms": [1500, 5500, 60000], "mbps": [8, 0.078, 8]}


@pytest.fixture(scope="module")
def digits(digits_on_a_tx2):
    """A bundle for a TX2 on 20 Mbit/s, and the samples kept apart."""
    return digits_on_a_tx2 / "digits.coach", digits_on_a_tx2 / "test.npz"


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
        report = run_all(
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
    sent = reports["default"]["tasks"] - sum(reports["default"]["exits"].values())
    assert sum(reports["default"]["tasks_by_bits"].values()) == sent
    assert all(report["accuracy"] >= 0.97 for report in reports.values())
    assert "policy          default" in shown
    assert "estimated at the end" in shown
    assert refused.code != 0
    assert "--policy 'best': no such choice" in refused.err


@pytest.fixture(scope="module", params=["paper", "default"])
def recorded(digits, request, tmp_path_factory):
    """(policy, report of a paced run over a link that changes, its record, the link's trace)."""
    path, test = digits
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "link.json").write_text(json.dumps(LINK))
    with serving_over(open_bundle(path), load_trace(folder / "link.json")) as address:
        report = coachc(
            "run", path, "--server", address, "--source", test, "--policy", request.param, "--fps", FPS, "--limit",
            PACED, "--record", folder / "run.record", "--json",
        ).json()  # fmt: skip
    return request.param, report, folder / "run.record", folder / "link.json"


def test_a_recorded_run_decides_the_same_again(digits, recorded):
    path, _ = digits
    policy, report, record, _ = recorded
    found = coachc("eval", path, "--replay", record, "--json").json()
    assert (found["policy"], found["tasks"], found["first"]) == (policy, PACED, None)
    assert found["equal"] == found["decisions"] > 2 * PACED
    exits = sum(report["exits"].get(reason, 0) for reason in ("score", "memory"))
    assert found["replayed"] == found["recorded"]
    assert found["recorded"]["exits"]["value"] == exits / PACED
    assert len(report["tasks_by_bits"]) > 1


def test_a_record_with_another_number_does_not(digits, recorded, tmp_path):
    """Had the first answers taken a hundred times as long, the link would have been thought slow."""
    path, _ = digits
    _, _, record, _ = recorded
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    answered = [line for line in lines if line.get("call") == "answered"]
    for line in answered[:20]:
        transfer = line["transfer"]
        transfer["end_s"] += 99 * (transfer["end_s"] - transfer["start_s"])
    (tmp_path / "changed").write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = coachc("eval", path, "--replay", tmp_path / "changed", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 3
    assert found["equal"] < found["decisions"]
    assert found["first"]["line"] > lines.index(answered[0])


def test_the_trace_alone_says_what_the_run_did(digits, recorded):
    """Shares of exits and mean bits, within the intervals of both."""
    path, test = digits
    policy, _, record, trace = recorded
    ran = coachc("eval", path, "--replay", record, "--json").json()["recorded"]
    simulated = coachc(
        "eval", path, "--data", test, "--stream", "--limit", PACED, "--trace", trace, "--fps", FPS, "--policy", policy,
        "--json",
    ).json()[policy]  # fmt: skip
    rungs = policies_of(open_bundle(path))[open_bundle(path).manifest.chosen][policy].rungs
    bits = mean(np.repeat([rungs[int(rung)].bits[0] for rung in simulated["rungs"]], list(simulated["rungs"].values())))
    assert simulated["exits"]["low"] <= ran["exits"]["high"]
    assert ran["exits"]["low"] <= simulated["exits"]["high"]
    assert abs(bits.value - ran["bits"]["value"]) <= bits.half_width + ran["bits"]["half_width"]
    # Without the time between tasks both policies send 3 to 5 bits on this link, but for the first tasks.
    assert min(bits.value, ran["bits"]["value"]) > 4.5
