"""A detector from pictures and annotations to boxes over the socket: what is judged, promised, sent and written."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from coachc.calib.metrics.average_precision import average_precision
from coachc.calib.metrics.matching import match
from coachc.calib.truths.coco import read_coco
from coachc.frontend import ort
from coachc.models.canvases import DIGIT_NAMES, write_detection_set
from coachc.models.detector_heads import export, spec_of
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.decode.decoder import decoder_of
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, compile_json, run_over_socket, succeed
from tests.helpers.made_once import made_once
from tests.helpers.onnx_models import constant, info, net, op, random_weight

pytestmark = [pytest.mark.needs(name) for name in ("onnxruntime", "PIL", "sklearn", "pycocotools")]
COUNT = 40


def _make(folder):
    """Scenes, the detector with a map a level, and its bundle; half of the metric may be lost, so that it is quick."""
    write_detection_set(folder / "scenes", COUNT, seed=11)
    onnx.save(export("fcos"), folder / "fcos.onnx")
    (folder / "fcos.json").write_text(json.dumps(spec_of("fcos")))
    flags = ["--calib", folder / "scenes/pictures", "--truth", folder / "scenes/annotations.json"]
    flags += ["--decode", folder / "fcos.json", "--budget", "20%", "--mode", "split"]
    report = compile_json(folder / "fcos.onnx", folder / "d.coach", *flags)
    (folder / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_once(tmp_path_factory, "detector", _make)


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_what_is_judged_and_promised(folder, report):
    judged, accuracy = report["judged"], report["accuracy"]
    assert (judged["task"], judged["budget"]) == ("detect", 0.2)
    assert judged["reason"].endswith("fcos.json says so")
    assert accuracy["kind"] == "labels"
    assert set(accuracy["figures"]) <= {"mAP", "mAP50"}
    manifest = open_bundle(folder / "d.coach").manifest
    assert (manifest.task, dict(manifest.decode)) == ("detect", spec_of("fcos"))
    assert [cut.policy for cut in manifest.cuts] == [None] * len(manifest.cuts)
    text = succeed("check", folder / "d.coach", "--samples", 1)
    assert "decode" in text
    assert "boxes of 10 classes, head fcos" in text


def expected_map(folder, pictures):
    """Of the whole model, with nothing of the product but the decoder and the matcher."""
    model = export("fcos")
    names = [output.name for output in model.graph.output]
    shapes = {name: (1, *[axis.dim_value for axis in output.type.tensor_type.shape.dim[1:]])
              for name, output in zip(names, model.graph.output, strict=True)}  # fmt: skip
    decoder, session = decoder_of(spec_of("fcos"), shapes, (128, 128)), ort.session(model)
    truths = read_coco(
        folder / "scenes/annotations.json", folder / "scenes/pictures", pictures, class_names=DIGIT_NAMES
    )
    from PIL import Image

    matches = []
    for name in pictures:
        pixels = np.asarray(Image.open(folder / "scenes/pictures" / name), np.float32).transpose(2, 0, 1)[None] / 255
        outputs = dict(zip(names, ort.run_sample(session, {"input": pixels}), strict=True))
        matches.append(match(decoder.decode(outputs, 0.01)[0], truths.of(name)))
    return average_precision(matches)


def test_boxes_over_the_socket(folder):
    """The run's mAP is that of eval for the same cut, near the whole model's, and every picture has its boxes."""
    pictures = sorted(path.name for path in (folder / "scenes/pictures").iterdir())
    truth = ["--truth", folder / "scenes/annotations.json"]
    ran = run_over_socket(folder / "d.coach", folder / "scenes/pictures", *truth, "--answers", folder / "found.jsonl")
    assert ran["accuracy"] is None
    found = coachc("eval", folder / "d.coach", "--data", folder / "scenes/pictures", *truth, "--json").json()["metric"]
    whole = expected_map(folder, pictures)
    assert found["figures"]["mAP"][0] == pytest.approx(whole.mean, abs=1e-6)
    assert found["figures"]["mAP50"][0] == pytest.approx(whole.at50, abs=1e-6)
    assert ran["figures"]["mAP"] == pytest.approx(found["figures"]["mAP"][1], abs=1e-3)
    assert 0.4 < whole.mean < found["resampled_bound"] + found["figures"]["mAP"][1] + 1e-9
    lines = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
    assert sorted(line["picture"] for line in lines) == pictures
    boxes = [box for line in lines for box in line["boxes"]]
    assert all(box["score"] >= 0.25 and DIGIT_NAMES[box["class"]] == box["name"] for box in boxes)


def test_boxes_of_a_letterboxed_picture_are_in_its_own_pixels(folder, tmp_path):
    """The same scene on a canvas twice as wide and high with a margin, letterboxed: boxes move and grow with it."""
    from PIL import Image

    (tmp_path / "wide").mkdir()
    (tmp_path / "plain").mkdir()
    name = sorted(path.name for path in (folder / "scenes/pictures").iterdir())[0]
    scene = Image.open(folder / "scenes/pictures" / name)
    scene.save(tmp_path / "plain" / name)
    scene.resize((256, 256), Image.Resampling.NEAREST).crop((0, 0, 256, 160)).save(tmp_path / "wide" / name)
    found = {}
    for kind, flags in (("plain", []), ("wide", ["--crop", "letterbox", "--fill", "0"])):
        bundle = tmp_path / f"{kind}.coach"
        compile_json(
            folder / "fcos.onnx", bundle, "--calib", tmp_path / kind, "--decode", folder / "fcos.json",
            "--mode", "device-only", *flags,
        )  # fmt: skip
        succeed("run", bundle, "--source", tmp_path / kind, "--answers", tmp_path / f"{kind}.jsonl")
        (line,) = (tmp_path / f"{kind}.jsonl").read_text().splitlines()
        found[kind] = json.loads(line)["boxes"]
    whole = [box for box in found["plain"] if box["box"][3] < 75 and box["score"] > 0.5]
    assert whole
    for one in whole:
        expected = np.array(one["box"]) * 2
        nearest = min(found["wide"], key=lambda other: np.abs(np.array(other["box"]) - expected).max())
        assert np.abs(np.array(nearest["box"]) - expected).max() < 8
        assert nearest["name"] == one["name"]


def test_a_head_that_is_known_needs_no_telling(folder, tmp_path):
    """4 + 10 rows for the 84 cells that strides 8, 16 and 32 make of 64x64 pixels: as YOLOv8 has."""
    nodes = [
        op("MaxPool", "x", "p", kernel_shape=[8, 8], strides=[8, 8]), op("Flatten", "p", "f"),
        op("Gemm", "f w b", "g"), op("Reshape", "g shape", "y"),
    ]  # fmt: skip
    weights = [random_weight("w", 192, 14 * 84), random_weight("b", 14 * 84), constant("shape", [1, 14, 84])]
    model = save(net(nodes, [info("x", (1, 3, 64, 64))], [info("y", (1, 14, 84))], weights), tmp_path / "y.onnx")
    flags, real = ["--samples", 10, "--mode", "device-only"], ["--calib", folder / "scenes/pictures"]
    report = compile_json(model, tmp_path / "y.coach", *flags, *real)
    assert report["judged"]["task"] == "detect"
    assert report["judged"]["reason"] == "4 + 10 channels of 84 cells, which strides [8, 16, 32] make: as YOLOv8 has"
    # What is asked for is done all the same, and noise shows no boxes.
    for more in ([*real, "--task", "outputs"], ["--calib", "random"]):
        report = compile_json(model, tmp_path / "y.coach", *flags, "--force", *more)
        assert report["judged"]["task"] == "outputs"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--task", "detect"], "--task detect: the outputs are of no form that is known"),
        (["--decode", "none.toml"], "cannot read --decode none.toml"),
        (["--decode", "{}/bad.toml"], "is not TOML"),
        (["--decode", "{}/no.toml"], "does not say what outputs are read as"),
        (["--decode", "{}/wrong.toml"], "decoder key 'outputs': expected names of the model's outputs"),
        (["--truth", "{}/scenes/annotations.json"], "is for boxes and masks"),
        (["--decode", "{}/fcos.json", "--truth", "{}/none.json"], "none.json"),
        (["--decode", "{}/fcos.json", "--task", "segment"], "--task segment reads mask"),
    ],
)
def test_what_does_not_go_is_said(folder, tmp_path, flags, said):
    (folder / "bad.toml").write_text("kind = ")
    (folder / "no.toml").write_text('head = "fcos"')
    (folder / "wrong.toml").write_text('kind = "boxes"\nhead = "nms"\nform = "rows"\nclasses = 10\noutputs = ["x"]')
    arguments = [str(flag).format(folder) for flag in flags]
    outcome = coachc(
        "compile", folder / "fcos.onnx", "--device", "tx2", "--bandwidth", "20Mbit", "--calib",
        folder / "scenes/pictures", "-o", tmp_path / "o.coach", *arguments,
    )  # fmt: skip
    assert outcome.code != 0
    assert said in outcome.err
    assert "internal" not in outcome.err
    assert not (tmp_path / "o.coach").exists()
