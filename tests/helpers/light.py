"""The nine `light_*` models of the onnx package: topologies of known networks, here with random weights."""

from __future__ import annotations

from pathlib import Path

import onnx

from coachc.models.synthetic import light_with_weights

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)


def shipped(name: str) -> Path:
    return FOLDER / f"light_{name}.onnx"


def with_weights(name: str, folder: Path) -> Path:
    """A light model with weights, written into `folder`."""
    path = folder / f"{name}.onnx"
    onnx.save(light_with_weights(shipped(name)), path)
    return path
