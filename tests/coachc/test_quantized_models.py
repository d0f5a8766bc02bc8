"""Networks that are quantized already, for every device: they build by the rules, and compute what they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from coachc.checks.targets import check_bundle_targets
from coachc.frontend import ort
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.commands import coachc, compile_json
from tests.helpers.quantized import KINDS, quantize
from tests.helpers.real_data import needs_data, weights

pytestmark = pytest.mark.needs("onnxruntime")

DIGITS = Path(__file__).parents[2] / "models" / "digits.onnx"
#: Of the largest output. The QDQ format is kept to the bit; ONNX Runtime computes the other on integers, whose sums may
#: round to the neighbouring code: two steps of 255.
ADMISSIBLE = {"QDQ": 0.0, "QOperator": 2.5 / 255}


@pytest.fixture(scope="module", params=KINDS)
def network(request, tmp_path_factory) -> tuple[str, Path]:
    return request.param, quantize(DIGITS, tmp_path_factory.mktemp("quantized") / "digits.onnx", request.param)


def alone(path: Path) -> list[onnx.ModelProto]:
    """What the device runs when there is no server, in order."""
    (cut,) = (cut for cut in open_bundle(str(path)).manifest.cuts if cut.name == "device-only")
    return [onnx.load(path / artefact) for artefact in cut.on_device]


def difference(original: Path, models: list[onnx.ModelProto]) -> float:
    """Of the models run one after the other from the original in ONNX Runtime, relative to its largest output."""
    source = onnx.load(original)
    worst = 0.0
    for seed in range(4):
        values = ort.seeded_inputs(models[0], seed)
        expected = ort.run(source, values)
        for model in models:
            values.update(ort.run(model, {item.name: values[item.name] for item in model.graph.input}))
        for name, wanted in expected.items():
            worst = max(worst, float(np.abs(wanted - values[name]).max() / np.abs(wanted).max()))
    return worst


@pytest.mark.parametrize("device", ["tx2", "xavier-nx", "orin-nano"])
def test_a_quantized_network(network, device, tmp_path):
    kind, model = network
    path = tmp_path / "o.coach"
    report = compile_json(model, path, "--device", device, "--calib", "random", "--mode", "split")
    assert [text for text in report["warnings"] if "UNCALIBRATED" not in text] == []
    reports = check_bundle_targets(str(path), {})
    assert [found for one in reports for found in one.violations] == []
    models = alone(path)
    assert difference(model, models) <= ADMISSIBLE["QOperator" if "QOperator" in kind else "QDQ"]
    operators = {node.op_type for model in models for node in model.graph.node}
    assert {node.domain for model in models for node in model.graph.node} == {""}
    # INT8 stays where the device has it: the weights are symmetric in all of them.
    assert bool(operators & {"QuantizeLinear", "DequantizeLinear"}) == (device != "tx2")
    outcome = coachc("check", path, "--samples", 1)
    assert outcome.code == 0, outcome.out + outcome.err


@pytest.mark.needs("tensorrt_rtx")
def test_its_cloud_half_builds(network, tmp_path):
    _, model = network
    path = tmp_path / "o.coach"
    compile_json(model, path, "--calib", "random", "--mode", "split", "--engine", "rtx")
    assert [item.role for item in open_bundle(str(path)).manifest.artefacts].count("engine") == 1


@needs_data
@pytest.mark.parametrize("kind", ["float weights", "QOperator uint8"])
def test_a_real_network(kind, tmp_path):
    model = quantize(weights("imagenet_squeezenet_1.1"), tmp_path / "squeezenet.onnx", kind)
    path = tmp_path / "o.coach"
    compile_json(model, path, "--calib", "random", "--mode", "split")
    assert all(one.ok for one in check_bundle_targets(str(path), {}))
    assert difference(model, alone(path)) <= ADMISSIBLE["QOperator" if "QOperator" in kind else "QDQ"]
    assert coachc("check", path, "--samples", 1).code == 0


def test_every_partition_of_a_quantized_network(network):
    assert coachc("check", network[1], "--all-cuts").code == 0
