"""`coachc check` for targets: a model for given ones, a bundle half by half, exit codes and formats."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from onnx import helper

from coachc.models.synthetic import chain
from tests.helpers.bundles import rewrite_manifest, save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.onnx_models import constant, info, net, op

MODEL = net(
    [op("Relu", "x", "r"), op("Mod", "r r", "m", name="the_mod", fmod=1), op("Neg", "m", "y")],
    ["x"],
    [info("y", (1, 4, 8, 8))],
)


@pytest.fixture
def model(tmp_path):
    return save(MODEL, tmp_path / "mod.onnx")


def test_a_node_that_does_not_build(model):
    outcome = coachc("check", model, "--device", "tx2")
    assert (outcome.code, outcome.err) == (3, "")
    assert re.search(r"no  target rules  .*mod\.onnx on tx2: trt8\.2: 1 violation \(1 error\)", outcome.out)
    for text in ("trt8.2/op/Mod", "node 'the_mod' (Mod)", "not in the parser's operator list", "remedy  a - floor"):
        assert text in outcome.out


def test_what_compile_rewrites_is_said_and_for_whom(tmp_path):
    pads = [constant("p", [1, 1], np.int64), constant("axes", [2], np.int64)]
    path = save(net([op("Pad", "x p _ axes", "y")], ["x"], ["y"], pads, opset=18), tmp_path / "pad.onnx")
    said = succeed("check", path, "--device", "tx2", "--cloud", "a6000")
    assert "on tx2: trt8.2: ok, 1 warning" in said
    assert "none is needed: coachc compile rewrites it for tx2 (opset 18 -> 13: Pad 1)" in said
    assert "on a6000: trt11: ok\n" in said + "\n"


def test_the_opset_number_hides_no_node(tmp_path):
    """Each node that has no older form is named with its own reason; the number alone would say `re-export`."""
    nodes = [op("ScatterElements", "x i x", f"r{n}", name=f"add_{n}", axis=2, reduction="add") for n in range(2)]
    ends = ["x", info("i", (1, 4, 8, 8), "int64")]
    path = save(net([*nodes, op("Add", "r0 r1", "y")], ends, ["y"], opset=18), tmp_path / "scatter.onnx")
    outcome = coachc("check", path, "--device", "tx2", "--json")
    (target,) = json.loads(outcome.out)["targets"]
    assert outcome.code == 3
    assert [(one["rule"].split("/")[0], one["node"]) for one in target["violations"]] == [
        ("trt8.2", "add_0"), ("trt8.2", "add_1"), ("trt8.2", "i")
    ]  # fmt: skip
    assert all("re-export with opset" not in one["remedy"] for one in target["violations"])


def test_it_builds_elsewhere(model):
    said = succeed("check", model, "--device", "nx", "--cloud", "a6000")
    assert "mod.onnx on xavier-nx: trt8.5: ok" in said
    assert "mod.onnx on a6000: trt11: ok" in said
    assert "onnx runtime: ok" in succeed("check", model, "--device", "local").lower()
    assert "target rules" not in succeed("check", model)


def test_one_of_two_targets_fails(model):
    outcome = coachc("check", model, "--device", "tx2", "--cloud", "a6000", "--json")
    report = json.loads(outcome.out)
    assert (outcome.code, report["ok"]) == (3, False)
    assert [target["ok"] for target in report["targets"]] == [False, True]
    assert report["targets"][0]["violations"][0]["node"] == "the_mod"


def test_formats(model):
    sarif = coachc("check", model, "--device", "tx2", "--format", "sarif")
    assert sarif.code == 3
    (result,) = json.loads(sarif.out)["runs"][0]["results"]
    assert result["ruleId"] == "trt8.2/op/Mod"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("mod.onnx")
    junit = coachc("check", model, "--device", "tx2", "--format", "junit")
    assert junit.code == 3
    assert ET.fromstring(junit.out.split("?>", 1)[1]).get("failures") == "1"
    assert coachc("check", model, "--format", "json").json()["ok"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "xml"), r"--format 'xml' is unknown\n  hint: one of text, json, sarif, junit"),
        (("--format", "sarif", "--json"), "--json and --format sarif exclude each other"),
        (("--device", "tx3"), "unknown device 'tx3'; did you mean 'tx2'"),
        (("--cloud", "tx2"), "tx2 is a device target, not a cloud"),
    ],
)
def test_refused(arguments, message, model):
    outcome = coachc("check", model, *arguments)
    assert (outcome.code, outcome.out) in ((1, ""), (2, ""))
    assert re.search(message, outcome.err), outcome.err


def test_a_foreign_operator(tmp_path):
    node = helper.make_node("Gelu", ["x"], ["y"], name="fused", domain="com.microsoft")
    proto = net([node], ["x"], [info("y", (1, 4, 8, 8))])
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    outcome = coachc("check", save(proto, tmp_path / "ms.onnx"), "--cloud", "a6000")
    assert outcome.code == 3
    assert "trt11/domain/com.microsoft" in outcome.out
    assert "node 'fused' (com.microsoft.Gelu)" in outcome.out


def test_halves_of_a_bundle_each_for_its_own_side(tmp_path):
    compile_json(save(chain(), tmp_path / "c.onnx"), tmp_path / "c.coach", "--mode", "split", "--calib", "random")
    said = succeed("check", tmp_path / "c.coach", "--samples", 1)
    for text in ("device.onnx on tx2: trt8.2: ok", "cloud.onnx on a6000: trt11: ok", "model.onnx on tx2: trt8.2: ok"):
        assert text in said
    assert "cloud.onnx on tx2" not in said
    # What is compiled for ONNX Runtime has quantizers that TensorRT has not.
    compile_json(
        save(chain(), tmp_path / "l.onnx"),
        tmp_path / "l.coach",
        # A link on which codes pay, however long this machine takes now.
        *("--device", "local", "--cloud", "local", "--mode", "split", "--calib", "random", "--bandwidth", "100kbit"),
    )
    assert "device.onnx on local: ONNX Runtime: ok" in succeed("check", tmp_path / "l.coach", "--samples", 1)
    elsewhere = coachc("check", tmp_path / "l.coach", "--samples", 1, "--device", "tx2")
    assert elsewhere.code == 3
    assert "tx2 has no INT8 arithmetic, so no Q/DQ node builds" in elsewhere.out
    assert "cloud.onnx on local: ONNX Runtime: ok" in elsewhere.out


def test_a_bundle_for_a_target_that_is_gone(tmp_path):
    path = tmp_path / "c.coach"
    compile_json(save(chain(), tmp_path / "c.onnx"), path, "--mode", "split", "--calib", "random")
    rewrite_manifest(path, lambda manifest: manifest.update(device={"target": "tx9"}))
    outcome = coachc("check", path, "--samples", 1)
    assert outcome.code == 1
    assert "the bundle's device 'tx9' is not a target with rules" in outcome.err
    assert "hint: name the one to check against: --device" in outcome.err
    assert "device.onnx on xavier-nx" in succeed("check", path, "--samples", 1, "--device", "xavier-nx")
