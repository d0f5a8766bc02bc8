"""Folders of pictures and cameras of other types through `compile`, `run` and `explain`."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.onnx_models import constant, info, net, op, random_weight
from tests.helpers.pictures import png, with_orientation

pytestmark = [pytest.mark.needs("PIL"), pytest.mark.needs("onnxruntime")]


def camera(path, dtype):
    """A model of 8x8 pictures, NHWC, that casts and normalizes by itself."""
    nodes = [
        op("Cast", "input", "f", to=1),
        op("Div", "f scale", "d"),
        op("Transpose", "d", "t", perm=[0, 3, 1, 2]),
        op("Conv", "t w", "c", pads=[1] * 4),
        op("GlobalAveragePool", "c", "p"),
        op("Flatten", "p", "flat"),
        op("Gemm", "flat k", "logits"),
    ]
    weights = [constant("scale", np.float32(255)), random_weight("w", 4, 3, 3, 3), random_weight("k", 4, 5)]
    return save(net(nodes, [info("input", (1, 8, 8, 3), dtype)], [info("logits", (1, 5))], weights), path)


def pictures_in(root, count=10):
    """8x8 noise in five classes, and the pixels by name."""
    pixels = {}
    for number in range(count):
        name = f"class{number % 5}/{number}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels[name] = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        (root / name).write_bytes(png(pixels[name]))
    return pixels


def answers_of(model, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return [int(session.run(None, {"input": one[None]})[0].argmax()) for one in inputs]


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_camera_that_normalizes_by_itself(tmp_path, dtype):
    model = camera(tmp_path / "camera.onnx", dtype)
    pixels = pictures_in(tmp_path / "images")
    flags = [] if dtype == "uint8" else ["--pixel-scale", "1"]
    report = compile_json(
        model, tmp_path / "o.coach", "--device", "orin-nano", "--calib", tmp_path / "images",
        "--preview", tmp_path / "p.png", *flags,
    )  # fmt: skip
    (seen,) = report["calibration_data"]["inputs"]
    every = np.stack(list(pixels.values()))
    assert seen["dtype"] == dtype
    assert [channel["max"] for channel in seen["channels"]] == every.max(axis=(0, 1, 2)).tolist()
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    wanted = answers_of(model, [pixels[name].astype(dtype) for name in sorted(pixels)])
    labels = [int(name[5]) for name in sorted(pixels)]
    ran = coachc("run", tmp_path / "o.coach", "--cut", "device-only", "--source", tmp_path / "images", "--json").json()
    assert ran["accuracy"] == np.mean(np.equal(wanted, labels))
    assert ran["tasks"] == 10


def test_a_camera_of_bytes_takes_no_mean(tmp_path):
    model = camera(tmp_path / "camera.onnx", "uint8")
    pictures_in(tmp_path / "images", 5)
    for command in (["compile", "-o", tmp_path / "o.coach"], ["explain"]):
        outcome = coachc(
            command[0], model, *command[1:], "--device", "orin-nano", "--calib", tmp_path / "images", "--mean", "0.5"
        )
        assert (outcome.code, outcome.out) == (2, "")
        assert "error[usage]: input 'input' takes pixels as they are (uint8), which --mean, --std and" in outcome.err
    assert not (tmp_path / "o.coach").exists()


@pytest.mark.parametrize("dtype", ["int32", "int8", "bool"])
def test_types_that_pictures_do_not_suit(tmp_path, dtype):
    model = camera(tmp_path / "camera.onnx", dtype)
    pictures_in(tmp_path / "images", 5)
    outcome = coachc(
        "compile", model, "--device", "orin-nano", "--calib", tmp_path / "images", "--preview", tmp_path / "p.png",
        "-o", tmp_path / "o.coach",
    )  # fmt: skip
    assert (outcome.code, outcome.out) == (1, "")
    assert f"error[source]: images do not suit input 'input': it takes {dtype}" in outcome.err
    assert sorted(os.listdir(tmp_path)) == ["camera.onnx", "images"]


def test_what_is_left_out_is_said(picture_model, picture_folder, tmp_path):
    (picture_folder / "class1" / "2.png").write_bytes(b"no picture")
    (picture_folder / "class3" / "x.heic").write_bytes(b"")
    (picture_folder / "__MACOSX").mkdir()
    report = compile_json(picture_model, tmp_path / "o.coach", "--calib", picture_folder)["calibration_data"]
    assert (report["samples"], report["labels"]) == (19, "one folder per class, 5 classes")
    assert report["skipped"] == {
        "count": 2,
        "files": [
            {"file": "class3/x.heic", "reason": "no picture's ending: '.heic'"},
            {"file": "class1/2.png", "reason": "cannot be read: no image of a known kind"},
        ],
    }
    # The network has random weights, so that its answers give rise to doubts of their own.
    assert report["warnings"][0] == "1 of the images cannot be read, the first of them class1/2.png"
    assert all("--mean, --std, --color" in text for text in report["warnings"][1:])
    said = succeed("explain", picture_model, "--calib", picture_folder).splitlines()
    assert said[1] == (
        "skipped   2: class3/x.heic (no picture's ending: '.heic'); "
        "class1/2.png (cannot be read: no image of a known kind)"
    )
    assert "warning   1 of the images cannot be read, the first of them class1/2.png" in said


def test_only_broken_pictures(picture_model, picture_folder, tmp_path):
    for path in picture_folder.glob("*/*.png"):
        path.write_bytes(b"")
    outcome = coachc("compile", picture_model, "--device", "tx2", "--calib", picture_folder, "-o", tmp_path / "o.coach")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"error[source]: no image of {picture_folder} can be read" in outcome.err
    assert "and 17 more (cannot be read: no image of a known kind)" in outcome.err
    assert not (tmp_path / "o.coach").exists()


def test_labels_that_are_no_output(picture_model, picture_folder, tmp_path):
    (picture_folder / "labels.csv").write_text("file;label\nclass0/0.png;0\nclass1/1.png;7\nclass1/0.png;5\n")
    noise = ["--calib", "random", "--color", "rgb", "--task", "classify", "--mode", "device-only"]
    succeed("compile", picture_model, "--device", "tx2", *noise, "-o", tmp_path / "o.coach")
    for command in (["explain", picture_model, "--calib"], ["run", tmp_path / "o.coach", "--source"]):
        outcome = coachc(*command, picture_folder)
        assert (outcome.code, outcome.out) == (1, ""), outcome.err
        assert "error[source]: class1/1.png has label 7, and the model has 5 outputs" in outcome.err
        assert "found     7, and 1 more outside" in outcome.err


def test_what_a_picture_takes_before_it_is_an_input(picture_model, tmp_path):
    np.savez(tmp_path / "arrays.npz", input=np.zeros((8, 3, 8, 8), np.float32))
    pictures_in(tmp_path / "images")
    lines = {}
    for data in ("arrays.npz", "images"):
        found = coachc("explain", picture_model, "--calib", tmp_path / data, "--json").json()
        lines[data] = [line for line in found["costs"] if line["stage"] == "before"]
        stages = sum(line["seconds"] for line in found["costs"] if line["stage"] == "device")
        assert stages == pytest.approx(found["plan"]["device_s"])
    assert lines["arrays.npz"] == []
    (line,) = lines["images"]
    assert line["what"] == "decode and preprocess a picture"
    assert 0 < line["seconds"] < 1


def test_few_samples_are_of_all_classes(picture_model, tmp_path):
    for label, count in enumerate((40, 1, 1, 1, 1)):
        for number in range(count):
            path = tmp_path / "images" / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(np.full((8, 8, 3), 50 * label, np.uint8)))
    arguments = ["--calib", tmp_path / "images", "--samples", 5, "--pixel-scale", 1]
    (seen,) = compile_json(picture_model, tmp_path / "o.coach", *arguments)["calibration_data"]["inputs"]
    assert seen["channels"] == [{"min": 0.0, "mean": 100.0, "max": 200.0}] * 3


@pytest.mark.parametrize("orientation", ["exif", "stored"])
def test_which_way_up_is_in_the_bundle_and_in_what_samples_are(picture_model, tmp_path, orientation):
    """Pictures stored on their head, white above and black below."""
    from PIL import Image

    array = np.zeros((96, 96, 3), np.uint8)
    array[:48] = 255
    (tmp_path / "images").mkdir()
    Image.fromarray(array).save(tmp_path / "images" / "0.jpg", quality=95)
    path = tmp_path / "images" / "0.jpg"
    path.write_bytes(with_orientation(path.read_bytes(), 3))
    report = compile_json(
        picture_model, tmp_path / "o.coach", "--calib", tmp_path / "images", "--preview", tmp_path / "p.png",
        *([] if orientation == "exif" else ["--orientation", orientation]),
    )  # fmt: skip
    written = json.loads((tmp_path / "o.coach" / "manifest.json").read_bytes())["preprocess"]
    assert written.get("orientation") == ("exif" if orientation == "exif" else None)
    assert open_bundle(str(tmp_path / "o.coach")).manifest.preprocess.orientation == orientation
    assert report["calibration_data"]["preprocess"]["orientation"] == orientation
    # The sheet's first picture begins at pixel 6 and is enlarged to 112.
    sheet = Image.open(tmp_path / "p.png").convert("L")
    assert [sheet.getpixel((20, y)) > 127 for y in (12, 110)] == [orientation == "stored", orientation == "exif"]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes")
def test_names_that_are_no_text(picture_model, tmp_path):
    root = os.fsencode(str(tmp_path)) + b"/\xe9t\xe9"
    for label in (b"a", b"b\xff"):
        os.makedirs(root + b"/" + label)
        for number in range(3):
            with open(root + b"/" + label + b"/\xe9%d.png" % number, "wb") as stream:
                stream.write(png(np.full((8, 8, 3), 40 * number, np.uint8)) if number < 2 else b"")
    folder = os.fsdecode(root)
    arguments = ["--device", "tx2", "--calib", folder, "-o", tmp_path / "o.coach", "--save-recipe", tmp_path / "r.toml"]
    outcome = coachc("compile", picture_model, *arguments)
    assert (outcome.code, outcome.out, sorted(path.name for path in tmp_path.glob("?.*"))) == (2, "", [])
    assert "--save-recipe: the name of" in outcome.err
    assert "t\\xe9 is no UTF-8, as TOML is" in outcome.err
    said = succeed("compile", picture_model, "--device", "tx2", "--calib", folder, "-o", tmp_path / "o.coach")
    said += succeed("run", tmp_path / "o.coach", "--source", folder, "--cut", "device-only")
    said.encode("utf-8")
    assert said.count("a/\\xe92.png, b\\xff/\\xe92.png (cannot be read: no image of a known kind)") == 2
