"""Fused graphs of published networks, made once per test process."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import onnx

from coachc.core.graph import GraphView
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@functools.cache
def exported(name: str) -> GraphView:
    """A network of `models.zoo` with random weights, exported by torch and imported again."""
    from coachc.models import zoo
    from coachc.models.onnx_writer import _export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        _export(zoo.build(name), zoo.INPUT_SHAPE, path, zoo.DEFAULT_OPSET)
        return fuse(import_model(path))


@functools.cache
def light(name: str) -> GraphView:
    """A network of the onnx package, as Caffe2 defined it."""
    return fuse(import_model(LIGHT / f"light_{name}.onnx"))
