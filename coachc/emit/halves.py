"""Turn a plan into the models of a bundle: cut, put the quantizer at the edge, check each half."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from calib.jpeg import QUALITY
from coachc.core.graph import GraphView
from coachc.core.plan import Quantizer
from coachc.cost.device import DeviceSpec
from coachc.frontend.check import check
from coachc.frontend.model import Model
from passes.cut import boundary_name, outputs_on_cloud, outputs_on_device, split
from passes.insert_qdq import codes_name, dequantize_inputs, quantize_outputs
from runtime.bundle.manifest_types import Cut, CutValue

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
    model: Model, graph: GraphView, mask: int, quantizers: tuple[Quantizer, ...], device: DeviceSpec, cloud: DeviceSpec
) -> Halves:
    """Both halves of a split, each checked by onnx and loaded by ONNX Runtime.

    Raises
    ------
    coachc.errors.ModelError
        A half does not pass; this is a bug of ours or of the model, never silently written.
    """
    boundary = [(quantizer, boundary_name(graph, quantizer.name)) for quantizer in quantizers]
    kept = outputs_on_device(graph, mask)
    head, tail = split(model, graph, mask)
    head = quantize_outputs(
        head, boundary, model, keep=kept, form=quantizer_form(device), int32_codes=not device.has_uint8
    )
    tail = dequantize_inputs(tail, boundary, model, form=quantizer_form(cloud))
    for half in (head, tail):
        check(half)
    values = tuple(
        CutValue(
            name=quantizer.name,
            dtype=graph.values[quantizer.name].dtype,
            shape=graph.values[quantizer.name].shape,
            codec=quantizer.codec,
            bits=quantizer.bits,
            scale=quantizer.scale,
            zero_point=quantizer.zero_point,
            codes=codes_name(quantizer.name) if quantizer.codec == "packed" else name,
        )
        for quantizer, name in boundary
    )
    mode = "split" if mask else "cloud-raw"
    cut = Cut(mode, mode, DEVICE_PATH, CLOUD_PATH, values, kept, outputs_on_cloud(graph, mask))
    return Halves(cut, {DEVICE_PATH: head, CLOUD_PATH: tail})


def device_only_cut(model: Model) -> Cut:
    """The whole model on the device: what runs when the link is down."""
    return Cut("device-only", "device-only", MODEL_PATH, None, (), model.outputs, ())


def jpeg_cut(model: Model) -> Cut:
    """The picture as JPEG to the cloud, which runs the whole model."""
    value = model.values[model.inputs[0]]
    sent = CutValue(value.name, value.dtype, value.shape, "jpeg", 8, float(QUALITY), 0, value.name)
    return Cut("cloud-jpeg", "cloud-jpeg", None, MODEL_PATH, (sent,), (), model.outputs)
