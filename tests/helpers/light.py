"""The nine `light_*` models of the onnx package: topologies of known networks, here with random weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.utils

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
    """A light model with weights, written into `folder`: all its operators at a quarter of the channels."""
    path = folder / f"{name}.onnx"
    onnx.save(light_with_weights(shipped(name), narrow=1 if name == "shufflenet" else 4), path)
    return path


def up_to_concat(path: Path, count: int) -> Path:
    """The network up to and with its `count`-th Concat, in the place of the whole."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    concats = [node for node in model.graph.node if node.op_type == "Concat"]
    cut = onnx.utils.Extractor(model).extract_model([model.graph.input[0].name], [concats[count - 1].output[0]])
    onnx.save(cut, path)
    return path
