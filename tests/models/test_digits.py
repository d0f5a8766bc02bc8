"""The digits: the split, the enlargement, the committed network, and that training gives it again."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest

from coachc.models import digits
from coachc.models.zoo import DIGITS_FILE


def predictions(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": images})[0].argmax(1)


def structure(path):
    """What training cannot change: nodes by name and kind, and the shapes of the parameters in order."""
    graph = onnx.load(path).graph
    return [(node.name, node.op_type) for node in graph.node], [tuple(tensor.dims) for tensor in graph.initializer]


def test_upscale_by_hand():
    # Two pixels to four: the new centres lie at -0.25, 0.25, 0.75 and 1.25 of the old grid, clipped to [0, 1].
    row = np.array([0.0, 0.25, 0.75, 1.0])
    np.testing.assert_allclose(digits.upscale(np.array([[[0.0, 1.0], [0.0, 1.0]]]), 4), [[row, row, row, row]])


@pytest.mark.needs("torch")
def test_upscale_agrees_with_torch():
    import torch

    images = np.random.default_rng(0).random((3, 8, 8))
    expected = torch.nn.functional.interpolate(torch.from_numpy(images)[:, None], (64, 64), mode="bilinear")
    np.testing.assert_allclose(digits.upscale(images), expected[:, 0].numpy(), atol=1e-6)


def test_the_held_out_third_is_stratified():
    labels = np.random.default_rng(0).integers(0, 10, 1797)
    mask = digits.held_out(labels)
    assert mask.sum() == 599
    for label in range(10):
        assert abs(mask[labels == label].sum() - (labels == label).sum() / 3) < 1


@pytest.mark.needs("sklearn")
def test_data_is_written_without_torch(tmp_path):
    # A finder that refuses, because scipy looks into sys.modules for torch. The names lack .npz on purpose: numpy
    # would add it.
    program = f"""
import os, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "onnxruntime"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, os.getcwd())
os.chdir({str(tmp_path)!r})
sys.argv = ["digits", "data", "--calib", "calib", "--test", "test"]
from coachc.models.digits import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "calib: 1198 images, test: 599 held-out images\n"
    with np.load(tmp_path / "calib") as calib, np.load(tmp_path / "test") as test:
        assert sorted(calib.files) == sorted(test.files) == ["input", "labels"]
        assert calib["input"].shape == (1198, 1, 64, 64)
        assert test["input"].shape == (599, 1, 64, 64)
        assert calib["input"].dtype == np.float32
        assert calib["labels"].dtype == np.int64
        assert (calib["input"].min(), calib["input"].max()) == (0.0, 1.0)
        seen = {image.tobytes() for image in calib["input"]}
        assert not any(image.tobytes() in seen for image in test["input"])
        # In the data set's own order, so that the first hundred are a fair sample of all classes.
        assert len(set(calib["labels"][:100].tolist())) == 10


@pytest.mark.needs("sklearn")
def test_an_error_is_printed_without_a_traceback(tmp_path):
    absent = str(tmp_path / "absent" / "calib.npz")
    command = [
        sys.executable,
        "-m",
        "coachc.models.digits",
        "data",
        "--calib",
        absent,
        "--test",
        str(tmp_path / "test.npz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error[file]: cannot write ")
    assert "Traceback" not in done.stderr


def test_the_committed_file_is_small_and_portable():
    model = onnx.load(DIGITS_FILE)
    onnx.checker.check_model(model, full_check=True)
    assert DIGITS_FILE.stat().st_size < 1_000_000
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    (value,) = model.graph.input
    dims = value.type.tensor_type.shape.dim
    assert (value.name, dims[0].dim_param, [dim.dim_value for dim in dims][1:]) == ("input", "N", [1, 64, 64])
    kinds = [node.op_type for node in model.graph.node]
    # A stem, nine blocks of two, two projections; normalisation folded; one linear layer.
    assert (kinds.count("Conv"), kinds.count("Add"), kinds.count("Gemm")) == (1 + 18 + 2, 9, 1)
    assert "BatchNormalization" not in kinds


@pytest.mark.needs("sklearn", "onnxruntime")
def test_the_committed_file_knows_the_held_out_digits():
    data = digits.load()
    assert (predictions(DIGITS_FILE, data.test_images) == data.test_labels).mean() >= 0.97


@pytest.mark.needs("torch", "sklearn", "onnxruntime")
def test_training_gives_the_committed_file_again(tmp_path):
    from typer.testing import CliRunner

    path = tmp_path / "again.onnx"
    result = CliRunner().invoke(digits.app, ["train", "-o", str(path)], catch_exceptions=False)
    assert " of 599 held-out digits right" in result.stdout
    assert structure(path) == structure(DIGITS_FILE)
    data = digits.load()
    again = predictions(path, data.test_images)
    assert (again == data.test_labels).mean() >= 0.97
    # Not bit for bit: another processor sums in another order.
    assert (again == predictions(DIGITS_FILE, data.test_images)).mean() >= 0.98


@pytest.mark.needs("torch")
def test_training_leaves_torchs_settings_alone():
    import torch

    threads = torch.get_num_threads()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    images = np.zeros((digits.BATCH, *digits.INPUT_SHAPE), np.float32)
    net = digits.train(images, np.zeros(digits.BATCH, np.int64), epochs=2)
    assert not net.training
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)
