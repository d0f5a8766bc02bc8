"""`coachc eval`: a compiled bundle, test images and a trace in, one row a policy out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.online.policy_file import decode_policies
from tests.helpers.bundles import rewrite_manifest
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.pictures import png

pytestmark = [pytest.mark.needs("onnxruntime"), pytest.mark.needs("sklearn")]

DIGITS = Path(__file__).parents[3] / "models" / "digits.onnx"


@pytest.fixture(scope="module")
def digits(digits_on_a_tx2, tmp_path_factory):
    """(bundle, report of the compilation, 300 test images): calibrated on enough images to certify exits."""
    test = tmp_path_factory.mktemp("digits") / "test.npz"
    with np.load(digits_on_a_tx2 / "test.npz") as stored:
        np.savez(test, **{key: stored[key][:300] for key in stored})
    report = json.loads((digits_on_a_tx2 / "report.json").read_text())
    return digits_on_a_tx2 / "digits.coach", report, test


def test_the_default_exits_and_keeps_the_accuracy(digits):
    path, _, test = digits
    results = coachc("eval", path, "--data", test, "--json").json()
    assert list(results) == ["none", "paper", "default", "oracle"]
    default, plain = results["default"], results["none"]
    assert default["exits"]["value"] > 0.3
    assert default["loss"] <= 0.005
    # Spare time on the link goes into precision unless it is to be saved.
    saving = coachc("eval", path, "--data", test, "--prefer", "bytes", "--json").json()["default"]
    assert saving["bytes_per_task"]["value"] < 0.8 * plain["bytes_per_task"]["value"]
    assert default["latency_s"]["value"] < plain["latency_s"]["value"]
    assert results["oracle"]["exits"]["value"] >= default["exits"]["value"]
    assert plain["exits"]["value"] == 0
    assert set(default["busy"]) == {"device", "link", "cloud"}


@pytest.mark.needs("PIL")
def test_a_limit_is_of_all_classes_and_what_is_no_picture_is_named(digits, tmp_path):
    """Of the last class there is one picture only, and that is broken."""
    path, _, test = digits
    shutil.copytree(path, tmp_path / "pictures.coach")
    preprocess = Preprocess((64, 64), "nearest", "gray", "nchw", 255.0, (0.0,), (1.0,))
    rewrite_manifest(tmp_path / "pictures.coach", lambda raw: raw.update(preprocess=preprocess._asdict()))
    with np.load(test) as stored:
        pixels, labels = np.rint(stored["input"] * 255).clip(0, 255).astype(np.uint8), stored["labels"]
    for label in range(10):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for row in np.flatnonzero(labels == label)[: 1 if label == 9 else 4]:
            (tmp_path / "images" / str(label) / f"{row}.png").write_bytes(png(pixels[row, 0]))
    (broken,) = (tmp_path / "images" / "9").iterdir()
    broken.write_bytes(b"")
    arguments = ["eval", tmp_path / "pictures.coach", "--data", tmp_path / "images", "--limit", 10, "--policy", "none"]
    spread, stream = coachc(*arguments), coachc(*arguments, "--stream")
    assert (spread.code, stream.code, stream.err) == (0, 0, "")
    assert spread.err == f"skipped 1: 9/{broken.name} (cannot be read: no image of a known kind)\n"
    assert ": 9 tasks; simulated" in spread.out
    assert ": 10 tasks; simulated" in stream.out
    (tmp_path / "images" / "10").mkdir()
    (tmp_path / "images" / "10" / "x.png").write_bytes(b"")
    outcome = coachc(*arguments)
    assert (outcome.code, outcome.out) == (1, "")
    # Names sort as text: 10 comes before 2.
    assert "has label 10, and the model has 10 outputs" in outcome.err


def test_what_is_printed_is_what_was_measured(digits):
    path, _, test = digits
    said = succeed("eval", path, "--data", test, "--policy", "default", "--policy", "none", "--stream", "--seed", 3)
    found = coachc(
        "eval", path, "--data", test, "--policy", "default", "--policy", "none", "--stream", "--seed", 3, "--json"
    ).json()
    lines = [line.split() for line in said.splitlines()]
    row = next(line for line in lines if line and line[0] == "default")
    assert row[1] == f"{found['default']['accuracy']['value']:.2%}"
    assert row[4] == f"{found['default']['exits']['value']:.1%}"
    assert "simulated with the stage times the plan was made with" in said


def test_the_bundle_says_what_the_compilation_said(digits):
    path, report, _ = digits
    bundle = open_bundle(path)
    (name,) = (name for name in report["online"])
    cut = bundle.manifest.cut(name)
    policies = decode_policies(bundle.read(cut.policy))
    online = report["online"][name]
    assert policies["default"].exits.scorer.kind == online["score"]
    assert policies["default"].exits.thresholds[0] == pytest.approx(online["threshold"])
    assert policies["default"].rungs[policies["default"].base].bits == tuple(online["bits"])
    assert online["loss_bound"] == report["accuracy"]["loss_bound_95"] <= 0.005
    assert 0 < online["share"] < 1
    assert set(online["scores"]) == {"separability", "margin", "head"}
    # A task sent at another precision than the plan's has to be one the halves know.
    known = {level.bits for value in cut.values for level in value.levels}
    assert {bits for rung in policies["default"].rungs for bits in rung.bits} <= known


def test_a_trace_and_arrivals(digits, tmp_path):
    path, _, test = digits
    trace = tmp_path / "traces.json"
    trace.write_text(json.dumps({"slow": {"dur_ms": [400, 600], "mbps": [0.2, 2.0]}}))
    arguments = ("eval", path, "--data", test, "--trace", f"{trace}:slow", "--policy", "none", "--policy", "default")
    results = coachc(*arguments, "--fps", 20, "--json").json()
    assert results["default"]["exits"]["value"] > 0.3
    assert results["none"]["throughput_per_s"] <= 20.1
    assert "the link is the bottleneck even at the lowest precision" in succeed(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere.npz"], "no such source"),
        (["--data", "TEST", "--policy", "best"], "quantpipe"),
        (["--data", "TEST", "--trace", "nowhere.json"], "cannot read the trace"),
        (["--data", "TEST", "--prefer", "speed"], "bytes"),
    ],
)
def test_wrong_input_is_one_clear_error(digits, arguments, said):
    path, _, test = digits
    outcome = coachc("eval", path, *(str(test) if word == "TEST" else word for word in arguments))
    assert outcome.code in (1, 2)
    assert said in outcome.err


def test_a_bundle_without_policies_is_refused(digits, tmp_path):
    _, _, test = digits
    path = tmp_path / "noise.coach"
    compile_json(DIGITS, path, "--calib", "random", "--task", "classify")
    outcome = coachc("eval", path, "--data", test)
    assert outcome.code in (1, 2)
    assert "no online policy" in outcome.err


def test_outputs_are_judged_as_the_bundle_says(digits, tmp_path):
    """Against the same halves of the same samples, run here; a shift in one output of a half breaks the budget."""
    _, _, test = digits
    path = tmp_path / "outputs.coach"
    report = compile_json(DIGITS, path, "--calib", test, "--task", "outputs", "--mode", "split")
    assert report["online"]["split"] == {"reason": "outputs are judged, not a class that the device could answer with"}
    found = coachc("eval", path, "--data", test, "--json").json()
    assert (found["tasks"], [one["name"] for one in found["outputs"]]) == (300, ["logits"])
    assert found["outputs"][0]["loss"] <= found["outputs"][0]["loss_bound"]
    assert found["outputs"][0]["loss"] == pytest.approx(report["accuracy"]["loss"], rel=0.5)
    assert found["outputs"][0]["largest"] < 1
    said = succeed("eval", path, "--data", test)
    assert "logits" in said
    assert "100 % as good as a constant" in said
    refused = coachc("eval", path, "--data", test, "--policy", "none")
    assert (refused.code, refused.out) == (2, "")
    assert "--policy: no policy or link changes what is sent of this bundle" in refused.err
