"""`coachc check`: what holds, what is damaged (exit 1), and what was tampered with consistently (exit 3)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from coachc.models.synthetic import chain, dense, inception, residual, two_outputs
from coachc.runtime.bundle.manifest_types import FORMAT_VERSION
from tests.helpers.bundles import (
    change_initializer,
    flip_byte,
    replace_artefact,
    rewrite_manifest,
    samples_for,
    save,
)
from tests.helpers.commands import coachc, compile_json, succeed


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A split of a chain, with the samples it was compiled on."""
    folder = tmp_path_factory.mktemp("chain")
    model = save(chain(), folder / "chain.onnx")
    samples = samples_for(chain(), folder / "samples.npz")
    compile_json(model, folder / "chain.coach", "--calib", samples, "--mode", "split")
    return folder / "chain.coach"


@pytest.fixture
def bundle(original, tmp_path):
    """A copy of it to damage."""
    return Path(shutil.copytree(original, tmp_path / "chain.coach"))


def refused(*arguments: object, code: int, patterns: tuple[str, ...]) -> None:
    outcome = coachc(*arguments)
    assert (outcome.code, outcome.out) == (code, ""), outcome
    assert re.findall(r"error\[\w+\]: ", outcome.err) == [outcome.err[: outcome.err.index(" ") + 1]], outcome.err
    for pattern in patterns:
        assert re.search(pattern, outcome.err), f"{pattern!r} not in\n{outcome.err}"


def refused_everywhere(bundle: Path, *patterns: str) -> None:
    """Every command that opens a bundle refuses it, before a socket is opened."""
    source = bundle.parent / "samples.npz"
    for command in (
        ["check", bundle],
        ["serve", bundle, "--listen", "127.0.0.1:0"],
        ["run", bundle, "--source", source, "--server", "127.0.0.1:9"],
        ["inspect", bundle],
    ):
        refused(*command, code=1, patterns=(r"^error\[bundle\]: ", *patterns))


def test_a_good_bundle(original):
    said = succeed("check", original)
    for text in ("6 artefacts match", "cut split", "recomposed", "quantized", "cloud.onnx"):
        assert text in said
    report = coachc("check", original, "--json", "--samples", 2, "--seed", 5).json()
    assert report["ok"] is True
    halves = ("cloud.onnx", "device.edge.onnx", "device.onnx", "model.onnx")
    checks = ("files", *halves, "cut split", "recomposed", "quantized", "features")
    checks += ("target rules",) * 4
    assert sorted(checks) == sorted(finding["what"] for finding in report["findings"])
    assert any("2 seeded (seed 5) inputs" in finding["detail"] for finding in report["findings"])
    real = succeed("check", original, "--source", original.parent / "samples.npz")
    assert "4 real inputs" in real


@pytest.mark.parametrize("name", ["cloud.onnx", "device.onnx", "model.onnx"])
@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_flipped_byte_of_an_artefact(name, position, bundle):
    flip_byte(bundle / name, position)
    refused_everywhere(bundle, f"{name} in .* has changed", "expected  sha256 [0-9a-f]{64}", "hint: copy the bundle ag")


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
@pytest.mark.parametrize("position", [0, 40, -1])
def test_one_flipped_byte_of_the_manifest(name, position, bundle):
    flip_byte(bundle / name, position)
    refused_everywhere(bundle, r"manifest\.json does not match manifest\.sha256")


def test_an_artefact_cut_short_or_missing(bundle):
    data = (bundle / "cloud.onnx").read_bytes()
    (bundle / "cloud.onnx").write_bytes(data[:-7])
    refused_everywhere(bundle, "cloud.onnx in .* has another size", f"expected  {len(data)} bytes")
    (bundle / "cloud.onnx").unlink()
    refused_everywhere(bundle, "cloud.onnx is missing from ")


def test_a_file_that_was_smuggled_in(bundle):
    (bundle / "extra.onnx").write_bytes(b"")
    refused_everywhere(bundle, "extra.onnx is not listed in the manifest")


@pytest.mark.parametrize("checksum", [True, False])
def test_a_bundle_of_a_newer_format(checksum, bundle):
    newer = FORMAT_VERSION + 1
    rewrite_manifest(bundle, lambda raw: raw.update(format_version=newer), checksum=checksum)
    refused_everywhere(
        bundle,
        rf"written by a newer coachc \(coachc [^ ]+, format {newer}; this reader knows 3 to {FORMAT_VERSION}\)",
        "hint: update coachc here: pip install -U coachc",
    )


def test_a_path_that_leaves_the_bundle(bundle):
    rewrite_manifest(bundle, lambda raw: raw["artefacts"][0].update(path="../cloud.onnx"))
    refused_everywhere(bundle, r"\.\./cloud\.onnx")


def test_what_is_no_bundle(tmp_path):
    refused("check", tmp_path, code=1, patterns=("is not a bundle: it has no manifest.json",))
    refused("check", tmp_path / "x", code=1, patterns=(r"error\[model\]: .*no such file|does not exist",))
    refused("check", tmp_path, "--all-cuts", code=2, patterns=("--all-cuts takes a model", "hint: .*--all-cuts"))


# From here on somebody has also rewritten every hash, so only comparing the halves with the model can tell.


def differs(bundle: Path, *patterns: str) -> None:
    refused("check", bundle, code=3, patterns=(r"^error\[check\]: ", *patterns))


@pytest.mark.parametrize(("artefact", "what"), [("cloud.onnx", "'logits'"), ("model.onnx", "'logits'|codes of")])
def test_a_changed_weight(artefact, what, bundle):
    model = onnx.load(bundle / artefact)
    name = next(node.input[1] for node in reversed(model.graph.node) if node.op_type in ("Gemm", "Conv"))
    change_initializer(bundle, artefact, name, lambda weight: weight * 1.01)
    differs(bundle, what, "cut 'split'")


def test_a_changed_weight_on_the_device(bundle):
    change_initializer(bundle, "device.onnx", "parameter0", lambda weight: -weight)
    differs(bundle, "codes of '.*' differ from QuantizeLinear", r"\d+ of \d+ codes, cut 'split', seeded")


def test_a_node_moved_away(bundle):
    model = onnx.load(bundle / "cloud.onnx")
    index = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Relu")
    relu = model.graph.node[index]
    relu.op_type = "Identity"
    relu.name = "moved"
    replace_artefact(bundle, "cloud.onnx", model.SerializeToString())
    differs(bundle, "operator '.*' is in neither half of 'split'")


def test_halves_of_another_model(bundle, tmp_path):
    other = save(chain(seed=1), tmp_path / "chain.onnx")
    compile_json(other, tmp_path / "other.coach", "--calib", "random", "--mode", "split")
    for name in ("device.onnx", "cloud.onnx"):
        replace_artefact(bundle, name, (tmp_path / "other.coach" / name).read_bytes())
    differs(bundle)


def test_a_manifest_that_describes_something_else(bundle):
    pristine = (bundle / "manifest.json").read_bytes()
    value = json.loads(pristine)["cuts"][0]["values"][0]
    changes = {
        "value '.*' of cut 'split': the manifest differs": lambda raw: raw["cuts"][0]["values"][0].update(
            shape=[*value["shape"][:-1], value["shape"][-1] + 1]
        ),
        "cut 'split' sends 'ghost', which is no value": lambda raw: raw["cuts"][0]["values"][0].update(name="ghost"),
        "outputs of the device half of cut 'split'": lambda raw: raw["cuts"][0]["values"][0].update(codes="ghost"),
        "inputs of the model: the manifest differs": lambda raw: raw["model"]["inputs"][0].update(shape=[1, 4, 9, 9]),
        "outputs of the model: the manifest differs": lambda raw: raw["model"]["outputs"][0].update(dtype="float64"),
        "device_outputs of cut 'split'": lambda raw: raw["cuts"][0].update(device_outputs=["logits"], cloud_outputs=[]),
    }
    for pattern, change in changes.items():
        (bundle / "manifest.json").write_bytes(pristine)
        rewrite_manifest(bundle, change)
        differs(bundle, pattern)


def test_an_artefact_that_is_no_model(bundle):
    replace_artefact(bundle, "cloud.onnx", b"\xff" * 40)
    differs(bundle, "cloud.onnx is not an ONNX model")
    refused("serve", bundle, "--listen", "127.0.0.1:0", code=1, patterns=(r"error\[engine\]: ",))


def test_halves_swapped(bundle):
    device, cloud = (bundle / "device.onnx").read_bytes(), (bundle / "cloud.onnx").read_bytes()
    replace_artefact(bundle, "device.onnx", cloud)
    replace_artefact(bundle, "cloud.onnx", device)
    outcome = coachc("check", bundle)
    assert outcome.code == 3
    assert outcome.err.startswith("error[check]: ")


@pytest.mark.parametrize("build", [residual, inception, dense, two_outputs])
def test_every_cut_of_a_model(build, tmp_path):
    path = save(build(), tmp_path / "net.onnx")
    said = succeed("check", path, "--all-cuts")
    found = re.search(r"all partitions: (\d+) cut and recomposed, up to (\d+) tensors, .* difference (\S+)", said)
    assert found
    assert int(found[1]) > 5
    assert int(found[2]) >= 2
    assert float(found[3]) < 1e-5
    assert np.isfinite(float(found[3]))
