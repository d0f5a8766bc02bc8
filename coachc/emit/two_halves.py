"""Turn a plan into the models of a bundle: cut, put the quantizer at the edge, lower and check each half."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from coachc.calib.jpeg import QUALITY
from coachc.core.graph import GraphView
from coachc.core.plan import BitPlan, Way
from coachc.cost.device import DeviceSpec
from coachc.emit.lowering import Lowering, lower_for
from coachc.frontend.check_model import check
from coachc.frontend.model import Model
from coachc.frontend.pass_driver import Observer
from coachc.passes.cut import boundary_name, outputs_on_cloud, outputs_on_device, split
from coachc.passes.insert_qdq import Crossing, dequantize_inputs, quantize_outputs
from coachc.passes.quantizer_nodes import codes_name, feature_name, has_feature
from coachc.passes.segments import edge
from coachc.runtime.bundle.manifest_types import Cut, CutValue, Layout, Level
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed

DEVICE_PATH, CLOUD_PATH, MODEL_PATH = "device.onnx", "cloud.onnx", "model.onnx"
#: The device's quantizer, where it is a model of its own.
DEVICE_EDGE_PATH = "device.edge.onnx"


@dataclass(frozen=True)
class Emitted:
    """The cuts of a bundle, device-only among them, and their artefacts.

    Attributes
    ----------
    cuts : tuple of runtime Cut
    models : dict of str to onnx.ModelProto
        By path in the bundle; `MODEL_PATH` is not among them.
    roles : dict of str to str
        Of `models`.
    lowerings : tuple of Lowering
        What was rewritten for the targets.
    """

    cuts: tuple[Cut, ...]
    models: dict[str, onnx.ModelProto]
    roles: dict[str, str]
    lowerings: tuple[Lowering, ...] = ()


@dataclass(frozen=True)
class Halves:
    """The artefacts of one cut and its entry in the manifest.

    Attributes
    ----------
    cut : runtime Cut
    models : dict of str to onnx.ModelProto
        By path in the bundle; `MODEL_PATH` is not among them.
    lowerings : tuple of Lowering
        What was rewritten for the targets.
    """

    cut: Cut
    models: dict[str, onnx.ModelProto]
    lowerings: tuple[Lowering, ...] = ()


def quantizer_form(spec: DeviceSpec) -> str:
    """How codes are computed on a target: QuantizeLinear for ONNX Runtime, arithmetic for TensorRT.

    TensorRT takes neither zero points nor unsigned codes in QuantizeLinear, and on TX2 no Q/DQ at all.
    """
    return "qdq" if spec.is_local else "arithmetic"


def split_halves(
    model: Model,
    graph: GraphView,
    way: Way,
    device: DeviceSpec,
    cloud: DeviceSpec,
    *,
    observers: Sequence[Observer] = (),
) -> Halves:
    """Both halves of a split, each lowered for its target, checked by onnx and loaded by ONNX Runtime.

    The device's quantizers are a model of their own, so that a task can be quantized again when its feature has said at
    which precision, and in float32 whatever the precision of the engine. Where an input of the model is quantized they
    are part of the half.

    Parameters
    ----------
    model : Model
    graph : GraphView
    way : Way
        A split, or the cut at the inputs.
    device, cloud : DeviceSpec
    observers : sequence of callable
        Of the passes that lower.

    Raises
    ------
    coachc.errors.ModelError
        A half does not pass; this is a bug of ours or of the model, never silently written.
    """
    values = cut_values(graph, way.bits)
    boundary = [crossing_of(graph, value) for value in values]
    kept = outputs_on_device(graph, way.mask)
    head, tail = split(model, graph, way.mask)
    forms = quantizer_form(device), quantizer_form(cloud)
    tail = dequantize_inputs(tail, boundary, model, form=forms[1])
    cut = cut_entry(graph, way, values, device, cloud)
    packed = [crossing for crossing in boundary if crossing.packed]
    if packed and all(crossing.value not in graph.inputs for crossing in packed):
        border = edge(model, graph, [(crossing.value, crossing.value) for crossing in packed])
        border = quantize_outputs(border, packed, model, form=forms[0], int32_codes=not device.has_uint8)
        cut = cut._replace(before=(DEVICE_PATH,), device=DEVICE_EDGE_PATH, cloud=CLOUD_PATH)
        models = {DEVICE_PATH: head, DEVICE_EDGE_PATH: border, CLOUD_PATH: tail}
    else:
        head = quantize_outputs(head, boundary, model, keep=kept, form=forms[0], int32_codes=not device.has_uint8)
        cut = cut._replace(device=DEVICE_PATH, cloud=CLOUD_PATH)
        models = {DEVICE_PATH: head, CLOUD_PATH: tail}
    feeds = {path: quantizer_feed(cut, "cloud" if path == CLOUD_PATH else "device") for path in models}
    targets = {path: [cloud if path == CLOUD_PATH else device] for path in models}
    codes = [value.codes for value in values]
    return Halves(cut, *lowered(models, targets, feeds, codes=codes, observers=observers))


def lowered(
    models: Mapping[str, onnx.ModelProto],
    targets: Mapping[str, Collection[DeviceSpec]],
    feeds: Mapping[str, Mapping[str, np.ndarray]],
    *,
    codes: Collection[str],
    observers: Sequence[Observer] = (),
) -> tuple[dict[str, onnx.ModelProto], tuple[Lowering, ...]]:
    """Every artefact as its targets take it, checked, and what was done.

    Parameters
    ----------
    models : mapping of str to onnx.ModelProto
        By path.
    targets, feeds : mapping
        By path: who runs it, and the inputs of its quantizers.
    codes : collection of str
        Names of the codes of boundary values.
    observers : sequence of callable
        Of the passes that lower.

    Raises
    ------
    coachc.errors.ModelError
        An artefact does not pass onnx's checker or ONNX Runtime.
    """
    made, lowerings = {}, []
    for path, model in models.items():
        feed = feeds.get(path, {})
        made[path], lowering = lower_for(path, model, targets[path], feed=feed, codes=codes, observers=observers)
        if made[path] is model:
            check(model)
        if lowering is not None:
            lowerings.append(lowering)
    return made, tuple(lowerings)


def cut_entry(graph: GraphView, way: Way, values: tuple[CutValue, ...], device: DeviceSpec, cloud: DeviceSpec) -> Cut:
    """The manifest's entry of a cut; the paths of its artefacts are the caller's to fill in."""
    packed = [value for value in values if value.packed]
    return Cut(
        name=way.name,
        mode=way.mode,
        device="",
        cloud="",
        values=values,
        device_outputs=outputs_on_device(graph, way.mask),
        cloud_outputs=outputs_on_cloud(graph, way.mask),
        device_parameters=quantizer_form(device) if packed else "",
        cloud_parameters=quantizer_form(cloud) if packed else "",
        features=tuple(feature_name(value.name) for value in packed if has_feature(value.shape)),
    )


def cut_values(graph: GraphView, bits: BitPlan) -> tuple[CutValue, ...]:
    """The manifest's entries: each value at the precision chosen, at all that it can travel at, and its layout."""
    ladders = bits.ladder or ((),) * len(bits.quantizers)
    layouts = bits.layouts or (Layout(),) * len(bits.quantizers)
    values = []
    for quantizer, ladder, layout in zip(bits.quantizers, ladders, layouts, strict=True):
        rungs = (ladder or (quantizer,)) if quantizer.packed else ()
        assert not quantizer.packed or quantizer in rungs, f"{quantizer} is not among its own precisions"
        value = graph.values[quantizer.name]
        values.append(
            CutValue(
                name=value.name,
                dtype=value.dtype,
                shape=value.shape,
                codec=quantizer.codec,
                bits=quantizer.bits,
                levels=tuple(Level(rung.bits, rung.scale, rung.zero_point) for rung in rungs),
                codes=codes_name(value.name) if quantizer.packed else boundary_name(graph, value.name),
                layout=layout,
            )
        )
    return tuple(values)


def crossing_of(graph: GraphView, value: CutValue) -> Crossing:
    """How a value of the manifest crosses, for `passes.insert_qdq`."""
    return Crossing(
        value=value.name,
        name=boundary_name(graph, value.name),
        packed=value.packed,
        per_channel=any(len(level.scale) > 1 for level in value.levels),
    )


def device_only_cut(model: Model, path: str = MODEL_PATH) -> Cut:
    """The whole model on the device: what runs when the link is down."""
    return Cut("device-only", "device-only", path, None, (), model.outputs, ())


def jpeg_cut(model: Model, path: str = MODEL_PATH) -> Cut:
    """The picture as JPEG to the cloud, which runs the whole model."""
    value = model.values[model.inputs[0]]
    sent = CutValue(value.name, value.dtype, value.shape, "jpeg", 8, (), value.name, quality=QUALITY)
    return Cut("cloud-jpeg", "cloud-jpeg", None, path, (sent,), (), model.outputs)
