"""Every network at hand, for every device, to an A6000: no rule of either target is broken, and the engine builds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from coachc.checks.targets import check_bundle_targets
from coachc.cost.device import find_device
from coachc.targets.rules import target_of, violations
from runtime.bundle.store import open_bundle
from tests.helpers.commands import coachc, compile_json
from tests.helpers.real_data import WEIGHTS, needs_data, weights

pytestmark = [pytest.mark.needs("onnxruntime"), pytest.mark.needs("tensorrt_rtx")]

DEVICES = ("tx2", "xavier-nx", "orin-nano")
DIGITS = Path(__file__).parents[2] / "models" / "digits.onnx"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["digits", *(pytest.param(name, marks=needs_data) for name in WEIGHTS)])
def test_a_split_builds_on_both_sides(name, device, tmp_path):
    """Noise calibrates well enough for what is asked here: graphs, not accuracy."""
    path = tmp_path / "o.coach"
    model = DIGITS if name == "digits" else weights(name)
    compile_json(model, path, "--device", device, "--calib", "random", "--mode", "split", "--engine", "rtx")
    reports = check_bundle_targets(str(path), {})
    assert len(reports) >= 3
    for report in reports:
        assert report.ok, report
    manifest = open_bundle(path).manifest
    cut = manifest.cut()
    target = target_of(find_device(device, side="device"))
    for artefact in cut.on_device:
        half = onnx.load(path / artefact)
        (opset,) = (entry.version for entry in half.opset_import if entry.domain in ("", "ai.onnx"))
        assert opset <= find_device(device, side="device").max_opset
        assert [found for found in violations(half, target) if found.severity == "error"] == []
    engines = [artefact for artefact in manifest.artefacts if artefact.role == "engine"]
    assert len(engines) == 1
    assert engines[0].size_bytes > 10_000
    assert "8.6" in str(manifest.engines)
    # Both halves together are the model, within what `check` states.
    assert coachc("check", path).code == 0
