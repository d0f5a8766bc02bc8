"""Models as people have them, from the file to a checked bundle, as a user would run the commands."""

from __future__ import annotations

import json

import pytest

from tests.helpers.bundles import save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.field_models import MODELS

pytestmark = pytest.mark.needs("onnxruntime")

NOISE = ("--calib", "random", "--samples", 4)


@pytest.fixture
def model(tmp_path):
    """Writes one of the models by name; its path."""
    return lambda name: save(MODELS[name](), tmp_path / f"{name}.onnx")


@pytest.mark.parametrize(
    ("name", "flags", "shapes"),
    [
        ("batch_open", [], {"x": [1, 3, 16, 16]}),
        ("batch_open", ["--batch", 4], {"x": [4, 3, 16, 16]}),
        ("batch_of_four", [], {"x": [4, 3, 8, 8]}),
        ("batches_of_their_own", ["--shape", "gallery:5x3x9x9"], {"query": [1, 3, 9, 9], "gallery": [5, 3, 9, 9]}),
        ("state_in_and_out", ["--batch", 2], {"x": [2, 3, 16, 16], "h0": [1, 2, 6], "c0": [1, 2, 6]}),
        ("cache_in_and_out", [], {"x": [1, 3, 8, 8], "cache": [3, 4, 8, 8]}),
        ("scaled_by_a_fraction", [], {"x": [1, 3, 30, 30]}),
    ],
)  # fmt: skip
def test_a_bundle_knows_its_shapes(name, flags, shapes, model, tmp_path):
    """Compiled with flags; checked, inspected and explained without."""
    bundle = tmp_path / "o.coach"
    compile_json(model(name), bundle, *NOISE, "--mode", "split", *flags)
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    assert {item["name"]: item["shape"] for item in manifest["model"]["inputs"]} == shapes
    succeed("check", bundle, "--samples", 1)
    assert json.loads(succeed("inspect", bundle, "--json"))["cut"] == "split"
    succeed("explain", bundle)
    for command in ("check", "inspect"):
        refused = coachc(command, bundle, "--batch", 2)
        assert "--batch and --shape take a model, not a bundle" in refused.err


def test_a_node_that_fails_while_calibrating_is_named(model, tmp_path):
    outcome = coachc("compile", model("fails_when_it_runs"), "--device", "tx2", "-o", tmp_path / "o.coach", *NOISE)
    assert outcome.code == 1
    assert "node 'up' (ConvTranspose) fails when the model runs" in outcome.err
    assert "output_shape is inconsistent" in outcome.err
    assert not (tmp_path / "o.coach").exists()
