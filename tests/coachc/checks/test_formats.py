"""The formats of `coachc check`: the same findings as text, JSON and JUnit XML. SARIF: `test_sarif`."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from junitparser import Failure, JUnitXml

from coachc.checks.formats import FORMATS
from coachc.checks.recompose import Finding
from coachc.checks.targets import TargetReport
from coachc.targets.target import Target
from coachc.targets.violation import Violation

TX2 = Target("tx2", "8.2", "8.2.1", "6.2", ("fp16",), fast_int8=False)
A6000 = Target("a6000", "11", "11.4", "8.6", ("int8", "fp16"))
FINDINGS = [Finding("model", "opset 13: read")]


def mod(node: str) -> Violation:
    return Violation(
        "trt8.2/op/Mod", node, "Mod", "not in the list", "write it with Div & Floor", source="documented: x"
    )


WARNING = Violation("trt8.2/narrowed/double-input", "x<1>", "", "becomes float", "cast", "warning", "documented: y")
REPORTS = [
    TargetReport("device.onnx", "device", TX2, (WARNING, *(mod(f"/m{i}") for i in range(7)))),
    TargetReport("cloud.onnx", "cloud", A6000, ()),
]


def test_text_groups_by_rule():
    lines = FORMATS["text"](FINDINGS, REPORTS).splitlines()
    assert lines[0] == "ok  model         opset 13: read"
    assert lines[1] == ("no  target rules  device.onnx on tx2: trt8.2: 8 violations (7 errors, 1 warning)")
    assert lines[2] == "    error   trt8.2/op/Mod (7 times)"
    assert lines[3].endswith("node '/m4' (Mod) and 2 more")
    assert [line.strip() for line in lines[4:7]] == [
        "reason  not in the list",
        "remedy  write it with Div & Floor",
        "source  documented: x",
    ]
    assert lines[7] == "    warning trt8.2/narrowed/double-input"
    assert lines[8].strip() == "at      value 'x<1>'"
    assert lines[-1] == "ok  target rules  cloud.onnx on a6000: trt11: ok"


def test_json_has_every_violation():
    report = json.loads(FORMATS["json"](FINDINGS, REPORTS))
    assert report["ok"] is False
    assert [finding["what"] for finding in report["findings"]] == ["model", "target rules", "target rules"]
    device, cloud = report["targets"]
    assert (device["target"], device["side"], device["ok"], cloud["ok"]) == ("tx2", "device", False, True)
    assert device["violations"][1] == {
        "rule": "trt8.2/op/Mod",
        "node": "/m0",
        "operator": "Mod",
        "reason": "not in the list",
        "remedy": "write it with Div & Floor",
        "severity": "error",
        "source": "documented: x",
    }
    assert len(device["violations"]) == 8


def test_junit_counts_add_up():
    text = FORMATS["junit"](FINDINGS, REPORTS)
    assert text.startswith("<?xml ")
    root = ET.fromstring(text.split("?>", 1)[1])
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "4", "1")
    assert [suite.get("name") for suite in root] == ["graph", "device.onnx on tx2", "cloud.onnx on a6000"]
    for suite in root:
        cases = suite.findall("testcase")
        assert (suite.get("tests"), suite.get("errors")) == (str(len(cases)), "0")
        assert suite.get("failures") == str(sum(case.find("failure") is not None for case in cases))
        assert all(case.get("name") and case.get("classname") for case in cases)
    (failure,) = root.iter("failure")
    assert failure.get("message") == "not in the list"
    assert (failure.text or "").splitlines()[6] == "node '/m6' (Mod): not in the list. write it with Div & Floor."


@pytest.mark.parametrize("reports", [REPORTS, REPORTS[1:], []], ids=["errors", "nothing", "no target"])
def test_another_reader_of_junit_counts_the_same(reports):
    """What the file states is what junitparser counts in it."""
    read = JUnitXml.fromstring(FORMATS["junit"](FINDINGS, reports).encode())
    failing = sum(len({one.rule for one in report.violations if one.severity == "error"}) for report in reports)
    stated = [(suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) for suite in read]
    cases = [case for suite in read for case in suite]
    assert sum(isinstance(result, Failure) for case in cases for result in case.result) == failing
    read.update_statistics()
    assert (read.tests, read.failures, read.errors) == (len(cases), failing, 0)
    assert [(suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) for suite in read] == stated
    assert [name for name, *_ in stated] == ["graph", *(f"{one.where} on {one.target.name}" for one in reports)]


def test_names_that_xml_cannot_hold():
    report = TargetReport("m.onnx", "device", TX2, (mod("a\0b\x1b<&>\ufffe"),))
    (_, suite) = JUnitXml.fromstring(FORMATS["junit"](FINDINGS, [report]).encode())
    (case,) = suite
    assert case.result[0].text.startswith("node 'a\ufffdb\ufffd<&>\ufffd' (Mod)")


def test_a_warning_alone_is_ok():
    report = TargetReport("m.onnx", "device", TX2, (WARNING,))
    assert report.ok
    assert report.finding.detail == "m.onnx on tx2: trt8.2: ok, 1 warning"
    assert json.loads(FORMATS["json"]([], [report]))["ok"] is True
    assert 'failures="0"' in FORMATS["junit"]([], [report])
