"""`coachc run` against `coachc serve`, over a real socket: every mode, many tensors, and what both refuse."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from coachc.core.graph import GraphView
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import chain, dense, inception, residual, two_inputs, two_outputs
from coachc.passes.cut import outputs_on_device
from coachc.passes.ideals import all_ideals
from coachc.planning import make_plan as planning
from coachc.runtime.bundle.store import open_bundle
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import coachc, compile_json, run_over_socket, serving, succeed
from tests.helpers.sockets import assert_same_outputs, feeds_of, outputs_over_socket, quantized_reference

pytestmark = [pytest.mark.needs("uvicorn"), pytest.mark.needs("httptools")]

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}


def colour_net() -> onnx.ModelProto:
    """The mean colour decides: logits are blue, green and red, as sorted folders are."""
    rng = np.random.default_rng(0)
    kernel = np.zeros((6, 3, 3, 3), np.float32)
    for channel in range(6):
        kernel[channel, channel % 3] = rng.uniform(0.5, 1.5, (3, 3)) / 9
    classes = np.zeros((3, 6), np.float32)
    for channel in range(6):
        classes[2 - channel % 3, channel] = 2.0
    weights = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(classes, "classes")]
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["c"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="maxpool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "classes"], ["logits"], name="gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """The network and a folder of 36 noisy pictures, one sub-folder a colour."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(5)
    for name, colour in COLOURS.items():
        (folder / "images" / name).mkdir(parents=True)
        for index in range(12):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (48, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{index:02}.png")
    save(colour_net(), folder / "colours.onnx")
    return folder


@pytest.mark.needs("PIL")
@pytest.mark.parametrize("mode", ["split", "device-only", "cloud-raw", "cloud-jpeg"])
def test_every_mode_over_the_socket(mode, colours, tmp_path):
    bundle, images = tmp_path / "o.coach", colours / "images"
    report = compile_json(colours / "colours.onnx", bundle, "--calib", images, "--mode", mode)
    assert report["plan"]["mode"] == mode
    assert report["alternatives"]["cloud_jpeg"]["emittable"]
    assert report["accuracy"]["kind"] == "labels"
    succeed("check", bundle)
    if mode == "device-only":
        refused("serve", bundle, "--listen", "127.0.0.1:0", patterns=("nothing to serve: every cut of .* runs",))
        ran = coachc("run", bundle, "--source", images, "--json").json()
        assert ran["bytes_per_task"] == 0
    else:
        ran = run_over_socket(bundle, images, "--policy", "none")
        assert ran["bytes_per_task"] > ran["payload_bytes_per_task"] > 0
        # The plan has the mean of some calibration samples, coded or as JPEG.
        assert ran["payload_bytes_per_task"] == pytest.approx(report["plan"]["bytes"], rel=0.15, abs=2)
        assert ran["payload_bytes_per_task"] <= ran["packed_bytes_per_task"]
    assert (ran["mode"], ran["tasks"], ran["accuracy"]) == (mode, 36, 1.0)
    assert 0 < ran["latency_s"]["p50"] <= ran["latency_s"]["p95"] <= ran["latency_s"]["p99"]
    assert ran["latency_s"]["mean"] > 0
    assert ran["throughput_per_s"] > 0


def at_most_tensors(graph: GraphView, masks: tuple[int, ...]) -> int:
    """The partition with the largest cut."""
    return max((m for m in masks if m != graph.full_mask), key=lambda m: (len(graph.cut_values(m)), m))


def one_side_done(graph: GraphView, masks: tuple[int, ...]) -> int:
    """One input is worked on by the device, the other crosses as it is."""
    return next(m for m in masks if m and any(name in graph.inputs for name in graph.cut_values(m)))


def one_output_made(graph: GraphView, masks: tuple[int, ...]) -> int:
    """One model output is made on the device."""
    return next(m for m in masks if m != graph.full_mask and len(outputs_on_device(graph, m)) == 1)


@pytest.mark.parametrize(
    ("build", "choose", "tensors"),
    [
        (inception, at_most_tensors, 4),
        (residual, at_most_tensors, 2),
        (dense, at_most_tensors, 2),
        (two_inputs, one_side_done, 2),
        (two_outputs, one_output_made, 1),
    ],
    ids=lambda item: getattr(item, "__name__", str(item)),
)
def test_many_tensors_over_the_socket(build, choose, tensors, tmp_path):
    path = save(build(), tmp_path / "net.onnx")
    graph = fuse(import_model(path))
    wanted = choose(graph, all_ideals(graph)[0])
    samples, bundle = samples_for(build(), tmp_path / "samples.npz", labels=False), tmp_path / "o.coach"
    with mock.patch.dict(planning.KEEP, {"split": lambda mask: mask == wanted}):
        report = compile_json(path, bundle, "--calib", samples, "--mode", "split")
    assert len(report["plan"]["cut"]) >= tensors
    succeed("check", bundle)
    cut = open_bundle(bundle).manifest.cut()
    assert [value.name for value in cut.values] == list(graph.cut_values(wanted))
    if build is two_outputs:
        assert (cut.device_outputs, cut.cloud_outputs) == (("early",), ("logits",))
    feeds = feeds_of(samples, 8)
    with serving(bundle) as address:
        answers = outputs_over_socket(bundle, address, feeds)
        run = ["run", bundle, "--server", address, "--source", samples, "--policy", "none"]
        ran = coachc(*run, "--json", "--limit", 10).json()
    assert_same_outputs(answers, quantized_reference(bundle, feeds))
    assert (ran["tasks"], ran["accuracy"]) == (10, None)
    assert ran["payload_bytes_per_task"] == pytest.approx(report["plan"]["bytes"], rel=0.15, abs=2)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    samples = samples_for(chain(), folder / "samples.npz")
    compile_json(save(chain(), folder / "chain.onnx"), folder / "o.coach", "--calib", samples, "--mode", "split")
    return folder


def refused(*arguments: object, patterns: tuple[str, ...]) -> None:
    outcome = coachc(*arguments)
    assert (outcome.code, outcome.out) == (2 if outcome.err.startswith("error[usage]") else 1, ""), outcome
    assert re.findall(r"error\[\w+\]: ", outcome.err) == [outcome.err[: outcome.err.index(" ") + 1]], outcome.err
    for pattern in patterns:
        assert re.search(pattern, outcome.err), f"{pattern!r} not in\n{outcome.err}"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_cannot_be_reached(split):
    arguments = ["run", split / "o.coach", "--source", split / "samples.npz"]
    refused(*arguments, patterns=(r"error\[usage\]: cut 'split' needs a server", "hint: --server HOST:PORT"))
    address = f"127.0.0.1:{closed_port()}"
    refused(*arguments, "--server", address, patterns=(r"error\[connection\]: .*" + address, "refused"))
    refused(
        *arguments,
        "--server",
        "localhost",
        patterns=("--server 'localhost' is not HOST:PORT", "hint: give the port too: --server localhost:8700"),
    )


def test_a_server_that_runs_another_bundle_or_cut(split, tmp_path):
    compile_json(split / "chain.onnx", tmp_path / "raw.coach", "--calib", split / "samples.npz", "--mode", "cloud-raw")
    arguments = ["run", split / "o.coach", "--source", split / "samples.npz", "--server"]
    with serving(tmp_path / "raw.coach") as address:
        runs = open_bundle(tmp_path / "raw.coach").served_name
        mine = open_bundle(split / "o.coach").served_name
        said = f"the server at {address} runs {runs}, this bundle is {mine}"
        refused(*arguments, address, patterns=(r"error\[connection\]: " + re.escape(said), "hint: serve this bundle"))


def test_serve_takes_the_cut_that_run_takes(split):
    bundle = split / "o.coach"
    with serving(bundle, "--cut", "split") as address:
        arguments = ["run", bundle, "--source", split / "samples.npz", "--server", address, "--json"]
        assert coachc(*arguments, "--cut", "split").json()["cut"] == "split"
    refused("serve", bundle, "--cut", "device-only", patterns=("runs on the device alone", "--cut serves .*: split"))
    refused("serve", bundle, "--cut", "middle", patterns=("no cut 'middle'", "--cut takes one of split, device-only"))
    refused("run", bundle, "--cut", "middle", "--source", split / "samples.npz", patterns=("no cut 'middle'",))


def test_an_address_that_cannot_be_listened_on(split):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused("serve", split / "o.coach", "--listen", address, patterns=(f"cannot listen on {address}", "hint: "))
    refused("serve", split / "o.coach", "--listen", "8700", patterns=("--listen '8700' is not HOST:PORT",))


def test_an_engine_that_is_not_there(split):
    for command in (["serve"], ["run", "--cut", "device-only", "--source", split / "samples.npz"]):
        arguments = [command[0], split / "o.coach", *command[1:], "--provider", "NoSuchExecutionProvider"]
        refused(*arguments, patterns=(r"error\[engine\]: .*NoSuchExecutionProvider",))


def test_sources_that_do_not_suit_the_bundle(split, tmp_path):
    np.savez(tmp_path / "other.npz", input=np.zeros((3, 4, 9, 9), np.float32))
    np.savez(tmp_path / "labels.npz", input=np.zeros((3, 4, 8, 8), np.float32), labels=np.arange(4))
    shutil.copytree(split / "o.coach", tmp_path / "o.coach")
    (tmp_path / "images").mkdir()
    arguments = ["run", split / "o.coach", "--cut", "device-only", "--source"]
    for source, *patterns in (
        ("missing.npz", r"no such source: .*missing\.npz"),
        ("other.npz", r"array 'input' has shape \(3,4,9,9\), the model takes \(1,4,8,8\)"),
        ("labels.npz", r"'labels' in .*labels\.npz has dtype int64 and shape \(4\), expected integers of shape \(3\)"),
        ("images", "does not say how to preprocess", "hint: compile on a folder of images, or with --mean"),
    ):
        refused(*arguments, tmp_path / source, patterns=(r"error\[source\]: ", *patterns))


@pytest.mark.needs("PIL")
def test_jpeg_needs_pictures(colours, tmp_path):
    bundle = tmp_path / "o.coach"
    compile_json(colours / "colours.onnx", bundle, "--calib", colours / "images", "--mode", "cloud-jpeg")
    np.savez(tmp_path / "arrays.npz", input=np.zeros((3, 3, 32, 32), np.float32))
    with serving(bundle) as address:
        refused(
            "run", bundle, "--server", address, "--source", tmp_path / "arrays.npz",
            patterns=("cut 'cloud-jpeg' sends JPEG images, and the source holds arrays",),
        )  # fmt: skip


def test_local_targets_over_the_socket(split, tmp_path):
    bundle, samples = tmp_path / "o.coach", split / "samples.npz"
    local = ["--device", "local", "--cloud", "local", "--mode", "split"]
    report = compile_json(split / "chain.onnx", bundle, "--calib", samples, *local)
    feeds = feeds_of(samples, 4)
    with serving(bundle) as address:
        answers = outputs_over_socket(bundle, address, feeds)
    assert_same_outputs(answers, quantized_reference(bundle, feeds))
    assert (report["device"]["kind"], report["cloud"]["kind"]) == ("measured", "measured")


def test_the_table_of_a_run(split):
    said = succeed("run", split / "o.coach", "--cut", "device-only", "--source", split / "samples.npz")
    for line in ("cut  ", "engine  ", "tasks  ", "accuracy  ", "bytes per task  ", "latency  ", "throughput  "):
        assert re.search(f"(?m)^{line}", said)


def test_batches(tmp_path):
    """Two rows a task, each with its own answer."""
    model = chain()
    samples = samples_for(model, tmp_path / "samples.npz")
    with np.load(samples) as stored:
        images = stored["input"]
    session = ort.session(model)
    answers = [int(session.run(None, {"input": images[i : i + 1]})[0].argmax()) for i in range(len(images))]
    np.savez(samples, input=images, labels=np.array(answers))
    for end in (model.graph.input[0], model.graph.output[0]):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    path, bundle = save(model, tmp_path / "chain.onnx"), tmp_path / "o.coach"
    compile_json(path, bundle, "--calib", samples, "--mode", "split", "--batch", 2)
    ran = run_over_socket(bundle, samples)
    assert (ran["tasks"], ran["accuracy"]) == (12, 1.0)


def test_files_of_the_bundle_are_left_alone(split):
    before = {path.name: path.read_bytes() for path in Path(split / "o.coach").iterdir()}
    run_over_socket(split / "o.coach", split / "samples.npz")
    assert {path.name: path.read_bytes() for path in Path(split / "o.coach").iterdir()} == before
