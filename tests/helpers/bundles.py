"""Models, samples and pictures on disk, and bundles damaged on purpose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from models.synthetic import SHAPE


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def samples_for(model: onnx.ModelProto, path: Path, count: int = 24, *, seed: int = 3, labels: bool = True) -> Path:
    """A .npz for a synthetic model: one array per input, and labels of its five classes."""
    rng = np.random.default_rng(seed)
    shape = (count, *SHAPE[1:])
    arrays = {item.name: rng.standard_normal(shape).astype(np.float32) for item in model.graph.input}
    if labels:
        arrays["labels"] = rng.integers(0, 5, count)
    np.savez(path, **arrays)
    return path


def rewrite_manifest(bundle: Path, change: Callable[[dict[str, Any]], None], *, checksum: bool = True) -> None:
    """Change `manifest.json`, and `manifest.sha256` with it unless told otherwise."""
    raw = json.loads((bundle / "manifest.json").read_bytes())
    change(raw)
    data = json.dumps(raw, sort_keys=True, indent=1).encode() + b"\n"
    (bundle / "manifest.json").write_bytes(data)
    if checksum:
        (bundle / "manifest.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  manifest.json\n")


def replace_artefact(bundle: Path, name: str, data: bytes) -> None:
    """Replace an artefact and every hash that covers it, as somebody would who wants it not to be noticed."""
    (bundle / name).write_bytes(data)

    def change(raw: dict[str, Any]) -> None:
        entry = next(artefact for artefact in raw["artefacts"] if artefact["path"] == name)
        entry.update(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))

    rewrite_manifest(bundle, change)


def change_initializer(bundle: Path, artefact: str, suffix: str, change: Callable[[np.ndarray], np.ndarray]) -> str:
    """Change the first initializer of an artefact whose name ends with `suffix`; its name."""
    model = onnx.load(bundle / artefact)
    tensor = next(item for item in model.graph.initializer if item.name.endswith(suffix))
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(array).astype(array.dtype), tensor.name))
    replace_artefact(bundle, artefact, model.SerializeToString())
    return tensor.name


def flip_byte(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 0x40
    path.write_bytes(bytes(data))
