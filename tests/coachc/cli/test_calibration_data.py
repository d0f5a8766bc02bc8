"""What commands say about calibration samples: how they were read, what came out, doubts, and the preview."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest

from coachc.calib.data_report import DataReport
from coachc.calib.input_overview import InputRange, Observed, ValueRange
from coachc.cli.data_echo import data_json
from coachc.models.synthetic import chain
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, succeed

pytestmark = [pytest.mark.needs("PIL"), pytest.mark.needs("onnxruntime")]

TARGETS = ["--device", "tx2", "--cloud", "a6000", "--bandwidth", "20Mbit"]
IMAGENET = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
CODE = """
import numpy as np
print("hello from data.py")
def load():
    rng = np.random.default_rng(0)
    for index in range(12):
        yield rng.standard_normal((1, 3, 8, 8)).astype(np.float32), index % 5
def broken():
    yield np.zeros((1, 3, 8, 8), np.float32)
    raise OSError("the disk is gone")
def wrong():
    yield np.zeros((3, 8, 8), np.float32)
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "data.py").write_text(CODE)
    return tmp_path / "data.py"


def arguments_of(command, model, tmp_path):
    written = ["-o", tmp_path / "o.coach", "--force"] if command == "compile" else []
    return [command, model, *TARGETS, *written]


COMMANDS = pytest.mark.parametrize("command", ["compile", "explain", "compare"])


@COMMANDS
def test_pictures_in_json(picture_model, picture_folder, tmp_path, command):
    arguments = [*arguments_of(command, picture_model, tmp_path), "--calib", picture_folder, *IMAGENET]
    data = coachc(*arguments, "--crop", "center-square", "--samples", "18", "--json").json()["calibration_data"]
    assert (data["source"], data["form"], data["samples"]) == (str(picture_folder), "pictures", 18)
    assert data["labels"] == "one folder per class, 5 classes"
    assert data["preprocess"] == {
        "size": [8, 8],
        "resize": "bilinear",
        "color": "rgb",
        "layout": "nchw",
        "pixel_scale": 255.0,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop": "center-square",
        "resize_to": [],
        "orientation": "exif",
        "fill": [],
    }
    assert (data["range_samples"], data["preview"]) == (18, None)
    # The network has random weights.
    (warning,) = data["warnings"]
    assert "no more than by guessing" in warning
    (found,) = data["inputs"]
    assert (found["name"], found["shape"], found["dtype"], len(found["channels"])) == (
        "input",
        [1, 3, 8, 8],
        "float32",
        3,
    )
    for channel, mean, std in zip(found["channels"], (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True):
        assert -mean / std - 1e-5 <= channel["min"] < channel["mean"] < channel["max"] <= (1 - mean) / std + 1e-5
        assert channel["mean"] == pytest.approx((0.5 - mean) / std, abs=0.1)


@COMMANDS
def test_pictures_in_words(picture_model, picture_folder, tmp_path, command):
    arguments = [*arguments_of(command, picture_model, tmp_path), "--calib", picture_folder, "--resize-to", "9"]
    said = succeed(*arguments, "--mean", "0.5", "--preview", tmp_path / "p.png").splitlines()
    assert said[0] == f"samples   20 pictures of {picture_folder}, one folder per class, 5 classes"
    assert said[1] == (
        "input     shorter side resized to 9 (bilinear), centre 8x8 cropped out, rgb, nchw, "
        "(pixel / 255 - [0.5, 0.5, 0.5]) / [1.0, 1.0, 1.0]"
    )
    number = r"-?\d(\.\d+)?(e-\d+)?"
    values = rf"{number} \.\. {number} \.\. {number}"
    assert re.fullmatch(
        rf"range     input \[0\] {values}, \[1\] {values}, \[2\] {values} "
        r"\(least \.\. mean \.\. largest of the first 20\)",
        said[2],
    )
    assert said[3] == f"preview   {tmp_path / 'p.png'}, the first 16"
    assert "no more than by guessing" in said[4]
    assert not said[5].startswith("warning")


@COMMANDS
def test_samples_from_code(picture_model, code, tmp_path, command):
    arguments = arguments_of(command, picture_model, tmp_path)
    outcome = coachc(*arguments, "--calib", f"{code}:load", "--json")
    said = outcome.err.splitlines()
    assert said[0] == f"coachc runs your code: it imports {code} and calls its load() for samples"
    assert said[1] == "hello from data.py"
    data = outcome.json()["calibration_data"]
    assert (data["source"], data["form"], data["labels"], data["samples"]) == (
        f"{code}:load",
        "function",
        "labelled",
        12,
    )
    assert data["preprocess"] is None
    for function, message in (
        ("broken", r"data\.py:broken failed: OSError: the disk is gone"),
        ("wrong", r"sample 0 of .*data\.py:wrong does not suit input 'input'"),
        ("absent", r"data\.py has no function 'absent'"),
    ):
        outcome = coachc(*arguments, "--calib", f"{code}:{function}")
        assert (outcome.code, outcome.out) == (1, "")
        assert re.search(rf"error\[data\]: .*{message}", outcome.err)
    outcome = coachc(*arguments, "--calib", code)
    assert (outcome.code, outcome.out) == (1, "")
    assert "data.py names no function" in outcome.err
    assert "hello" not in outcome.err


def test_code_has_its_place_in_the_accuracy(picture_model, code, tmp_path):
    report = compile_json(picture_model, tmp_path / "o.coach", "--calib", f"{code}:load", "--samples", "10")
    assert (report["calibration"], report["accuracy"]["samples"]) == ("calibrated", 10)
    assert report["accuracy"]["kind"] == "labels"


@COMMANDS
def test_noise_says_nothing(picture_model, tmp_path, command):
    arguments = [*arguments_of(command, picture_model, tmp_path), "--calib", "random"]
    assert coachc(*arguments, "--json").json()["calibration_data"] is None
    assert "samples   " not in succeed(*arguments)


def test_arrays_that_are_no_picture(tmp_path):
    model = save(chain(), tmp_path / "chain.onnx")
    samples = samples_for(chain(), tmp_path / "samples.npz")
    said = succeed("explain", model, "--calib", samples).splitlines()
    assert said[0] == f"samples   24 samples of {samples}, labelled"
    assert said[1] == "input     as it comes, already preprocessed"
    assert re.match(r"range     input -\S+ \.\. \S+ \.\. \S+ \(least \.\. mean \.\. largest of the first 24\)", said[2])
    data = compile_json(model, tmp_path / "o.coach", "--calib", samples)["calibration_data"]
    assert (data["form"], data["preprocess"], len(data["inputs"][0]["channels"])) == ("arrays", None, 1)


def test_doubts_are_said(picture_model, picture_folder, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "raw.npz", input=x)
    said = succeed("explain", picture_model, "--calib", tmp_path / "raw.npz", *IMAGENET)
    assert re.search(r"^warning   input 'input' channel 0 spans 0 to 255, but pixels / 255, minus 0\.485", said, re.M)
    assert re.search(r"^input     as it comes, already preprocessed; pictures: resized to 8x8", said, re.M)
    arguments = ["--calib", picture_folder, *IMAGENET, "--pixel-scale", "1"]
    outcome = coachc("compile", picture_model, "-o", tmp_path / "o.coach", "--device", "tx2", *arguments, "--json")
    warnings = outcome.json()["calibration_data"]["warnings"]
    assert "look like those of pixels scaled to 0..1" in warnings[0]
    assert "no more than by guessing" in warnings[-1]
    # Before the long work, too.
    early = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert early == [f"warning: {text}" for text in warnings]
    x[:, 1] = 7
    np.savez(tmp_path / "odd.npz", input=x)
    data = coachc("explain", picture_model, "--calib", tmp_path / "odd.npz", "--json").json()["calibration_data"]
    constant, pixels = data["warnings"]
    assert constant == "input 'input' channel 1 is constant (7) in the first 30 samples"
    assert pixels.startswith("input 'input' holds whole numbers from 0 to 255, as pixels do before")


def test_json_has_no_numbers_that_are_not():
    ranges = (InputRange("x", (1, 2), "float32", (ValueRange(float("-inf"), float("nan"), 2.0),)),)
    report = DataReport("d.npz", "arrays", "no labels", 4, None, Observed(4, ranges, []), (), ())
    channels = data_json(report, None)["inputs"][0]["channels"]
    assert channels == [{"min": None, "mean": None, "max": 2.0}]


class TestPreview:
    @COMMANDS
    def test_the_pictures_are_those_of_the_samples(self, picture_model, tmp_path, command):
        from PIL import Image

        for label, gray in enumerate((40, 200)):
            (tmp_path / "images" / f"c{label}").mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (8, 8), (gray, number, 9)).save(tmp_path / "images" / f"c{label}" / f"{number}.png")
        preview = tmp_path / "p.png"
        arguments = [
            *arguments_of(command, picture_model, tmp_path),
            "--calib",
            tmp_path / "images",
            *IMAGENET,
            "--json",
        ]
        data = coachc(*arguments, "--preview", preview).json()["calibration_data"]
        assert data["preview"] == str(preview)
        pixels = np.array(Image.open(preview))
        reds = {(40, 0, 9), (40, 1, 9), (40, 2, 9), (200, 0, 9), (200, 1, 9), (200, 2, 9)}
        colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
        found = {tuple(map(int, colour)): count for colour, count in zip(colours, counts, strict=True)}
        assert reds <= set(found)
        assert len({found[red] for red in reds}) == 1

    def test_a_preview_is_replaced(self, picture_model, picture_folder, tmp_path):
        preview = tmp_path / "p.PNG"
        preview.write_bytes(b"old")
        succeed("explain", picture_model, "--calib", picture_folder, "--preview", preview)
        assert preview.read_bytes().startswith(b"\x89PNG")

    def test_no_preview(self, picture_model, picture_folder, tmp_path):
        chained = save(chain(), tmp_path / "chain.onnx")
        samples = samples_for(chain(), tmp_path / "samples.npz")
        pictures = ["--calib", picture_folder]
        for model, arguments, message in (
            (picture_model, [*pictures, "--preview", "p.jpg"], r"--preview 'p\.jpg' is not the name of a \.png file"),
            (
                picture_model,
                ["--calib", "random", "--preview", "p.png"],
                "--preview shows calibration samples, and there",
            ),
            (picture_model, [*pictures, "--preview", "no/p.png"], "--preview no/p.png: there is no folder no"),
            (
                chained,
                ["--calib", samples, "--preview", "p.png"],
                r"--preview shows pictures, and input 'input' of shape",
            ),
        ):
            for command in ("compile", "explain", "compare"):
                outcome = coachc(*arguments_of(command, model, tmp_path), *arguments)
                kind = ("file", 1) if "no folder" in message else ("usage", 2)
                assert (outcome.code, outcome.out) == (kind[1], "")
                assert re.search(rf"error\[{kind[0]}\]: {message}", outcome.err)
        outcome = coachc("explain", picture_model, "--preview", "p.png")
        assert "--preview shows calibration samples, and there are none" in outcome.err
        assert not (tmp_path / "o.coach").exists()

    def test_without_pillow(self, picture_model, picture_folder, monkeypatch):
        monkeypatch.setattr("coachc.calib.contact_sheet.find_spec", lambda name: None)
        outcome = coachc("explain", picture_model, "--calib", picture_folder, "--preview", "p.png")
        assert (outcome.code, outcome.out) == (1, "")
        assert "error[toolchain]: Pillow is not installed, and the preview is drawn with it" in outcome.err


def test_the_bundle_knows_the_crop(picture_model, picture_folder, tmp_path):
    from PIL import Image

    from coachc.runtime.bundle.preprocess import pixels
    from coachc.runtime.bundle.store import open_bundle

    compile_json(picture_model, tmp_path / "o.coach", "--calib", picture_folder, "--resize-to", "9x10")
    written = json.loads((tmp_path / "o.coach" / "manifest.json").read_bytes())["preprocess"]
    assert (written["crop"], written["resize_to"]) == ("center", [9, 10])
    preprocess = open_bundle(str(tmp_path / "o.coach")).manifest.preprocess
    array = np.random.default_rng(1).integers(0, 256, (9, 10, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    # (9 - 8) / 2 rounds to the even 0.
    assert np.array_equal(pixels(stream.getvalue(), preprocess), array[0:8, 1:9])
