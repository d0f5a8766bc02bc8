"""Every network at hand, for every device, to an A6000: no rule of either target is broken, and the engine builds.

Noise calibrates well enough for what is asked here: graphs, not accuracy.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path

import onnx
import pytest

from coachc.checks.targets import check_bundle_targets
from coachc.cost.device_files import find_device
from coachc.emit import rtx
from coachc.frontend import walk
from coachc.models import zoo
from coachc.runtime.bundle.manifest_json import from_json_bytes
from tests.helpers import light
from tests.helpers.commands import REPOSITORY, coachc, compile_json
from tests.helpers.real_data import WEIGHTS, needs_data, weights

pytestmark = [pytest.mark.needs("onnxruntime"), pytest.mark.needs("tensorrt_rtx")]

DEVICES = ("tx2", "xavier-nx", "orin-nano")
DIGITS = REPOSITORY / "models" / "digits.onnx"
#: Quantizes every cut: only the search over all partitions sends tensors as they are. At this rate most cuts are amid
#: the network rather than before its last layer.
PACKED = ("--search", "mincut", "--bandwidth", "100Mbit")
#: Halves of larger files are compared with the model on TX2 only; their smaller relatives' are on every device.
LARGE_BYTES = 48 << 20
#: Channels of the hidden layers of VGG's classifier, 4096 as published: the same operators in an eighth of the bytes.
#: The light VGG-19 has all of them.
VGG_HIDDEN = 128
#: The deepest ResNets have a quarter of their channels: the same operators in a sixteenth of the bytes.
DEEPEST = ("resnet101", "resnet152")
#: Exports that a device does not take as they are: TX2 ends at opset 13, Xavier NX at 17.
NEWER = (
    *((name, 17, "tx2") for name in ("squeezenet1_1", "mobilenet_v2", "googlenet")),
    *(
        (name, 20, device)
        for name in ("squeezenet1_1", "mobilenet_v2", "googlenet", "densenet121")
        for device in ("tx2", "xavier-nx")
    ),
)
#: Light models with linear layers of up to 400 MB: they keep the placeholders that they are shipped with.
PLACEHOLDERS = ("bvlc_alexnet", "vgg19", "zfnet512")


@pytest.fixture
def bundle(tmp_path):
    """A path for a bundle, which is removed at once: pytest keeps the folders of three runs."""
    yield tmp_path / "o.coach"
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _no_work_twice():
    """One build of each cloud half, which devices of the same cut share."""
    build, built = rtx.build_rtx, {}

    def build_once(model, capability, *, precision, where, feed, max_batch):
        parts = (model, *(part for name in sorted(feed) for part in (name.encode(), feed[name].tobytes())))
        key = (*(hashlib.sha256(part).digest() for part in parts), capability, precision, max_batch)
        if key not in built:
            if len(built) == len(DEVICES):
                built.clear()
            built[key] = build(model, capability, precision=precision, where=where, feed=feed, max_batch=max_batch)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rtx, "build_rtx", build_once)
        yield


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory):
    """A network of the zoo as a file of an opset, made once for its devices."""
    import torch

    torch.set_num_threads(1)  # as in tests/models: pytest-xdist already uses every core
    name, opset = request.param
    folder = tmp_path_factory.mktemp("zoo")
    path = folder / f"{name}.onnx"
    if name.startswith("vgg") or name in DEEPEST:
        export_narrow(name, path, opset)
    else:
        zoo.export_model(name, path, opset=opset)
    yield path
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def light_model(request, tmp_path_factory):
    """A light model, with weights unless they are too many, made once for its devices."""
    if request.param in PLACEHOLDERS:
        yield light.shipped(request.param)
        return
    folder = tmp_path_factory.mktemp("light")
    yield light.with_weights(request.param, folder)
    shutil.rmtree(folder)


def export_narrow(name: str, path: Path, opset: int) -> None:
    """A VGG with `VGG_HIDDEN` channels in the hidden layers of its classifier, or a ResNet with fewer in all."""
    from torch import nn

    from coachc.models.onnx_writer import write_onnx

    net = zoo.build(name)
    if name in DEEPEST:
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                inputs = layer.weight.shape[1]
                keep(layer, layer.weight.shape[0] // 4, inputs if inputs == 3 else inputs // 4)
            elif isinstance(layer, nn.BatchNorm2d):
                keep(layer, layer.weight.shape[0] // 4)
                layer.running_mean, layer.running_var = (
                    part[: layer.weight.shape[0]].clone() for part in (layer.running_mean, layer.running_var)
                )
            elif isinstance(layer, nn.Linear):
                keep(layer, None, layer.weight.shape[1] // 4)
    else:
        layers = [layer for layer in net.classifier if isinstance(layer, nn.Linear)]
        sizes = ((VGG_HIDDEN, None), (VGG_HIDDEN, VGG_HIDDEN), (None, VGG_HIDDEN))
        for layer, size in zip(layers, sizes, strict=True):
            keep(layer, *size)
    write_onnx(net, zoo.INPUT_SHAPE, path, opset=opset)


def keep(layer, outputs: int | None, *inputs: int | None) -> None:
    """The first outputs and inputs of a layer only."""
    from torch import nn

    layer.weight = nn.Parameter(layer.weight[tuple(map(slice, (outputs, *inputs)))].clone())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias[:outputs].clone())


def operators_of_tensorrt_8_2() -> frozenset[str]:
    """Those of its documentation, less the quantizers: TX2 has no INT8 arithmetic."""
    path = REPOSITORY / "coachc" / "targets" / "generations" / "trt8.2.toml"
    entries = tomllib.loads(path.read_text())["operators"]
    return frozenset(name for entry in entries for name in entry["names"]) - {"QuantizeLinear", "DequantizeLinear"}


def compile_and_check(model: Path, device: str, bundle: Path) -> None:
    """Compile `model` into `bundle` and show that both sides take what they are to run, and that it is the model."""
    flags = ["--device", device, "--calib", "random", "--samples", 1, "--mode", "split", "--engine", "rtx", *PACKED]
    report = compile_json(model, bundle, *flags)
    assert [lowering for lowering in report["lowered"] if lowering.get("failure")] == []
    manifest = from_json_bytes((bundle / "manifest.json").read_bytes())
    cut = manifest.cut()
    assert {value.codec for value in cut.values} == {"packed"}

    on_device = {artefact for each in manifest.cuts for artefact in each.on_device}
    reports = check_bundle_targets(str(bundle), {})
    assert {report.where for report in reports} == {*on_device, *cut.on_cloud}
    assert [report.violations for report in reports if report.violations] == []
    for artefact in on_device:
        half = onnx.load(bundle / artefact)
        (opset,) = (entry.version for entry in half.opset_import)
        assert opset <= find_device(device, side="device").max_opset, artefact
        if device == "tx2":
            assert opset == 13, artefact
            assert {node.op_type for node in walk.nodes(half.graph)} <= operators_of_tensorrt_8_2(), artefact

    (engine,) = manifest.engines
    assert engine.compute_capability == "8.6"
    assert (bundle / engine.path).stat().st_size > 10_000

    # Both halves together are the model, within what `check` states.
    if device == "tx2" or model.stat().st_size < LARGE_BYTES:
        findings = coachc("check", bundle, "--samples", 1, "--json").json()["findings"]
        assert {"recomposed", "quantized"} <= {finding["what"] for finding in findings}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("exported", [(name, 13) for name in zoo.NETWORKS], ids=zoo.NETWORKS, indirect=True)
@pytest.mark.needs("torch")
def test_the_zoo(exported, device, bundle):
    """Seeded weights."""
    compile_and_check(exported, device, bundle)


@pytest.mark.parametrize(
    ("exported", "device"),
    [((name, opset), device) for name, opset, device in NEWER],
    indirect=["exported"],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else value,
)
@pytest.mark.needs("torch")
def test_newer_opsets_of_the_zoo(exported, device, bundle):
    compile_and_check(exported, device, bundle)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("light_model", light.NAMES, indirect=True)
def test_the_light_models(light_model, device, bundle):
    compile_and_check(light_model, device, bundle)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["digits", *(pytest.param(name, marks=needs_data) for name in WEIGHTS)])
def test_trained_networks(name, device, bundle):
    compile_and_check(DIGITS if name == "digits" else weights(name), device, bundle)
