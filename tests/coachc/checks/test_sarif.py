"""SARIF as others read it: the standard's schema, and what GitHub's code scanning asks for beyond it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from fluidattacks_core.sarif import SarifLog
from pydantic import ValidationError

from coachc.checks.recompose import Finding
from coachc.checks.sarif import MOST_RESULTS, ROOT, as_sarif
from coachc.checks.targets import TargetReport
from coachc.models.synthetic import chain, residual
from coachc.targets.target import Target
from coachc.targets.violation import Violation
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, compile_json
from tests.helpers.onnx_models import info, net, op

TX2 = Target("tx2", "8.2", "8.2.1", "6.2", ("fp16",), fast_int8=False)
A6000 = Target("a6000", "11", "11.4", "8.6", ("int8", "fp16"))
FINDINGS = [Finding("model", "opset 13: read")]
WARNING = Violation("trt8.2/narrowed/double-input", "x<1>", "", "becomes float", "cast", "warning", "documented: y")


def mod(node: str) -> Violation:
    return Violation("trt8.2/op/Mod", node, "Mod", "not in the list", "use Div & Floor", source="documented: x")


REPORTS = [
    TargetReport("device.onnx", "device", TX2, (WARNING, *(mod(f"/m{i}") for i in range(7))), bundle="nets/a b.coach"),
    TargetReport("cloud.onnx", "cloud", A6000, (), bundle="nets/a b.coach"),
]


def read(text: str) -> dict:
    """A log that its schema and GitHub take, parsed.

    The schema is the standard's own, as a model that somebody else made of it: unknown keys, wrong types, values that
    are none of an enumeration and missing keys are refused. The other limits are those GitHub documents: "SARIF
    support for code scanning".
    """
    SarifLog.model_validate_json(text, strict=True)
    assert len(text) < 10 << 20
    log = json.loads(text)
    (run,) = log["runs"]
    assert re.fullmatch(r"coachc/([\w.+-]+/)?", run["automationDetails"]["id"])
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        for said in (rule["id"], *(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))):
            assert 0 < len(said) <= 1024
            assert "{}" not in said
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note", "none")
    assert len(run["results"]) <= MOST_RESULTS == 25_000
    marks = set()
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note", "none")
        assert result["message"]["text"]
        (location,) = result["locations"]
        artifact = location["physicalLocation"]["artifactLocation"]
        uri = urlsplit(artifact["uri"])
        assert re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]+", uri.path)
        if uri.scheme:
            assert (uri.scheme, "uriBaseId" in artifact) == ("file", False)
        else:
            assert artifact["uriBaseId"] in run["originalUriBaseIds"]
            assert not uri.path.startswith("/")
            assert ".." not in uri.path.split("/")
        region = location["physicalLocation"]["region"]
        assert region["startLine"] >= 1
        assert (region["endLine"], region["endColumn"]) >= (region["startLine"], region["startColumn"])
        mark = result["partialFingerprints"]["primaryLocationLineHash"]
        assert re.fullmatch(r"[0-9a-f]{16}:\d+", mark)
        marks.add(mark)
    assert len(marks) == len(run["results"])
    return run


@pytest.mark.parametrize("reports", [REPORTS, REPORTS[1:], []], ids=["errors", "nothing", "no target"])
def test_a_log_is_taken(reports):
    run = read(as_sarif(FINDINGS, reports))
    assert len(run["results"]) == (8 if len(reports) == 2 else 0)
    assert run["invocations"] == [{"executionSuccessful": True}]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda log: log.update(found=1),
        lambda log: log.update(version="2.0.0"),
        lambda log: log["runs"][0]["tool"]["driver"].pop("name"),
        lambda log: log["runs"][0]["results"][0].update(level="fatal"),
        lambda log: log["runs"][0]["results"][0].update(ruleIndex="0"),
        lambda log: log["runs"][0]["results"][0].pop("message"),
        lambda log: log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"].update(startLine=0),
    ],
)
def test_the_schema_is_strict(spoil):
    log = json.loads(as_sarif([], REPORTS))
    spoil(log)
    with pytest.raises(ValidationError):
        SarifLog.model_validate_json(json.dumps(log), strict=True)


def test_a_result_says_node_target_and_remedy():
    run = read(as_sarif([], REPORTS))
    first, last = run["results"][0], run["results"][-1]
    assert first["message"]["text"] == "node '/m0' (Mod): not in the list (on tx2 (TensorRT 8.2.1)). use Div & Floor."
    assert first["locations"][0]["logicalLocations"] == [{"name": "/m0", "kind": "element"}]
    assert (last["level"], last["message"]["text"][:14]) == ("warning", "value 'x<1>': ")
    assert run["tool"]["driver"]["rules"][0] == {
        "id": "trt8.2/op/Mod",
        "shortDescription": {"text": "TensorRT 8.2: the parser has no operator Mod."},
        "fullDescription": {
            "text": "TensorRT 8.2: the parser has no operator Mod. For example: not in the list.",
        },
        "help": {"text": "use Div & Floor. Source: documented: x."},
        "defaultConfiguration": {"level": "error"},
    }
    assert run["automationDetails"]["id"] == "coachc/tx2+a6000/"


def test_paths_are_relative_to_where_coachc_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def artifact(file: str) -> dict:
        report = TargetReport(file, "device", TX2, (WARNING,))
        return read(as_sarif([], [report]))["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]

    assert artifact("a/../b c#1.onnx") == {"uri": "b%20c%231.onnx", "uriBaseId": ROOT}
    assert artifact(str(tmp_path / "x.onnx")) == {"uri": "x.onnx", "uriBaseId": ROOT}
    outside = artifact("../elsewhere.onnx")
    assert list(outside) == ["uri"]
    assert Path(unquote(urlsplit(outside["uri"]).path)) == tmp_path.parent / "elsewhere.onnx"
    inside = read(as_sarif([], REPORTS))["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert inside["uri"] == "nets/a%20b.coach/device.onnx"


def test_results_of_one_node_are_told_apart_and_keep_their_fingerprints():
    twice = TargetReport("m.onnx", "device", TX2, (mod("n"), mod("n"), mod("other")))

    def marks(*reports: TargetReport) -> list[str]:
        results = read(as_sarif([], reports))["results"]
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]

    first, second, other = marks(twice)
    assert (first[:-1], first[-1], second[-1]) == (second[:-1], "1", "2")
    assert other[:16] != first[:16]
    assert marks(TargetReport("m.onnx", "device", TX2, (WARNING, mod("n"))))[0] == first


def test_more_results_than_github_takes():
    report = TargetReport("m.onnx", "device", TX2, (WARNING, *(mod(f"n{i}") for i in range(5))))
    run = read(as_sarif([], [report], most=4))
    assert [result["level"] for result in run["results"]] == ["error"] * 4
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["trt8.2/op/Mod"]
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notification["message"]["text"] == "2 more results are left out; --format json has them all."


def test_of_models(tmp_path, monkeypatch):
    """None, errors, warnings: what the command prints."""
    monkeypatch.chdir(tmp_path)
    wrong = net([op("Mod", "x x", "y", name="the_mod", fmod=1)], ["x"], [info("y", (1, 4, 8, 8))])
    doubtful = net([op("Softmax", "x", "y", name="s")], [info("x", (1, 4), "double")], [info("y", (1, 4), "double")])
    for name, model, code, levels in (
        ("good.onnx", chain(), 0, []),
        ("wrong.onnx", wrong, 3, ["error"]),
        ("doubtful.onnx", doubtful, 0, ["warning"] * 3),
    ):
        save(model, tmp_path / name)
        outcome = coachc("check", name, "--device", "tx2", "--cloud", "a6000", "--format", "sarif")
        assert outcome.code == code
        results = read(outcome.out)["results"]
        assert [result["level"] for result in results if "tx2" in result["message"]["text"]] == levels
        assert {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results} <= {name}


@pytest.mark.needs("onnxruntime")
def test_of_bundles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for target, code in (("tx2", 0), ("local", 3)):
        path = f"{target}.coach"
        compile_json(
            save(residual(), tmp_path / "n.onnx"),
            path,
            "--device",
            target,
            "--calib",
            "random",
            "--mode",
            "split",
            "--bandwidth",
            "100kbit",  # codes pay, however long this machine takes now
        )
        outcome = coachc("check", path, "--samples", 1, "--device", "tx2", "--format", "sarif")
        assert outcome.code == code
        results = read(outcome.out)["results"]
        assert bool(results) == bool(code)
        for result in results:
            artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
            assert (tmp_path / artifact["uri"]).is_file()
