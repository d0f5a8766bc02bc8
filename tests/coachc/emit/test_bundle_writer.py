"""What a bundle says about where it came from, and that the same inputs give the same bytes."""

from __future__ import annotations

import hashlib

import onnx
import pytest

from coachc.models.synthetic import residual, two_outputs
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.errors import BundleError
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json


@pytest.fixture
def compiled(tmp_path):
    """(model, samples, function that compiles to a name)."""
    model = save(residual(), tmp_path / "my net.onnx")
    samples = samples_for(residual(), tmp_path / "samples.npz")

    def compile_to(name, *flags):
        compile_json(model, tmp_path / name, "--calib", samples, "--mode", "split", *flags)
        return tmp_path / name

    return model, samples, compile_to


def test_the_manifest(compiled):
    path, _, compile_to = compiled
    bundle = open_bundle(compile_to("o.coach"))
    manifest = bundle.manifest
    assert manifest.model.name == "my net"
    assert manifest.model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [(spec.name, spec.dtype, spec.shape) for spec in manifest.model.inputs] == [
        ("input", "float32", (1, 4, 8, 8))
    ]
    assert manifest.calibration == "calibrated"
    assert (manifest.chosen, [cut.name for cut in manifest.cuts]) == ("split", ["split", "device-only"])
    assert {artefact.path: artefact.role for artefact in manifest.artefacts} == {
        "cloud.onnx": "cloud", "device.onnx": "device", "device.edge.onnx": "device", "model.onnx": "model",
        "split.policy": "policy", "device-only.policy": "policy",
    }  # fmt: skip
    assert manifest.device["target"] == "tx2"
    assert manifest.device["provenance"]["kind"] == "fitted"
    assert (manifest.device["max_opset"], manifest.device["quantizer"]) == (13, "arithmetic")
    assert manifest.link == {"bandwidth_bytes_per_s": 2.5e6, "rtt_s": 0.005}
    assert manifest.preprocess is None
    assert bundle.served_name.startswith("my-net-")


def test_same_inputs_same_bytes_whatever_the_paths_and_the_run(compiled):
    _, _, compile_to = compiled
    first, second = compile_to("a.coach"), compile_to("another name")
    names = sorted(path.name for path in first.iterdir())
    policies = ["device-only.policy", "split.policy"]
    models = ["cloud.onnx", "device.onnx", "device.edge.onnx", "model.onnx"]
    assert names == sorted([*models, *policies, "manifest.json", "manifest.sha256"])
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert open_bundle(first).bundle_id == open_bundle(second).bundle_id
    other = open_bundle(compile_to("c.coach", "--rtt", "6ms"))
    assert other.bundle_id != open_bundle(first).bundle_id


def test_every_artefact_is_a_model_of_the_opset_it_came_with_or_the_newest_of_its_target(tmp_path):
    for opset in (9, 13, 17):
        path = save(two_outputs(opset=opset), tmp_path / f"net{opset}.onnx")
        compile_json(path, tmp_path / f"{opset}.coach", "--calib", "random", "--mode", "split")
        for artefact in (tmp_path / f"{opset}.coach").glob("*.onnx"):
            (entry,) = onnx.load(artefact).opset_import
            assert entry.version == (13 if artefact.name.startswith("device") else max(opset, 13))


def test_a_folder_that_cannot_be_written_to(compiled, tmp_path):
    path, samples, _ = compiled
    target = tmp_path / "file"
    target.write_text("in the way")
    before = sorted(tmp_path.iterdir())
    outcome = coachc("compile", path, "--device", "tx2", "--calib", samples, "-o", target / "o.coach")
    assert outcome.code == 1
    assert f"{target} is not a folder" in outcome.err
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(BundleError, match="is a file, and a bundle is a folder"):
        open_bundle(target)
