"""A segmenter from pictures and mask files to masks over the socket."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from coachc.models.canvases import MASK_NAMES, write_segmentation_set
from coachc.models.segmenter_heads import export, spec_of
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.commands import coachc, compile_json, run_over_socket
from tests.helpers.made_once import made_once

pytestmark = [pytest.mark.needs(name) for name in ("onnxruntime", "PIL", "sklearn")]
COUNT = 30


def _make(folder):
    write_segmentation_set(folder / "scenes", COUNT, seed=12)
    onnx.save(export("logits"), folder / "net.onnx")
    (folder / "net.json").write_text(json.dumps(spec_of("logits")))
    flags = ["--calib", folder / "scenes/pictures", "--truth", folder / "scenes/masks", "--decode", folder / "net.json"]
    report = compile_json(folder / "net.onnx", folder / "s.coach", *flags, "--budget", "20%", "--mode", "split")
    (folder / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_once(tmp_path_factory, "segmenter", _make)


def test_masks_are_judged_against_the_files(folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["judged"]["task"] == "segment"
    assert (report["accuracy"]["kind"], report["accuracy"]["resampled_bound_95"]) == ("labels", None)
    manifest = open_bundle(folder / "s.coach").manifest
    assert (manifest.task, dict(manifest.decode)) == ("segment", spec_of("logits"))


def test_masks_over_the_socket(folder):
    """What the run tells is what its own file of masks and the annotated ones make, counted here by hand."""
    from PIL import Image

    pictures, masks = folder / "scenes/pictures", folder / "scenes/masks"
    truth = ["--truth", masks]
    ran = run_over_socket(folder / "s.coach", pictures, *truth, "--answers", folder / "found.npz")
    found = coachc("eval", folder / "s.coach", "--data", pictures, *truth, "--json").json()["metric"]
    both, either, right, pixels = np.zeros(len(MASK_NAMES)), np.zeros(len(MASK_NAMES)), 0, 0
    with np.load(folder / "found.npz") as stored:
        assert sorted(stored.files) == sorted(path.name for path in pictures.iterdir())
        for name in stored.files:
            there = np.asarray(Image.open(masks / name))
            right, pixels = right + int((stored[name] == there).sum()), pixels + there.size
            for place in range(len(MASK_NAMES)):
                both[place] += ((there == place) & (stored[name] == place)).sum()
                either[place] += ((there == place) | (stored[name] == place)).sum()
    assert ran["figures"]["pixels"] == pytest.approx(right / pixels)
    assert ran["figures"]["mIoU"] == pytest.approx((both / either).mean())
    assert ran["figures"]["mIoU"] == pytest.approx(found["figures"]["mIoU"][1], abs=2e-3)
    assert found["figures"]["mIoU"][0] > 0.6
    assert abs(found["whole"] - found["split"]) < found["loss_bound"]


def test_an_argmax_at_the_end_is_known(folder, tmp_path):
    """Class numbers of the picture's size are masks for sure, but of how many classes has to be told."""
    onnx.save(export("argmax"), tmp_path / "a.onnx")
    flags = ["--calib", folder / "scenes/pictures", "--samples", 6, "--mode", "device-only"]
    assert compile_json(tmp_path / "a.onnx", tmp_path / "a.coach", *flags)["judged"]["task"] == "outputs"
    (tmp_path / "a.json").write_text(json.dumps(spec_of("argmax")))
    report = compile_json(tmp_path / "a.onnx", tmp_path / "a.coach", *flags, "--decode", tmp_path / "a.json", "--force")
    assert (report["judged"]["task"], report["accuracy"]["float"]) == ("segment", 1.0)
