"""Both halves of a plan: the form of the quantizer on each target, the types of the codes, and the manifest's entry."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from coachc.core.plan import BitPlan, Quantizer
from coachc.cost.device_files import find_device
from coachc.emit.two_halves import (
    DEVICE_EDGE_PATH,
    DEVICE_PATH,
    device_only_cut,
    jpeg_cut,
    quantizer_form,
    split_halves,
)
from coachc.frontend import ort
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import chain, inception, two_outputs
from coachc.passes.ideals import all_ideals
from coachc.runtime.bundle import numeric
from coachc.runtime.bundle.manifest_types import Layout, Level
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from tests.helpers.bundles import a_bit_plan, a_way, save, widest
from tests.helpers.halves import parameters_of, same_bits
from tests.helpers.onnx_models import info


@pytest.fixture
def model(tmp_path):
    return import_model(save(inception(), tmp_path / "net.onnx"))


def halves_of(model, device="tx2", cloud="a6000", *, mask=None, **precision):
    """Halves at the cut of most values, or at a mask, and their plan; `precision` is for `a_bit_plan`."""
    graph = fuse(model)
    mask = widest(graph) if mask is None else mask
    bits = a_bit_plan(graph, mask, **precision)
    targets = find_device(device, side="device"), find_device(cloud, side="cloud")
    return split_halves(model, graph, a_way(graph, mask, bits), *targets), bits


def on_device(made, feed):
    """What both artefacts of the device make, one fed by the other."""
    known = dict(feed)
    for path in made.cut.on_device:
        half = made.models[path]
        known |= ort.run(half, {item.name: known[item.name] for item in half.graph.input})
    return known


def operators(half: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in half.graph.node}


def test_tensorrt_gets_arithmetic_and_onnx_runtime_gets_quantizelinear(model):
    assert quantizer_form(find_device("tx2", side="device")) == "arithmetic"
    assert quantizer_form(find_device("local", side="device")) == "qdq"
    made, _ = halves_of(model)
    assert not {"QuantizeLinear", "DequantizeLinear"} & (
        operators(made.models[DEVICE_EDGE_PATH]) | operators(made.models["cloud.onnx"])
    )
    made, _ = halves_of(model, "local", "local")
    assert "QuantizeLinear" in operators(made.models[DEVICE_EDGE_PATH])
    assert "DequantizeLinear" in operators(made.models["cloud.onnx"])


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("tx2", TensorProto.INT32), ("xavier-nx", TensorProto.UINT8), ("local", TensorProto.UINT8)],
)
def test_codes_leave_in_a_type_the_target_has(device, dtype, model):
    made, bits = halves_of(model, device)
    codes = {value.codes for value in made.cut.values}
    outputs = {o.name: o.type.tensor_type.elem_type for o in made.models[DEVICE_EDGE_PATH].graph.output}
    assert len(codes) == len(bits.quantizers) > 1
    assert {outputs[name] for name in codes} == {dtype}
    inputs = {i.name: i.type.tensor_type.elem_type for i in made.models["cloud.onnx"].graph.input}
    assert {inputs[name] for name in codes} == {TensorProto.UINT8}


@pytest.mark.parametrize("device", ["tx2", "local"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_codes_are_those_of_the_runtime_at_every_precision(device, per_channel, model):
    made, plan = halves_of(model, device, per_channel=per_channel)
    feed = ort.seeded_inputs(model.proto, 3)
    whole = onnx.ModelProto()
    whole.CopyFrom(model.proto)
    for quantizer in plan.quantizers:
        whole.graph.output.append(onnx.ValueInfoProto(name=quantizer.name))
    values = ort.run(whole, feed)
    for rung in range(7):
        codes = on_device(made, {**feed, **quantizer_feed(made.cut, "device", rung + 2)})
        for value, ladder in zip(made.cut.values, plan.ladder, strict=True):
            quantizer = ladder[rung]
            expected = numeric.quantize(values[value.name], quantizer.scale, quantizer.zero_point, rung + 2)
            np.testing.assert_array_equal(codes[value.codes].astype(np.uint8), expected)


@pytest.mark.parametrize(("device", "form"), [("tx2", "arithmetic"), ("local", "qdq")])
def test_the_runtime_feeds_what_the_halves_take(device, form, model):
    """Names, types and shapes of the inputs as the halves have them, as the runtime makes them, and as spelt out."""
    for per_channel in (False, True):
        made, plan = halves_of(model, device, device.replace("tx2", "a6000"), bits=5, per_channel=per_channel)
        ranks = {value.name: len(value.shape) for value in made.cut.values}
        for side, path in (("device", DEVICE_EDGE_PATH), ("cloud", "cloud.onnx")):
            fed = quantizer_feed(made.cut, side)
            expected = parameters_of(plan.quantizers, ranks, form, side)
            assert fed.keys() == expected.keys()
            assert all(same_bits(fed[name], array) for name, array in expected.items())
            others = {name for value in made.cut.values for name in (value.name, value.codes)}
            taken = {item.name: item for item in made.models[path].graph.input if item.name not in others}
            assert taken.keys() == fed.keys()
            for name, item in taken.items():
                assert item == info(name, fed[name].shape, fed[name].dtype), name


def test_opset_and_ir_are_those_of_the_model(model):
    made, _ = halves_of(model)
    for half in made.models.values():
        assert [(entry.domain, entry.version) for entry in half.opset_import] == [("", 13)]
        assert half.ir_version == model.proto.ir_version


def test_the_entry_in_the_manifest(model):
    graph = fuse(model)
    layouts = tuple(Layout("dense", (), "huffman", 1 + i) for i in range(len(graph.cut_values(widest(graph)))))
    made, plan = halves_of(model, bits=5, per_channel=True, layouts=layouts)
    cut = made.cut
    assert (cut.name, cut.mode, cut.cloud) == ("split", "split", "cloud.onnx")
    assert (cut.on_device, cut.quantizers) == ((DEVICE_PATH, DEVICE_EDGE_PATH), (DEVICE_EDGE_PATH,))
    assert (cut.device_parameters, cut.cloud_parameters) == ("arithmetic", "arithmetic")
    assert cut.features == tuple(f"{value.name}/feature" for value in cut.values)
    assert tuple(value.layout for value in cut.values) == layouts
    for value, quantizer, ladder in zip(cut.values, plan.quantizers, plan.ladder, strict=True):
        assert (value.name, value.bits, value.shape) == (quantizer.name, 5, model.values[value.name].shape)
        assert value.levels == tuple(Level(q.bits, q.scale, q.zero_point) for q in ladder)
        assert value.level() == Level(5, quantizer.scale, quantizer.zero_point)
    assert (cut.device_outputs, cut.cloud_outputs) == ((), ("logits",))


def test_without_a_ladder_there_is_one_level(model):
    made, plan = halves_of(model, "local", ladder=False)
    for value, quantizer in zip(made.cut.values, plan.quantizers, strict=True):
        assert value.levels == (Level(4, quantizer.scale, quantizer.zero_point),)
        assert value.layout == Layout()
    assert (made.cut.device_parameters, made.cut.cloud_parameters) == ("qdq", "arithmetic")


def test_features_stay_on_the_device(model):
    """One vector per value and row, of what is quantized, and no output of the model."""
    made, _ = halves_of(model, "local", bits=2)
    feed = {**ort.seeded_inputs(model.proto, 3), **quantizer_feed(made.cut, "device")}
    outputs = on_device(made, feed)
    whole = onnx.ModelProto()
    whole.CopyFrom(model.proto)
    for value in made.cut.values:
        whole.graph.output.append(onnx.ValueInfoProto(name=value.name))
    values = ort.run(whole, ort.seeded_inputs(model.proto, 3))
    for value, feature in zip(made.cut.values, made.cut.features, strict=True):
        np.testing.assert_allclose(outputs[feature], values[value.name].mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    assert not set(made.cut.features) & {*made.cut.device_outputs, *made.cut.cloud_outputs, *model.outputs}


def test_the_cut_at_the_inputs_is_cloud_raw(tmp_path):
    model = import_model(save(chain(), tmp_path / "net.onnx"))
    made, _ = halves_of(model, bits=8, mask=0)
    assert (made.cut.name, made.cut.mode, [v.name for v in made.cut.values]) == ("cloud-raw", "cloud-raw", ["input"])
    assert (made.cut.on_device, made.cut.quantizers) == ((DEVICE_PATH,), (DEVICE_PATH,))


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
    (value,) = jpeg.values
    assert (value.codec, value.quality, value.levels, value.name) == ("jpeg", 90, (), "input")
    assert not any(cut.device_parameters or cut.cloud_parameters or cut.features for cut in (alone, jpeg))


def test_raw_values_travel_as_they_are(model):
    graph = fuse(model)
    mask = next(m for m in all_ideals(graph)[0] if m and len(graph.cut_values(m)) == 1)
    (name,) = graph.cut_values(mask)
    targets = find_device("tx2", side="device"), find_device("a6000", side="cloud")
    made = split_halves(model, graph, a_way(graph, mask, BitPlan((Quantizer(name, "raw", 32),))), *targets)
    (value,) = made.cut.values
    assert (value.codec, value.bits, value.codes, value.levels) == ("raw", 32, name, ())
    assert (made.cut.device_parameters, made.cut.cloud_parameters, made.cut.features) == ("", "", ())
    feed = ort.seeded_inputs(model.proto, 0)
    sent = ort.run(made.models["device.onnx"], feed)
    np.testing.assert_array_equal(
        ort.run(made.models["cloud.onnx"], sent)["logits"], ort.run(model.proto, feed)["logits"]
    )
    assert dataclasses.is_dataclass(made)
