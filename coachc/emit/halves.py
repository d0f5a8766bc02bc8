"""Turn a plan into the models of a bundle: cut, put the quantizer at the edge, check each half."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from calib.jpeg import QUALITY
from coachc.core.graph import GraphView
from coachc.core.plan import BitPlan
from coachc.cost.device import DeviceSpec
from coachc.frontend.check import check
from coachc.frontend.model import Model
from passes.cut import boundary_name, outputs_on_cloud, outputs_on_device, split
from passes.insert_qdq import Crossing, dequantize_inputs, quantize_outputs
from passes.quantizer_nodes import codes_name, feature_name, has_feature
from runtime.bundle.manifest_types import Cut, CutValue, Layout, Level

DEVICE_PATH, CLOUD_PATH, MODEL_PATH = "device.onnx", "cloud.onnx", "model.onnx"


@dataclass(frozen=True)
class Halves:
    """The artefacts of one cut and its entry in the manifest.

    Attributes
    ----------
    cut : runtime Cut
    models : dict of str to onnx.ModelProto
        By path in the bundle; `MODEL_PATH` is not among them.
    """

    cut: Cut
    models: dict[str, onnx.ModelProto]


def quantizer_form(spec: DeviceSpec) -> str:
    """How codes are computed on a target: QuantizeLinear for ONNX Runtime, arithmetic for TensorRT.

    TensorRT takes neither zero points nor unsigned codes in QuantizeLinear, and on TX2 no Q/DQ at all.
    """
    return "qdq" if spec.is_local else "arithmetic"


def split_halves(
    model: Model, graph: GraphView, mask: int, bits: BitPlan, device: DeviceSpec, cloud: DeviceSpec
) -> Halves:
    """Both halves of a split, each checked by onnx and loaded by ONNX Runtime.

    Parameters
    ----------
    model : Model
    graph : GraphView
    mask : int
        Operators on the device.
    bits : BitPlan
        Of the values of this cut, in topological order.
    device, cloud : DeviceSpec

    Raises
    ------
    coachc.errors.ModelError
        A half does not pass; this is a bug of ours or of the model, never silently written.
    """
    values = _cut_values(graph, bits)
    boundary = [_crossing(graph, value) for value in values]
    kept = outputs_on_device(graph, mask)
    head, tail = split(model, graph, mask)
    forms = quantizer_form(device), quantizer_form(cloud)
    head = quantize_outputs(head, boundary, model, keep=kept, form=forms[0], int32_codes=not device.has_uint8)
    tail = dequantize_inputs(tail, boundary, model, form=forms[1])
    for half in (head, tail):
        check(half)
    packed = [value for value in values if value.codec == "packed"]
    mode = "split" if mask else "cloud-raw"
    cut = Cut(
        name=mode,
        mode=mode,
        device=DEVICE_PATH,
        cloud=CLOUD_PATH,
        values=values,
        device_outputs=kept,
        cloud_outputs=outputs_on_cloud(graph, mask),
        device_parameters=forms[0] if packed else "",
        cloud_parameters=forms[1] if packed else "",
        features=tuple(feature_name(value.name) for value in packed if has_feature(value.shape)),
    )
    return Halves(cut, {DEVICE_PATH: head, CLOUD_PATH: tail})


def _cut_values(graph: GraphView, bits: BitPlan) -> tuple[CutValue, ...]:
    """The manifest's entries: each value at the precision chosen, at all that it can travel at, and its layout."""
    ladders = bits.ladder or ((),) * len(bits.quantizers)
    layouts = bits.layouts or (Layout(),) * len(bits.quantizers)
    values = []
    for quantizer, ladder, layout in zip(bits.quantizers, ladders, layouts, strict=True):
        packed = quantizer.codec == "packed"
        rungs = (ladder or (quantizer,)) if packed else ()
        assert not packed or quantizer in rungs, f"{quantizer} is not among its own precisions"
        value = graph.values[quantizer.name]
        values.append(
            CutValue(
                name=value.name,
                dtype=value.dtype,
                shape=value.shape,
                codec=quantizer.codec,
                bits=quantizer.bits,
                levels=tuple(Level(rung.bits, rung.scale, rung.zero_point) for rung in rungs),
                codes=codes_name(value.name) if packed else boundary_name(graph, value.name),
                layout=layout,
            )
        )
    return tuple(values)


def _crossing(graph: GraphView, value: CutValue) -> Crossing:
    return Crossing(
        value=value.name,
        name=boundary_name(graph, value.name),
        packed=value.codec == "packed",
        per_channel=any(len(level.scale) > 1 for level in value.levels),
    )


def device_only_cut(model: Model) -> Cut:
    """The whole model on the device: what runs when the link is down."""
    return Cut("device-only", "device-only", MODEL_PATH, None, (), model.outputs, ())


def jpeg_cut(model: Model) -> Cut:
    """The picture as JPEG to the cloud, which runs the whole model."""
    value = model.values[model.inputs[0]]
    quality = Level(8, (float(QUALITY),), (0,))
    sent = CutValue(value.name, value.dtype, value.shape, "jpeg", 8, (quality,), value.name)
    return Cut("cloud-jpeg", "cloud-jpeg", None, MODEL_PATH, (sent,), (), model.outputs)
