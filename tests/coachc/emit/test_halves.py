"""Both halves of a plan: the form of the quantizer on each target, the types of the codes, and the manifest's entry."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from coachc.core.plan import Quantizer
from coachc.cost.device import find_device
from coachc.emit.halves import device_only_cut, jpeg_cut, quantizer_form, split_halves
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from models.synthetic import chain, inception, two_outputs
from passes.ideals import all_ideals
from runtime.bundle import numeric
from tests.helpers.bundles import save


@pytest.fixture
def model(tmp_path):
    return import_model(save(inception(), tmp_path / "net.onnx"))


def halves_of(model, device="tx2", cloud="a6000", *, bits=4, mask=None):
    graph = fuse(model)
    if mask is None:
        masks = [m for m in all_ideals(graph)[0] if m != graph.full_mask]
        mask = max(masks, key=lambda m: (len(graph.cut_values(m)), m))
    quantizers = tuple(
        Quantizer(name, "packed", bits, 0.1 + 0.01 * i, 2) for i, name in enumerate(graph.cut_values(mask))
    )
    targets = find_device(device, side="device"), find_device(cloud, side="cloud")
    return split_halves(model, graph, mask, quantizers, *targets), quantizers


def operators(half: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in half.graph.node}


def test_tensorrt_gets_arithmetic_and_onnx_runtime_gets_quantizelinear(model):
    assert quantizer_form(find_device("tx2", side="device")) == "arithmetic"
    assert quantizer_form(find_device("local", side="device")) == "qdq"
    made, _ = halves_of(model)
    assert not {"QuantizeLinear", "DequantizeLinear"} & (
        operators(made.models["device.onnx"]) | operators(made.models["cloud.onnx"])
    )
    made, _ = halves_of(model, "local", "local")
    assert "QuantizeLinear" in operators(made.models["device.onnx"])
    assert "DequantizeLinear" in operators(made.models["cloud.onnx"])


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("tx2", TensorProto.INT32), ("xavier-nx", TensorProto.UINT8), ("local", TensorProto.UINT8)],
)
def test_codes_leave_in_a_type_the_target_has(device, dtype, model):
    made, quantizers = halves_of(model, device)
    outputs = made.models["device.onnx"].graph.output
    assert len(outputs) == len(quantizers) > 1
    assert {item.type.tensor_type.elem_type for item in outputs} == {dtype}
    assert {i.type.tensor_type.elem_type for i in made.models["cloud.onnx"].graph.input} == {TensorProto.UINT8}


@pytest.mark.parametrize("device", ["tx2", "local"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_are_those_of_the_runtime(device, bits, model):
    made, quantizers = halves_of(model, device, bits=bits)
    feed = ort.seeded_inputs(model.proto, 3)
    codes = ort.run(made.models["device.onnx"], feed)
    whole = onnx.ModelProto()
    whole.CopyFrom(model.proto)
    for quantizer in quantizers:
        whole.graph.output.append(onnx.ValueInfoProto(name=quantizer.name))
    values = ort.run(whole, feed)
    for value, quantizer in zip(made.cut.values, quantizers, strict=True):
        expected = numeric.quantize(values[quantizer.name], quantizer.scale, quantizer.zero_point, bits)
        np.testing.assert_array_equal(codes[value.codes].astype(np.uint8), expected)


def test_opset_and_ir_are_those_of_the_model(model):
    made, _ = halves_of(model)
    for half in made.models.values():
        assert [(entry.domain, entry.version) for entry in half.opset_import] == [("", 13)]
        assert half.ir_version == model.proto.ir_version


def test_the_entry_in_the_manifest(model):
    made, quantizers = halves_of(model, bits=5)
    assert (made.cut.name, made.cut.mode, made.cut.device, made.cut.cloud) == (
        "split", "split", "device.onnx", "cloud.onnx",
    )  # fmt: skip
    for value, quantizer in zip(made.cut.values, quantizers, strict=True):
        assert (value.name, value.bits, value.scale, value.zero_point) == (
            quantizer.name, 5, quantizer.scale, 2,
        )  # fmt: skip
        assert value.shape == model.values[value.name].shape
    assert (made.cut.device_outputs, made.cut.cloud_outputs) == ((), ("logits",))


def test_the_cut_at_the_inputs_is_cloud_raw(tmp_path):
    model = import_model(save(chain(), tmp_path / "net.onnx"))
    made, _ = halves_of(model, bits=8, mask=0)
    assert (made.cut.name, made.cut.mode, [v.name for v in made.cut.values]) == ("cloud-raw", "cloud-raw", ["input"])


def test_an_output_made_on_the_device_leaves_it_in_float(tmp_path):
    model = import_model(save(two_outputs(), tmp_path / "net.onnx"))
    graph = fuse(model)
    early = graph.producer["early"]
    mask = next(m for m in all_ideals(graph)[0] if m >> early & 1 and m != graph.full_mask)
    made, _ = halves_of(model, mask=mask)
    types = {o.name: o.type.tensor_type.elem_type for o in made.models["device.onnx"].graph.output}
    assert types["early"] == TensorProto.FLOAT
    assert (made.cut.device_outputs, made.cut.cloud_outputs) == (("early",), ("logits",))


def test_cuts_without_halves(model):
    alone = device_only_cut(model)
    assert (alone.device, alone.cloud, alone.values, alone.device_outputs) == ("model.onnx", None, (), ("logits",))
    jpeg = jpeg_cut(model)
    assert (jpeg.device, jpeg.cloud, jpeg.cloud_outputs) == (None, "model.onnx", ("logits",))
    assert (jpeg.values[0].codec, jpeg.values[0].scale, jpeg.values[0].name) == ("jpeg", 90.0, "input")


def test_raw_values_travel_as_they_are(model):
    graph = fuse(model)
    mask = next(m for m in all_ideals(graph)[0] if m and len(graph.cut_values(m)) == 1)
    (name,) = graph.cut_values(mask)
    targets = find_device("tx2", side="device"), find_device("a6000", side="cloud")
    made = split_halves(model, graph, mask, (Quantizer(name, "raw", 32),), *targets)
    (value,) = made.cut.values
    assert (value.codec, value.bits, value.codes) == ("raw", 32, name)
    feed = ort.seeded_inputs(model.proto, 0)
    sent = ort.run(made.models["device.onnx"], feed)
    np.testing.assert_array_equal(
        ort.run(made.models["cloud.onnx"], sent)["logits"], ort.run(model.proto, feed)["logits"]
    )
    assert dataclasses.is_dataclass(made)
