"""Exports that people struggle with in public threads: each ends with a bundle that passes its own check on a TX2, or
with a message that names node, reason and remedy.
"""

from __future__ import annotations

import onnx
import pytest

from tests.helpers.bundles import save
from tests.helpers.commands import coachc, succeed
from tests.helpers.field_exports import detector, super_resolution
from tests.helpers.onnx_models import info

pytestmark = pytest.mark.needs("onnxruntime")


def compiled(model: onnx.ModelProto, folder) -> str:
    path = save(model, folder / "m.onnx")
    outcome = coachc("compile", path, "--device", "tx2", "--batch", "1", "--calib", "random", "-o", folder / "m.coach")
    assert outcome.code == 0, outcome.err
    checked = succeed("check", folder / "m.coach")
    assert "\nno " not in checked
    assert "on tx2: trt8.2: ok" in checked
    return outcome.out + outcome.err


def test_a_detector_whose_suppression_the_tx2_cannot_end(tmp_path):
    """What the parser refuses goes to the server, and the plan says why there is no way without one."""
    said = compiled(detector(), tmp_path)
    assert "> split" in said
    assert "no link   nothing answers: device only is not possible: node '" in said
    refused = coachc(
        "compile", tmp_path / "m.onnx", "--device", "tx2", "--calib", "random", "--mode", "device-only", "-o",
        tmp_path / "alone.coach",
    )  # fmt: skip
    assert refused.code == 1
    assert "device: node '" in refused.err
    assert not (tmp_path / "alone.coach").exists()


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_a_super_resolution_network_that_computes_its_scales(mode, tmp_path):
    """They follow from shapes, so they are constants once the batch is given."""
    assert "> " in compiled(super_resolution(mode=mode), tmp_path)


def test_scales_that_come_with_the_picture(tmp_path):
    model = super_resolution()
    kept = [node for node in model.graph.node if node.op_type in ("Conv", "Relu", "Resize")]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.input.append(info("scales", (4,)))
    path = save(model, tmp_path / "m.onnx")
    outcome = coachc("compile", path, "--device", "tx2", "--batch", "1", "--calib", "random", "-o", tmp_path / "b")
    assert outcome.code == 1
    assert "node 'Resize.large' (Resize)" in outcome.err
    assert "hint: " in outcome.err
    assert not (tmp_path / "b").exists()
