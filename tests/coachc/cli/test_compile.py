"""`coachc compile`: what it says, what it writes, and what it refuses without writing anything."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from coachc.models.synthetic import chain, diamond, two_inputs
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, succeed
from tests.helpers.onnx_models import info, net, op, random_weight


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def model(tmp_path):
    return save(chain(), tmp_path / "chain.onnx")


@pytest.fixture
def samples(tmp_path):
    return samples_for(chain(), tmp_path / "samples.npz")


def refused(folder: Path, arguments: list[object], *patterns: str) -> str:
    """Run a compilation that must fail: one message that matches, nothing on stdout, nothing new in `folder`.

    What is said of the samples before that, which the networks here guess, does not count.
    """
    before = files(folder)
    outcome = coachc("compile", *arguments)
    err = "".join(line for line in outcome.err.splitlines(keepends=True) if "no more than by guessing" not in line)
    assert (outcome.code, outcome.out) == (2 if err.startswith("error[usage]") else 1, ""), outcome
    assert re.findall(r"error\[\w+\]: ", err) == [err[: err.index(" ") + 1]], err
    for pattern in patterns:
        assert re.search(pattern, err), f"{pattern!r} not in\n{err}"
    assert files(folder) == before
    return err


FLAGS = {
    "unknown device": (
        ["--device", "tx"],
        r"^error\[usage\]: unknown device 'tx'; did you mean 'tx2'\?",
        r"devices: .*xavier-nx",
        "hint: `coachc devices`",
    ),
    "unknown device, far off": (["--device", "jetson-nx"], r"unknown device 'jetson-nx'; did you mean '\w*-?nx'\?"),
    "cloud as device": (["--device", "a6000"], "a6000 is a cloud target, not a device", "hint: .*--device"),
    "device as cloud": (["--cloud", "tx2"], "tx2 is a device target, not a cloud", "hint: .*--cloud"),
    "bandwidth without unit": (
        ["--bandwidth", "20"],
        "bandwidth '20' has no unit",
        "expected a number with kbit, Mbit",
        "hint: write --bandwidth 20Mbit",
    ),
    "bandwidth with another unit": (["--bandwidth", "20mph"], "bandwidth '20mph' has the unknown unit 'mph'"),
    "negative bandwidth": (
        ["--bandwidth", "-5Mbit"],
        "--bandwidth '-5Mbit' is negative",
        "hint: write --bandwidth 5Mbit",
    ),
    "no bandwidth": (["--bandwidth", "0Mbit"], "--bandwidth '0Mbit' is zero"),
    "bandwidth in words": (["--bandwidth", "fast"], "--bandwidth 'fast' is not a number with a unit"),
    "rtt without unit": (["--rtt", "5"], "--rtt '5' has no unit", "hint: write --rtt 5ms"),
    "rtt with another unit": (["--rtt", "5min"], "--rtt '5min' has the unknown unit 'min'"),
    "negative rtt": (["--rtt", "-5ms"], "--rtt '-5ms' is negative", "hint: write --rtt 5ms"),
    "latency without unit": (["--max-latency", "30"], "--max-latency '30' has no unit", "--max-latency 30ms"),
    "latency out of reach": (
        ["--max-latency", "1us"],
        r"error\[infeasible\]: no plan answers within 0\.0 ms",
        r"closest: .* ms \(device ",
        "hint: raise --max-latency",
    ),
    "budget in words": (["--budget", "little"], "--budget 'little' is not a fraction", "hint: .*--budget 0.5%"),
    "no budget": (["--budget", "0"], "--budget '0' is not a fraction"),
    "more than all as budget": (["--budget", "150%"], "--budget '150%' is not a fraction"),
    "unknown mode": (["--mode", "both"], "--mode 'both' is unknown", "one of auto, split, device-only, cloud-raw"),
    "unknown objective": (["--objective", "cost"], "--objective 'cost' is unknown", "one of exact, latency"),
    "unknown precision": (["--device-precision", "int4"], "int4", "fp16", "fp32"),
    "shape without name": (["--shape", "1x4x8x8"], "--shape '1x4x8x8' is not NAME:AxBxC", "--shape input:1x3x224x224"),
    "shape with a letter": (["--shape", "input:1xAx8x8"], "--shape 'input:1xAx8x8' is not NAME:AxBxC"),
    "shape with a zero": (["--shape", "input:1x0x8x8"], "--shape 'input:1x0x8x8' is not NAME:AxBxC"),
    "shape of no input": (["--shape", "image:1x4x8x8"], "'image'", "input"),
    "shape that contradicts": (["--shape", "input:1x4x9x9"], "'input'", "8"),
    "pictures for another model": (["--mode", "cloud-jpeg"], "no cloud-jpeg plan", "no single picture"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_that_makes_no_sense(name, model, samples, tmp_path):
    flags, *patterns = FLAGS[name]
    given = {"--device": "tx2", "--bandwidth": "20Mbit", "--calib": str(samples), "-o": str(tmp_path / "out.coach")}
    given.update(zip(flags[::2], flags[1::2], strict=True))
    refused(tmp_path, [model, *(item for pair in given.items() for item in pair)], *patterns)


def test_pictures_need_numbers_that_are_numbers(samples, tmp_path):
    model = save(picture_net(), tmp_path / "rgb.onnx")
    arguments = [model, "--device", "tx2", "--calib", samples, "-o", tmp_path / "out.coach"]
    for flags, pattern in (
        (["--mean", "grey"], "--mean 'grey' is not a list of numbers"),
        (["--mean", "nan"], "--mean 'nan' is not a list of numbers"),
        (["--mean", "1,2"], "--mean has 2 numbers, the model's input has 3 channels"),
        (["--std", "1,0,1"], "--std '1,0,1' has a number that is not positive"),
        (["--std", "inf"], "--std 'inf' is not a list of numbers"),
        (["--pixel-scale", "0"], "--pixel-scale 0 is not a positive number"),
        (["--pixel-scale", "inf"], "--pixel-scale inf is not a positive number"),
        (["--color", "cmyk"], r"--color 'cmyk' does not suit an input of 3 channel\(s\)"),
        (["--color", "gray"], r"--color 'gray' does not suit an input of 3 channel\(s\)"),
        (["--resize", "stretch"], "--resize 'stretch' is unknown"),
    ):
        refused(tmp_path, [*arguments, *flags], pattern)


def picture_net() -> onnx.ModelProto:
    node = helper.make_node("GlobalAveragePool", ["input"], ["mean"], name="pool")
    flat = helper.make_node("Flatten", ["mean"], ["logits"], name="flatten")
    graph = helper.make_graph(
        [node, flat],
        "picture",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


@pytest.mark.parametrize(
    ("data", "patterns"),
    [
        (None, [r"net\.onnx", "no such file|does not exist"]),
        (b"", [r"net\.onnx", "empty|not"]),
        (b"not a model, but a letter\n", [r"net\.onnx", "not"]),
        (np.random.default_rng(1).bytes(5000), [r"net\.onnx", "not"]),
    ],
    ids=["missing", "empty", "text", "random"],
)
def test_a_file_that_is_no_model(data, patterns, tmp_path):
    path = tmp_path / "net.onnx"
    if data is not None:
        path.write_bytes(data)
    said = refused(tmp_path, [path, "--device", "tx2", "--calib", "random", "-o", tmp_path / "o"], *patterns)
    assert said.startswith("error[model]: ")


@pytest.mark.parametrize("opset", [6, 99])
def test_an_opset_that_cannot_be_read(opset, tmp_path):
    model = chain()
    model.opset_import[0].version = opset
    path = save(model, tmp_path / "net.onnx")
    refused(tmp_path, [path, "--device", "tx2", "--calib", "random", "-o", tmp_path / "o"], f"opset {opset}", "hint: ")


def test_calibration_data_must_be_given(model, tmp_path):
    said = refused(tmp_path, [model, "--device", "tx2", "-o", tmp_path / "o"], "no calibration data", "--calib random")
    assert "hint: give --calib DIR (images) or --calib FILE.npz" in said


def test_calibration_data_that_does_not_suit_the_model(model, tmp_path):
    shape = (6, 4, 8, 8)
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.savez(tmp_path / "other_shape.npz", input=np.zeros((6, 3, 8, 8), np.float32))
    np.savez(tmp_path / "other_name.npz", image=noise)
    np.savez(tmp_path / "few_labels.npz", input=noise, labels=np.zeros(5, np.int64))
    np.savez(tmp_path / "words.npz", input=noise, labels=np.array(["cat"] * 6))
    np.savez(tmp_path / "none.npz", input=noise[:0])
    np.savez(tmp_path / "integers.npz", input=noise.astype(np.int64))
    (tmp_path / "letter.npz").write_bytes(b"not a zip file")
    (tmp_path / "images.txt").write_text("a.png\n")
    (tmp_path / "nothing_in_it").mkdir()
    for name, *patterns in (
        ("missing", "no such source: .*missing"),
        ("missing.npz", r"no such source: .*missing\.npz"),
        ("images.txt", r"images\.txt is neither a folder of images nor a \.npz file"),
        ("letter.npz", r"cannot read .*letter\.npz"),
        ("other_shape.npz", r"array 'input' has shape \(6,3,8,8\), the model takes \(1,4,8,8\)", "hint: "),
        ("other_name.npz", r"other_name\.npz has no array 'input'", "found  image", "hint: name the arrays"),
        ("few_labels.npz", r"'labels' in .*few_labels\.npz has .*shape \(5\), expected integers of shape \(6\)"),
        ("words.npz", r"'labels' in .*words\.npz has dtype <U3"),
        ("none.npz", r"none\.npz has no rows"),
        ("integers.npz", "array 'input' has dtype int64, the model takes float32"),
        # Four channels are no picture, so a folder cannot be read at all.
        ("nothing_in_it", "nothing_in_it holds images, but"),
    ):
        path = tmp_path / name
        said = refused(tmp_path, [model, "--device", "tx2", "--calib", path, "-o", tmp_path / "o"], *patterns)
        assert said.startswith("error[source]: ")


@pytest.mark.needs("PIL")
def test_a_folder_without_readable_images(tmp_path):
    model = save(picture_net(), tmp_path / "rgb.onnx")
    folder = tmp_path / "images"
    folder.mkdir()
    arguments = [model, "--device", "tx2", "--calib", folder, "-o", tmp_path / "o"]
    refused(tmp_path, arguments, f"no image in {folder}", r"looked for  \.png")
    (folder / "a.png").write_bytes(b"not a picture")
    refused(
        tmp_path, arguments, r"no image of .*images can be read", r"a\.png \(cannot be read: no image of a known kind\)"
    )
    (folder / "labels.csv").write_text("file,label\na.png,cat\n")
    refused(tmp_path, arguments, r"labels\.csv line 2: label 'cat' is not a class index")
    (folder / "labels.csv").write_text("name,class\na.png,0\n")
    refused(tmp_path, arguments, r"labels\.csv needs the columns file,label")


def test_a_second_input_without_its_array(tmp_path):
    model = save(two_inputs(), tmp_path / "two.onnx")
    np.savez(tmp_path / "one.npz", left=np.zeros((4, 4, 8, 8), np.float32))
    arguments = [model, "--device", "tx2", "--calib", tmp_path / "one.npz", "-o", tmp_path / "o"]
    refused(tmp_path, arguments, r"one\.npz has no array 'right'", "found  left")


def test_an_output_in_the_way_stays_as_it_was(model, samples, tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years")
    arguments = [model, "--device", "tx2", "--calib", samples, "-o"]
    refused(
        tmp_path, [*arguments, folder], "precious is not a bundle and will not be replaced", "hint: give another path"
    )
    refused(tmp_path, [*arguments, folder, "--force"], "precious is not a bundle and will not be replaced")
    refused(tmp_path, [*arguments, samples, "--force"], "is not a bundle and will not be replaced")
    refused(tmp_path, [*arguments, tmp_path / "nowhere" / "o"], "cannot write .*nowhere/o: its folder does not exist")
    assert (folder / "thesis.txt").read_text() == "ten years"


def test_an_output_in_the_way_is_said_before_the_work_is_done(model, tmp_path):
    (tmp_path / "o").mkdir()
    arguments = [model, "--device", "tx2", "--calib", tmp_path / "missing.npz", "-o", tmp_path / "o"]
    refused(tmp_path, arguments, "o is not a bundle and will not be replaced")


def test_force_replaces_a_bundle(model, samples, tmp_path):
    bundle = tmp_path / "o.coach"
    first = compile_json(model, bundle, "--calib", samples, "--mode", "split")
    refused(tmp_path, [model, "--device", "tx2", "--calib", samples, "-o", bundle], "exists already")
    second = compile_json(model, bundle, "--calib", samples, "--mode", "device-only", "--force")
    assert first["bundle_id"] != second["bundle_id"]
    assert files(bundle) == ["manifest.json", "manifest.sha256", "model.onnx"]
    assert [name for name in files(tmp_path) if "partial" in name] == []


def test_wrong_usage_ends_with_2(model, samples, tmp_path):
    before = files(tmp_path)
    for arguments, pattern in (
        (["compile", model, "--calib", samples], "--device"),
        (["compile", "--device", "tx2"], "MODEL"),
        (["compile", model, "--device", "tx2", "--bandwith", "20Mbit"], "--bandwith"),
        (["compile", model, "--device", "tx2", "--workers", "0"], "workers"),
        (["compile", model, "--device", "tx2", "--samples", "many"], "samples"),
        (["compost"], "compost"),
    ):
        outcome = coachc(*arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert re.search(pattern, outcome.err)
        assert files(tmp_path) == before


def test_json_is_complete_and_consistent(samples, tmp_path):
    model = save(diamond(), tmp_path / "diamond.onnx")
    report = compile_json(model, tmp_path / "o.coach", "--calib", samples, "--mode", "split", "--budget", "10%")
    plan = report["plan"]
    assert plan["mode"] == "split"
    assert plan["period_s"] == max(plan["device_s"], plan["link_s"], plan["cloud_s"]) > 0
    assert plan["latency_s"] > plan["period_s"]
    assert plan["gap"] == 0
    assert plan["cut"]
    for value in plan["cut"]:
        assert set(value) >= {"value", "shape", "bits"}
        assert 2 <= value["bits"] <= 8
    assert plan["packed_bytes"] == sum(math.ceil(math.prod(v["shape"]) * v["bits"] / 8) for v in plan["cut"])
    frames = 2 * len(plan["cut"])
    assert 0 < plan["bytes"] <= plan["packed_bytes"] + frames
    assert [one["bits"] for one in report["sensitivities"]] == list(range(2, 9)) * len(plan["cut"])
    assert set(report["alternatives"]) == {"device_only", "cloud_raw", "cloud_jpeg"}
    for name in ("device_only", "cloud_raw"):
        alternative = report["alternatives"][name]
        assert 0 < alternative["period_s"] <= alternative["latency_s"]
    # Four channels are no picture.
    assert report["alternatives"]["cloud_jpeg"]["period_s"] is None
    assert report["alternatives"]["device_only"]["bytes"] == 0
    assert report["alternatives"]["cloud_raw"]["bytes"] == 4 * 8 * 8
    accuracy = report["accuracy"]
    assert (accuracy["kind"], accuracy["samples"]) == ("labels", 24)
    assert 0 <= accuracy["split"] <= 1
    assert accuracy["loss"] == pytest.approx(accuracy["float"] - accuracy["split"])
    assert report["calibration"] == "calibrated"
    assert report["model"]["name"] == "diamond"
    link = report["link"]
    assert (link["bandwidth_bytes_per_s"], link["rtt_s"], link["source"]) == (2.5e6, 0.005, "given")
    assert link["request_bytes"] > 100 < link["answer_bytes"]
    assert report["device"]["kind"] == "fitted"
    manifest = json.loads((tmp_path / "o.coach" / "manifest.json").read_text())
    assert manifest["plan"]["plan"] == plan
    assert "random" not in str(report["warnings"])


def test_without_labels_agreement_stands_in(model, tmp_path):
    samples = samples_for(chain(), tmp_path / "unlabelled.npz", labels=False)
    arguments = ["--calib", samples, "--mode", "split"]
    report = compile_json(model, tmp_path / "o.coach", *arguments, "--task", "classify")
    assert (report["accuracy"]["kind"], report["accuracy"]["float"]) == ("agreement", 1.0)
    assert report["judged"]["budget"] == 0.005
    assert "accuracy not certified: the measured loss is " in report["warnings"][0]
    # Unless told, nothing says that five numbers are classes.
    report = compile_json(model, tmp_path / "o.coach", *arguments, "--force")
    assert (report["accuracy"]["kind"], report["accuracy"]["float"]) == ("outputs", 1.0)
    assert (report["judged"]["task"], report["judged"]["budget"]) == ("outputs", 0.02)
    assert report["judged"]["reason"] == "no labels say that its 5 numbers are classes (--task classify does)"
    assert set(report["judged"]["yardsticks"]) >= {"float16"}


def test_the_same_inputs_give_the_same_bytes(model, samples, tmp_path):
    for name in ("a", "b"):
        compile_json(model, tmp_path / f"{name}.coach", "--calib", samples, "--mode", "split")
    first, second = tmp_path / "a.coach", tmp_path / "b.coach"
    assert files(first) == files(second)
    assert {"cloud.onnx", "device.onnx", "split.policy"} < set(files(first))
    for name in files(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_random_calibration_is_stamped_everywhere(model, tmp_path):
    bundle = tmp_path / "o.coach"
    report = compile_json(model, bundle, "--calib", "random", "--mode", "split")
    assert report["calibration"] == "UNCALIBRATED"
    assert report["accuracy"]["kind"] == "random"
    assert report["accuracy"]["certified"] is False
    assert any("UNCALIBRATED" in text for text in report["warnings"])
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["calibration"] == "uncalibrated"
    assert manifest["plan"]["calibration"] == "UNCALIBRATED"
    table = succeed("compile", model, "--device", "tx2", "--calib", "random", "-o", bundle, "--force")
    assert "UNCALIBRATED" in table
    assert "says nothing about real samples" in table


def test_the_table_shows_every_way_with_its_provenance(model, samples, tmp_path):
    arguments = ["compile", model, "--device", "tx2", "--calib", samples, "-o", tmp_path / "o", "--mode", "split"]
    table = succeed(*arguments)
    for text in (
        "> split",
        "device only",
        "cloud only, raw",
        "cloud only, JPEG",
        "proven optimal",
        "against the labels",
    ):
        assert text in table
    assert re.search(r"device +estimated, fitted to published measurements, within 1\.\d+x where published: ", table)
    assert re.search(
        r"cloud +estimated, scaled from another target and never measured, within 2x where published: ", table
    )


def test_local_targets_are_measured(model, samples, tmp_path):
    arguments = ["--calib", samples, "--device", "local", "--cloud", "local", "--mode", "split"]
    report = compile_json(model, tmp_path / "o.coach", *arguments)
    assert (report["device"]["kind"], report["cloud"]["kind"]) == ("measured", "measured")
    assert report["plan"]["device_s"] > 0
    succeed("check", tmp_path / "o.coach")
    table = succeed("compile", model, *arguments, "-o", tmp_path / "p.coach")
    assert re.search(r"device +measured on this machine: ", table)


def test_a_newer_opset_than_the_target_parses_is_lowered_and_said(tmp_path):
    model = save(chain(opset=18), tmp_path / "new.onnx")
    report = compile_json(model, tmp_path / "o.coach", "--calib", "random", "--mode", "split")
    assert not any("opset" in text for text in report["warnings"])
    half = {"path": "device.edge.onnx", "target": "TensorRT 8.2.1 on tx2", "source_opset": 18, "opset": 13}
    assert {**half, "applied": {"ReduceMean": 1}} in report["lowered"]  # the feature's
    arguments = ["--device", "tx2", "--cloud", "a6000", "--calib", "random", "--mode", "split"]
    printed = succeed("compile", model, "-o", tmp_path / "p.coach", *arguments)
    assert "lowered   device.edge.onnx: opset 18 -> 13: ReduceMean 1" in printed
    succeed("check", tmp_path / "o.coach")


def test_what_cannot_be_lowered_for_the_device_is_put_on_the_cloud(tmp_path):
    nodes = [op("Conv", "x w", "c", pads=[1] * 4), op("Tanh", "g", "t"), op("GridSample", "c t", "y")]
    inputs = [info("x", (1, 4, 8, 8)), info("g", (1, 8, 8, 2))]
    model = net(nodes, inputs, [info("y", (1, 4, 8, 8))], [random_weight("w", 4, 4, 3, 3)], opset=16)
    report = compile_json(save(model, tmp_path / "new.onnx"), tmp_path / "o.coach", "--calib", "random")
    assert not any("will not build" in text for text in report["warnings"])
    assert report["plan"]["mode"] in ("split", "cloud-raw")
    note = report["alternatives"]["device_only"]["note"]
    assert "node 'GridSample.y' (GridSample): the operator came with opset 16 (tx2 (TensorRT 8.2.1))" in note
    assert coachc("check", tmp_path / "o.coach").code == 0


def test_what_no_target_builds_is_refused_by_node(tmp_path):
    nodes = [op("Relu", "x", "r"), op("Det", "r", "d", name="det"), op("Det", "x", "e"), op("Add", "d e", "y")]
    model = save(net(nodes, ["x"], [info("y", (1, 4))]), tmp_path / "det.onnx")
    outcome = coachc("compile", model, "--device", "tx2", "-o", tmp_path / "o.coach", "--calib", "random")
    assert outcome.code == 1
    assert "no plan builds on both sides" in outcome.err
    assert "device: node 'det' (Det): not in the parser's operator list (tx2 (TensorRT 8.2.1))" in outcome.err
    assert "cloud: node 'det' (Det): not in the parser's operator list (a6000 (TensorRT 11.4))" in outcome.err
    assert not (tmp_path / "o.coach").exists()
