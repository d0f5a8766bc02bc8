"""Models, samples and pictures on disk, and bundles damaged on purpose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from coachc.core.graph import GraphView
from coachc.core.plan import BitPlan, Quantizer, Timeline, Way
from coachc.core.profile import Profile, Provenance
from coachc.cost.device import DeviceSpec
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.emit import bundle_writer
from coachc.emit.cuts import emit_cuts
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import SHAPE
from coachc.passes.ideals import all_ideals
from coachc.runtime.bundle.classes import classes_of


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


def a_bit_plan(
    graph: GraphView, mask: int, *, bits: int = 4, ladder: bool = True, per_channel: bool = False, layouts=()
) -> BitPlan:
    """Every value of a cut at some bits; with a ladder at 2 to 8, where the odd ones may be per channel."""
    chosen, ladders = [], []
    for index, name in enumerate(graph.cut_values(mask)):
        value = graph.values[name]
        if not value.quantizable:
            chosen.append(Quantizer(name, "raw", 8 * value.size_bytes // value.elements))
            ladders.append(())
            continue

        def quantizer(depth: int, name=name, value=value, index=index) -> Quantizer:
            count = value.shape[1] if per_channel and depth % 2 else 1
            scale = tuple(float(np.float32((3 + 0.1 * (c + index)) / 2**depth)) for c in range(count))
            return Quantizer(
                name, "packed", depth, scale, tuple((2 ** (depth - 1) + c) % 2**depth for c in range(count))
            )

        chosen.append(quantizer(bits))
        ladders.append(tuple(quantizer(depth) for depth in range(2, 9)))
    return BitPlan(tuple(chosen), ladder=tuple(ladders) if ladder else (), layouts=layouts)


def widest(graph: GraphView) -> int:
    """The mask with the most boundary values."""
    masks = [mask for mask in all_ideals(graph)[0] if mask != graph.full_mask]
    return max(masks, key=lambda mask: (len(graph.cut_values(mask)), mask))


def write_split(
    proto: onnx.ModelProto, path: Path, *, device="tx2", cloud="a6000", mask: int | None = None, **precision: Any
) -> Path:
    """A bundle of one cut, without calibration or search; `precision` is for `a_bit_plan`."""
    model = import_model(save(proto, path.with_suffix(".onnx")))
    graph = fuse(model)
    mask = widest(graph) if mask is None else mask
    bits = a_bit_plan(graph, mask, **precision)
    sides = {"device": find_device(device, side="device"), "cloud": find_device(cloud, side="cloud")}
    write_ways(path, model, [a_way(graph, mask, bits)], sides)
    return path


def write_ways(path: Path, model: Model, ways: Sequence[Way], sides: Mapping[str, DeviceSpec]) -> None:
    """A bundle of some cuts; the first is the chosen one."""
    shapes = [model.values[ends[0]].shape for ends in (model.inputs, model.outputs)]
    bundle_writer.write(
        path,
        model,
        emit_cuts(model, fuse(model), ways, sides["device"], sides["cloud"]),
        sides={
            side: (spec, Profile(spec.name, "fp32", (), 1.0, 0.0, 4, Provenance("guess", "")))
            for side, spec in sides.items()
        },
        link=Link(1e6),
        calibrated=False,
        preprocess=None,
        task="classify" if classes_of(shapes[1], shapes[0]) else "outputs",
        summary={},
        force=False,
    )


def a_way(graph: GraphView, mask: int, bits: BitPlan | None = None, **named: str) -> Way:
    """A cut, at 4 bits unless told otherwise, for emitting: what it takes is all zero."""
    mode = "split" if mask else "cloud-raw"
    nothing = Timeline(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    return Way(**{"mode": mode, **named}, mask=mask, bits=bits or a_bit_plan(graph, mask), timeline=nothing)
