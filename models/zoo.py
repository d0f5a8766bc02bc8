"""Known architectures by name, each exported to an ONNX file that has been verified.

Importing this module needs no torch, so the command line can list the names without it.
"""

from __future__ import annotations

import difflib
import importlib
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coachc.errors import ToolchainError, UsageError
from coachc.models.onnx_writer import check_opset, check_output, replacing, write_onnx

if TYPE_CHECKING:
    import torch

INPUT_SHAPE = (3, 224, 224)
IMAGENET_CLASSES = 1000
DEFAULT_OPSET = 13

# Trained by `models.digits` and kept in the repository.
DIGITS = "digits"
DIGITS_FILE = Path(__file__).with_name("digits.onnx")


@dataclass(frozen=True, slots=True)
class Network:
    """Where a constructor lives, and how its published weights deviate from its keys.

    Attributes
    ----------
    module : str
        Module that defines a function of the network's name; imported on use because it needs torch.
    ignored : tuple of str
        Prefixes of published keys that are skipped by name.
    old_keys : bool
        Whether the module has `current_key`, which translates the keys of older files.
    """

    module: str
    ignored: tuple[str, ...] = ()
    old_keys: bool = False


NETWORKS: dict[str, Network] = {
    "resnet18": Network("coachc.models.resnet"),
    "resnet34": Network("coachc.models.resnet"),
    "resnet50": Network("coachc.models.resnet"),
    "resnet101": Network("coachc.models.resnet"),
    "resnet152": Network("coachc.models.resnet"),
    "vgg16": Network("coachc.models.vgg"),
    "vgg19": Network("coachc.models.vgg"),
    "googlenet": Network("coachc.models.googlenet", ignored=("aux1.", "aux2.")),
    "mobilenet_v2": Network("coachc.models.mobilenet_v2"),
    "densenet121": Network("coachc.models.densenet", old_keys=True),
    "squeezenet1_1": Network("coachc.models.squeezenet"),
}

NAMES = (*NETWORKS, DIGITS)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path : Path
    opset : int
    size_bytes : int
        Of the file.
    parameters : int
        Trainable numbers of the network before the exporter folded batch normalisation; for `digits`, of the file.
    weights : str
        Where they came from, in words.
    trained : bool
        False if the weights are random.
    compared : bool
        Whether the file's outputs were compared with torch's in ONNX Runtime.
    """

    path: Path
    opset: int
    size_bytes: int
    parameters: int
    weights: str
    trained: bool
    compared: bool


def check_name(name: str) -> None:
    """Refuse a name that is not in the table.

    Raises
    ------
    UsageError
        Suggests the nearest name and lists all.
    """
    if name in NAMES:
        return
    near = difflib.get_close_matches(name.lower(), NAMES, n=1)
    raise UsageError(
        f"no model is called {name!r}",
        context=[f"known: {', '.join(NAMES)}"],
        hint=f"did you mean {near[0]}?" if near else "pick one of these, or give coachc your own ONNX file",
    )


def build(name: str, *, weights: Path | None = None, classes: int | None = None) -> torch.nn.Module:
    """A network in evaluation mode, with weights from a file or seeded ones.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    weights : Path, optional
        See `models.weights.read_state_dict`. None seeds them.
    classes : int, optional
        Outputs of the last layer, ImageNet's if not given: fine-tuned weights have others.

    Raises
    ------
    UsageError
        If the name is unknown or the weights are missing.
    ModelError
        If the weights do not fit.
    ToolchainError
        If torch is not installed.
    """
    check_name(name)
    network = NETWORKS[name]
    try:
        module = importlib.import_module(network.module)
    except ModuleNotFoundError as exc:
        if exc.name != "torch":
            raise
        raise ToolchainError(f"exporting {name} needs torch", hint="pip install 'coachc[export]'") from exc
    from coachc.models.weights import load_weights, seed_weights

    net: torch.nn.Module = getattr(module, name)(classes or IMAGENET_CLASSES)
    if weights is None:
        seed_weights(net, INPUT_SHAPE)
    else:
        rename = module.current_key if network.old_keys else None
        load_weights(net, weights, rename=rename, ignored=network.ignored)
    return net.eval()


def export_model(
    name: str,
    output_path: Path,
    *,
    weights: Path | None = None,
    opset: int = DEFAULT_OPSET,
    classes: int | None = None,
) -> Exported:
    """Write a known network as ONNX: input `input` [N, 3, 224, 224], output `logits` [N, classes].

    Parameters
    ----------
    name : str
        One of `NAMES`. `digits` copies the trained file of this package: [N, 1, 64, 64] -> [N, 10].
    output_path : Path
        Written whole or not at all.
    weights : Path, optional
        `.pth`, `.pt` or `.safetensors` with torchvision's keys. None seeds random weights.
    opset : int
        See `models.onnx_writer`.
    classes : int, optional
        See `build`.

    Raises
    ------
    UsageError, ModelError, ToolchainError
        See `build` and `models.onnx_writer.write_onnx`.
    """
    check_name(name)
    check_opset(opset)
    check_output(output_path)
    if name == DIGITS:
        return _copy_digits(output_path, weights, opset, classes)
    net = build(name, weights=weights, classes=classes)
    compared = write_onnx(net, INPUT_SHAPE, output_path, opset=opset)
    return Exported(
        path=output_path,
        opset=opset,
        size_bytes=output_path.stat().st_size,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        weights=str(weights) if weights else "random, seed 0",
        trained=weights is not None,
        compared=compared,
    )


def _copy_digits(output_path: Path, weights: Path | None, opset: int, classes: int | None) -> Exported:
    import onnx

    if weights is not None:
        raise UsageError("digits comes with its weights: --weights does not apply to it", hint="leave out --weights")
    if classes is not None:
        raise UsageError("digits comes with its 10 classes: --classes does not apply to it", hint="leave out --classes")
    model = onnx.load(DIGITS_FILE)
    committed = model.opset_import[0].version
    if opset != committed:
        raise UsageError(
            f"digits comes as a file of opset {committed}, not {opset}",
            hint=f"leave out --opset, or train it again: python -m coachc.models.digits train --opset {opset} -o FILE",
        )
    with replacing(output_path) as temporary:
        shutil.copyfile(DIGITS_FILE, temporary)
    return Exported(
        path=output_path,
        opset=committed,
        size_bytes=output_path.stat().st_size,
        parameters=sum(math.prod(initializer.dims) for initializer in model.graph.initializer),
        weights="trained on scikit-learn's digits",
        trained=True,
        compared=True,
    )
