"""Exported files have the opset asked for and compute what torch computes; failures leave nothing behind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest

from coachc.errors import FileError, ModelError, ToolchainError, UsageError
from coachc.models import zoo
from coachc.models.onnx_writer import MAX_OPSET, MIN_OPSET, write_onnx


def opset_of(model):
    (entry,) = model.opset_import
    return entry.version


@pytest.mark.needs("torch", "onnxruntime")
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2", "googlenet", "densenet121"])
def test_export_is_opset_13_and_equals_torch(tmp_path, name):
    import onnxruntime
    import torch

    path = tmp_path / "model.onnx"
    result = zoo.export_model(name, path)
    model = onnx.load(path)
    assert opset_of(model) == result.opset == 13
    assert model.ir_version == 7
    assert result.size_bytes == path.stat().st_size
    assert result.compared
    assert (result.trained, result.weights) == (False, "random, seed 0")
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    # A trained network has none: they appear where the exporter merges equal parameters.
    assert not any(node.op_type == "Identity" for node in model.graph.node)

    sample = np.random.default_rng(1).standard_normal((3, 3, 224, 224), dtype=np.float32)
    with torch.no_grad():
        expected = zoo.build(name)(torch.from_numpy(sample)).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": sample})
    # Float rounding only; measured below 3e-5 for these five.
    np.testing.assert_allclose(found, expected, atol=5e-4 * np.abs(expected).max(), rtol=0)


@pytest.mark.needs("torch")
def test_googlenet_carries_its_input_transform(tmp_path):
    zoo.export_model("googlenet", tmp_path / "googlenet.onnx")
    nodes = [node for node in onnx.load(tmp_path / "googlenet.onnx").graph.node if node.op_type != "Constant"]
    assert [node.op_type for node in nodes[:3]] == ["Mul", "Add", "Conv"]


@pytest.mark.needs("torch")
@pytest.mark.parametrize("opset", [MIN_OPSET, 11, 17, MAX_OPSET])
def test_every_opset_in_range_is_written_as_asked(tmp_path, opset):
    zoo.export_model("squeezenet1_1", tmp_path / "model.onnx", opset=opset)
    model = onnx.load(tmp_path / "model.onnx")
    assert opset_of(model) == opset
    assert model.ir_version == onnx.helper.find_min_ir_version_for(model.opset_import)


@pytest.mark.parametrize("opset", [8, 21])
def test_an_opset_out_of_range_is_refused(tmp_path, opset):
    with pytest.raises(UsageError, match=f"cannot export opset {opset}: torch's exporter writes opset 9 to 20"):
        zoo.export_model("squeezenet1_1", tmp_path / "model.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


@pytest.mark.needs("torch")
def test_weights_reach_the_file(tmp_path):
    import torch

    net = zoo.build("squeezenet1_1")
    with torch.no_grad():
        net.classifier[1].bias.fill_(0.25)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    result = zoo.export_model("squeezenet1_1", tmp_path / "model.onnx", weights=tmp_path / "weights.pth")
    assert (result.trained, result.weights) == (True, str(tmp_path / "weights.pth"))
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert (stored["classifier.1.bias"] == 0.25).all()


@pytest.mark.needs("torch", "onnxruntime")
def test_a_graph_that_differs_from_torch_is_not_written(tmp_path):
    import torch

    class Deceiver(torch.nn.Module):
        def forward(self, x):
            return x * (1.0 if torch.jit.is_tracing() else 2.0)

    path = tmp_path / "model.onnx"
    path.write_bytes(b"what was there before")
    with pytest.raises(ModelError, match="does not compute what torch computes") as caught:
        write_onnx(Deceiver(), (4,), path)
    assert "largest difference of logits" in caught.value.context[0]
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"what was there before")]


@pytest.mark.needs("torch")
def test_wrong_weights_leave_nothing_behind(tmp_path):
    import torch

    weights = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(1)}, weights)
    with pytest.raises(ModelError, match="do not fit SqueezeNet"):
        zoo.export_model("squeezenet1_1", tmp_path / "model.onnx", weights=weights)
    assert list(tmp_path.iterdir()) == [weights]


def test_an_output_that_cannot_be_written(tmp_path):
    with pytest.raises(FileError, match=r"the folder .*absent does not exist"):
        zoo.export_model("digits", tmp_path / "absent" / "model.onnx")
    with pytest.raises(FileError, match="it is a folder"):
        zoo.export_model("digits", tmp_path)


@pytest.mark.needs("torch")
def test_without_onnx_runtime_the_comparison_is_reported_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert not zoo.export_model("squeezenet1_1", tmp_path / "model.onnx").compared


def test_unknown_names_suggest_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="no model is called 'ResNet-50'") as caught:
        zoo.export_model("ResNet-50", tmp_path / "model.onnx")
    assert caught.value.hint == "did you mean resnet50?"
    assert caught.value.context == (f"known: {', '.join(zoo.NAMES)}",)


def test_digits_is_copied(tmp_path):
    path = tmp_path / "digits.onnx"
    result = zoo.export_model("digits", path)
    assert path.read_bytes() == zoo.DIGITS_FILE.read_bytes()
    assert (result.opset, result.trained) == (13, True)


def test_digits_takes_no_weights_classes_or_other_opset(tmp_path):
    with pytest.raises(UsageError, match="--weights does not apply"):
        zoo.export_model("digits", tmp_path / "model.onnx", weights=tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="digits comes as a file of opset 13, not 17"):
        zoo.export_model("digits", tmp_path / "model.onnx", opset=17)
    with pytest.raises(UsageError, match="digits comes with its 10 classes: --classes does not apply"):
        zoo.export_model("digits", tmp_path / "model.onnx", classes=3)
    assert not list(tmp_path.iterdir())


def test_without_torch_names_are_listed_and_export_says_what_to_install(tmp_path):
    program = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from coachc.models import zoo
print(len(zoo.NAMES))
zoo.export_model("digits", Path({str(tmp_path / "digits.onnx")!r}))
try:
    zoo.export_model("resnet18", Path({str(tmp_path / "resnet18.onnx")!r}))
except zoo.ToolchainError as error:
    print(error.render())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "12",
        "error[toolchain]: exporting resnet18 needs torch",
        "  hint: pip install 'coachc[export]'",
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["digits.onnx"]


class TestCommand:
    """`coachc export`, as the command line calls it."""

    def invoke(self, *arguments):
        import typer
        from typer.testing import CliRunner

        from coachc.cli.export import export

        app = typer.Typer()
        app.command("export")(export)
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def test_digits(self, tmp_path):
        path = tmp_path / "digits.onnx"
        result = self.invoke("digits", "-o", path)
        assert result.exit_code == 0
        expected = f"{path}: opset 13, 0.5 MB, 0.12 M parameters, weights: trained on scikit-learn's digits\n"
        assert result.stdout == expected
        assert not result.stderr

    @pytest.mark.needs("torch", "onnxruntime")
    def test_untrained_weights_are_announced(self, tmp_path):
        path = tmp_path / "model.onnx"
        result = self.invoke("squeezenet1_1", "--opset", 11, "-o", path)
        assert result.stdout == f"{path}: opset 11, 5.0 MB, 1.24 M parameters, weights: random, seed 0\n"
        assert result.stderr == "warning: squeezenet1_1 is UNTRAINED; give its weights with --weights FILE\n"

    def test_errors_reach_the_caller(self, tmp_path):
        result = self.invoke("resnet51", "-o", tmp_path / "model.onnx")
        assert isinstance(result.exception, UsageError)
        result = self.invoke("resnet50", "--weights", tmp_path / "no.pth", "--opset", 3, "-o", tmp_path / "model.onnx")
        assert isinstance(result.exception, UsageError)

    def test_the_help_lists_every_name(self):
        text = " ".join(self.invoke("--help").stdout.replace("│", " ").split())
        assert all(name in text for name in zoo.NAMES)


def test_toolchain_errors_name_onnx_runtime(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")

    def refuse(*_arguments, **_options):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(ToolchainError, match="ONNX Runtime cannot run the exported model: no such kernel"):
        zoo.export_model("squeezenet1_1", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
