"""The small detector and the small segmenter: the committed files, and that training begins as it began for them."""

from __future__ import annotations

import subprocess
import sys

import onnx
import pytest

from coachc.models import digits_detector, digits_segmenter
from coachc.models.detector_outputs import OUTPUT_NAMES
from coachc.models.onnx_writer import OUTPUT, write_onnx

DETECTOR, SEGMENTER = digits_detector.DETECTOR_FILE, digits_segmenter.SEGMENTER_FILE
NETWORKS = pytest.mark.parametrize(
    ("module", "path", "outputs"),
    [(digits_detector, DETECTOR, OUTPUT_NAMES), (digits_segmenter, SEGMENTER, (OUTPUT,))],
    ids=["detector", "segmenter"],
)

#: Of the first steps of the training that made the committed files.
FIRST_LOSSES = {digits_detector: [2.17161, 2.17340, 2.21832], digits_segmenter: [5.47770, 5.45162, 5.41970]}


def structure(path):
    """What training cannot change: nodes by name and kind, and the shapes of the parameters in order."""
    graph = onnx.load(path).graph
    return [(node.name, node.op_type) for node in graph.node], [tuple(tensor.dims) for tensor in graph.initializer]


def shapes(values):
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
    }


@NETWORKS
def test_the_committed_file_is_small_and_portable(module, path, outputs):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert path.stat().st_size < 1_000_000
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert shapes(model.graph.input) == {"input": ["N", 3, 128, 128]}
    assert [value.name for value in model.graph.output] == list(outputs)
    kinds = {node.op_type for node in model.graph.node}
    # Normalisation is folded; the scales of Resize are a constant, or its size would be computed on the way.
    assert kinds <= {"Conv", "ConvTranspose", "Relu", "Add", "Concat", "Resize", "Constant"}


def test_shapes_of_the_outputs():
    assert shapes(onnx.load(DETECTOR).graph.output) == {
        "distances_8": ["N", 4, 16, 16],
        "logits_8": ["N", 10, 16, 16],
        "distances_16": ["N", 4, 8, 8],
        "logits_16": ["N", 10, 8, 8],
    }
    assert shapes(onnx.load(SEGMENTER).graph.output) == {"logits": ["N", 11, 128, 128]}


@pytest.mark.needs("sklearn", "onnxruntime")
def test_the_committed_detector_finds_held_out_digits():
    assert digits_detector.score(DETECTOR, count=60, seed=11) >= 0.8


@pytest.mark.needs("sklearn", "onnxruntime")
def test_the_committed_segmenter_outlines_held_out_digits():
    assert digits_segmenter.score(SEGMENTER, count=60, seed=11) >= 0.7


@pytest.mark.needs("torch", "sklearn", "onnxruntime")
@NETWORKS
def test_training_begins_as_it_did_for_the_committed_file(module, path, outputs, tmp_path):
    """All steps take minutes; the first ones tell whether seed, scenes, network, loss and optimiser are still those."""
    losses = []
    net = module.train(steps=len(FIRST_LOSSES[module]), report=lambda step, loss: losses.append(loss))
    assert not net.training
    # Not bit for bit: another processor sums in another order.
    assert losses == pytest.approx(FIRST_LOSSES[module], rel=2e-3)
    again = tmp_path / "again.onnx"
    assert write_onnx(net, module.INPUT_SHAPE, again, outputs=outputs)
    assert structure(again) == structure(path)


@pytest.mark.needs("torch", "sklearn")
def test_training_repeats_bit_for_bit_on_one_processor():
    import torch

    first, second = (digits_detector.train(steps=2).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.needs("sklearn", "PIL")
@NETWORKS
def test_the_data_command(module, path, outputs, tmp_path):
    from typer.testing import CliRunner

    folder = tmp_path / "scenes"
    result = CliRunner().invoke(module.app, ["data", str(folder), "--count", "2"], catch_exceptions=False)
    assert result.stdout == f"{folder}: 2 scenes\n"
    assert len(list((folder / "pictures").iterdir())) == 2


@NETWORKS
def test_an_output_that_cannot_be_written_is_refused_before_training(module, path, outputs, tmp_path):
    command = [sys.executable, "-m", module.__name__, "train", "-o", str(tmp_path / "absent" / "again.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error[file]: cannot write ")
    assert "Traceback" not in done.stderr
