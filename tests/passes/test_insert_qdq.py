"""Where the quantizers of a cut go: codes and features leave the device, codes enter the cloud, no more."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from coachc.core.plan import Quantizer
from coachc.errors import ModelError
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.passes.cut import boundary_name, outputs_on_device, split
from coachc.passes.ideals import all_ideals
from coachc.passes.insert_qdq import Crossing, dequantize_inputs, insert_reference, quantize_outputs
from coachc.passes.quantizer_nodes import codes_name, feature_name, has_feature
from coachc.runtime.bundle import numeric
from tests.helpers.halves import (
    GRAPHS,
    ODD,
    around_one_value,
    captured_in_if,
    input_on_both_sides,
    integers_between,
    output_that_crosses,
    parameters_of,
    run_halves,
    same_bits,
)
from tests.helpers.onnx_models import constant, imported, net, op

pytestmark = pytest.mark.needs("onnxruntime")


def types_of(items):
    return {
        item.name: (item.type.tensor_type.elem_type, [dim.dim_value for dim in item.type.tensor_type.shape.dim])
        for item in items
    }


def fitted(name, array, bits, *, per_channel):
    """The range of an array, or of each of its channels."""
    rows = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1) if per_channel else array.reshape(1, -1)
    low, high = np.minimum(rows.min(axis=1), 0), np.maximum(rows.max(axis=1), 0)
    scale = np.maximum(high - low, 1e-6).astype(np.float32) / np.float32(2**bits - 1)
    return Quantizer(name, "packed", bits, tuple(scale.tolist()), tuple(np.rint(-low / scale).astype(int).tolist()))


def boundary_of(graph, mask, made, bits):
    """Quantizers fitted to what a cut really carries, per channel for every other value."""
    chosen = []
    for index, name in enumerate(graph.cut_values(mask)):
        value, array = graph.values[name], made[boundary_name(graph, name)]
        if value.quantizable:
            per_channel = (index + mask) % 2 == 1 and array.ndim > 1
            chosen.append(fitted(name, array.astype(np.float32), bits, per_channel=per_channel))
        else:
            chosen.append(Quantizer(name, "raw", 8 * value.size_bytes // value.elements))
    return chosen


def crossings(graph, quantizers):
    return [Crossing(q.name, boundary_name(graph, q.name), q.codec == "packed", len(q.scale) > 1) for q in quantizers]


@pytest.mark.parametrize("forms", [("qdq", "qdq"), ("arithmetic", "qdq"), ("arithmetic", "arithmetic")], ids="-".join)
@pytest.mark.parametrize("name", GRAPHS | ODD)
def test_halves_equal_the_reference_at_every_cut(name, forms, tmp_path):
    model, graph = imported((GRAPHS | ODD)[name](), tmp_path)
    feed = ort.seeded_inputs(model.proto, seed=3)
    whole = ort.run(model.proto, feed)
    masks = all_ideals(graph)[0][:-1]
    lossy = 0
    for mask in masks[:: max(len(masks) // 12, 1)]:
        head, tail = split(model, graph, mask)
        made = ort.run(head, {item.name: feed[item.name] for item in head.graph.input})
        quantizers = boundary_of(graph, mask, made, bits=3)
        boundary, keep = crossings(graph, quantizers), outputs_on_device(graph, mask)
        first = quantize_outputs(head, boundary, model, keep=keep, form=forms[0], int32_codes=True)
        second = dequantize_inputs(tail, boundary, model, form=forms[1])
        check(first)
        check(second)
        members = {n for i, node in enumerate(graph.nodes) if not mask >> i & 1 for n in node.members}
        reference = insert_reference(model, quantizers, members)
        check(reference)
        expected = ort.run(reference, feed)
        packed = [q.name for q in quantizers if q.codec == "packed"]
        assert list(expected) == [*model.outputs, *map(codes_name, packed)]
        ranks = {value: len(graph.values[value].shape) for value in packed}
        parameters = [
            parameters_of(quantizers, ranks, form, side) for form, side in zip(forms, ("device", "cloud"), strict=True)
        ]
        assert [item.name for item in first.graph.input] == [*model.inputs, *parameters[0]]
        found = run_halves(first, second, feed, parameters=parameters)
        where = f"{name}, cut at {graph.cut_values(mask)}"
        for output, array in expected.items():
            codes = output not in model.outputs and forms[0] == "arithmetic"
            assert same_bits(found[output], array.astype(np.int32) if codes else array), f"{where}: {output}"
        for value in packed:
            array = made[boundary_name(graph, value)]
            assert (feature_name(value) in found) == has_feature(array.shape), where
            if has_feature(array.shape):
                mean = array.mean(axis=tuple(range(2, array.ndim)))
                np.testing.assert_allclose(found[feature_name(value)], mean, rtol=1e-5, atol=1e-6, err_msg=where)
        # What the device makes is exact, and a codec without loss would not be one.
        assert all(same_bits(found[output], whole[output]) for output in keep), where
        lossy += any(not same_bits(found[output], whole[output]) for output in model.outputs)
    assert lossy


def test_an_output_that_crosses_leaves_as_float_and_as_codes(tmp_path):
    model, graph = imported(output_that_crosses(), tmp_path)
    head, _ = split(model, graph, 1)
    quantizer = Quantizer("c", "packed", 4, (0.25,), (7,))
    first = quantize_outputs(head, [Crossing("c", "c")], model, keep=("c",))
    assert [item.name for item in first.graph.output] == ["c/codes", "c", "c/feature"]
    feed = ort.seeded_inputs(model.proto, 4)
    made = ort.run(first, {**feed, **parameters_of([quantizer], {"c": 4}, "qdq", "device")})
    assert same_bits(made["c"], ort.run(model.proto, feed)["c"])
    assert np.array_equal(made["c/codes"], numeric.quantize(made["c"], 0.25, 7, 4))
    dropped = quantize_outputs(head, [Crossing("c", "c")], model)
    assert [item.name for item in dropped.graph.output] == ["c/codes", "c/feature"]


def test_the_inputs_of_a_quantizer_have_the_types_that_engines_are_fed():
    model, head, tail = around_one_value((2, 3, 4, 5))
    floating, byte = TensorProto.FLOAT, TensorProto.UINT8
    for per_channel, form, expected, qmax in (
        (False, "qdq", {"v/scale": (floating, []), "v/zero_point": (byte, [])}, (byte, [])),
        (True, "qdq", {"v/scale": (floating, [3]), "v/zero_point": (byte, [3])}, (byte, [])),
        (False, "arithmetic", {"v/scale": (floating, [1]), "v/zero_point": (floating, [1])}, (floating, [1])),
        (True, "arithmetic", dict.fromkeys(("v/scale", "v/zero_point"), (floating, [1, 3, 1, 1])), (floating, [1])),
    ):
        boundary = [Crossing("v", "v", per_channel=per_channel)]
        device = types_of(quantize_outputs(head, boundary, model, form=form).graph.input)
        assert device == {"x": (floating, [2, 3, 4, 5]), **expected, "v/qmax": qmax}
        cloud = types_of(dequantize_inputs(tail, boundary, model, form=form).graph.input)
        assert cloud == {"v/codes": (byte, [2, 3, 4, 5]), **expected}


def test_integers_cross_as_they_are(tmp_path):
    model, graph = imported(integers_between(), tmp_path)
    mask = next(m for m in all_ideals(graph)[0] if "i" in graph.cut_values(m))
    assert graph.cut_values(mask) == ("f", "i")
    head, tail = split(model, graph, mask)
    boundary = [Crossing("f", "f"), Crossing("i", "i", packed=False)]
    first = types_of(quantize_outputs(head, boundary, model).graph.output)
    second = types_of(dequantize_inputs(tail, boundary, model).graph.input)
    assert list(first) == ["f/codes", "i", "f/feature"]
    assert list(second) == ["f/codes", "i", "f/scale", "f/zero_point"]
    assert first["f/codes"] == second["f/codes"] == (TensorProto.UINT8, [1, 4])
    assert first["i"] == second["i"] == (TensorProto.INT64, [1])


def test_an_input_of_the_model_crosses_under_its_own_name(tmp_path):
    model, graph = imported(input_on_both_sides(), tmp_path)
    head, tail = split(model, graph, 1)
    boundary = [Crossing(name, boundary_name(graph, name)) for name in graph.cut_values(1)]
    assert boundary[0] == Crossing("x", "x/sent")
    first, second = quantize_outputs(head, boundary, model), dequantize_inputs(tail, boundary, model)
    assert [item.name for item in first.graph.input][:4] == ["x", "x/scale", "x/zero_point", "x/qmax"]
    assert {"x/codes", "x/feature"} < {item.name for item in first.graph.output}
    assert {"x/codes", "x/scale", "x/zero_point"} < {item.name for item in second.graph.input}


def test_only_the_clouds_readers_see_the_rounded_value(tmp_path):
    nodes = [
        op("Transpose", "x", "v", perm=[0, 1, 3, 2]),
        op("Transpose", "v", "near", perm=[0, 1, 3, 2]),
        op("Transpose", "v", "far", perm=[0, 1, 3, 2]),
    ]
    model, graph = imported(net(nodes, ["x"], ["near", "far"]), tmp_path)
    quantizer = Quantizer("v", "packed", 2, (1.0,), (1,))
    reference = insert_reference(model, [quantizer], {"Transpose.far"})
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8), dtype=np.float32)
    made = ort.run(reference, {"x": x})
    assert same_bits(made["near"], x)
    expected = numeric.dequantize(numeric.quantize(x, 1.0, 1, 2), 1.0, 1)
    assert same_bits(made["far"], expected)
    assert not np.array_equal(expected, x)
    assert len(graph.nodes) == 3


def test_a_body_on_the_cloud_sees_the_rounded_value(tmp_path):
    model, graph = imported(captured_in_if(), tmp_path)
    cloud = {name for node in graph.nodes if node.kind == "If" or node.outputs == ("y",) for name in node.members}
    quantizer = Quantizer("c", "packed", 2, (0.5,), (1,))
    reference = insert_reference(model, [quantizer], cloud)
    feed = {"x": np.full((1, 4, 8, 8), -0.3, np.float32)}
    rounded, plain = ort.run(reference, feed)["y"], ort.run(model.proto, feed)["y"]
    assert not np.allclose(rounded, plain)
    # Nothing on the cloud: nobody reads the rounded value.
    assert same_bits(ort.run(insert_reference(model, [quantizer], set()), feed)["y"], plain)


def test_a_weight_called_like_an_input_of_ours_is_renamed(tmp_path):
    """It would otherwise become that input's default, and the input's number the weight."""
    nodes = [op("Mul", "x v/scale", "v"), op("Transpose", "v", "t", perm=[0, 1, 3, 2]), op("Mul", "t v/scale", "y")]
    model, graph = imported(net(nodes, ["x"], ["y"], [constant("v/scale", np.full(1, 3, np.float32))]), tmp_path)
    head, tail = split(model, graph, 1)
    assert graph.cut_values(1) == ("v",)
    quantizer = Quantizer("v", "packed", 8, (2.0**-4,), (100,))
    for form in ("qdq", "arithmetic"):
        first = quantize_outputs(head, [Crossing("v", "v")], model, form=form)
        second = dequantize_inputs(tail, [Crossing("v", "v")], model, form=form)
        check(first)
        check(second)
        parameters = [parameters_of([quantizer], {"v": 4}, form, side) for side in ("device", "cloud")]
        feed = ort.seeded_inputs(model.proto, 1)
        found = run_halves(first, second, feed, parameters=parameters)
        expected = ort.run(insert_reference(model, [quantizer], {"Transpose.t", "Mul.y"}), feed)
        assert all(same_bits(found[name], array) for name, array in expected.items())


def test_an_output_called_like_an_input_of_ours_is_refused(tmp_path):
    nodes = [op("Transpose", "x", "v", perm=[0, 1, 3, 2]), op("Transpose", "v", "v/scale", perm=[0, 1, 3, 2])]
    model, graph = imported(net(nodes, ["x"], ["v/scale"]), tmp_path)
    _, tail = split(model, graph, 1)
    with pytest.raises(ModelError, match="'v' cannot be quantized: 'v/scale', a name its quantizer needs") as caught:
        dequantize_inputs(tail, [Crossing("v", "v")], model)
    assert caught.value.hint == "rename 'v/scale' in the model, or cut it elsewhere"
