"""One table of cases through every implementation of the quantizer: both inserted forms, the runtime's, ONNX's own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from calib.ranges import RangeSample
from coachc.core.plan import Quantizer
from coachc.frontend import ort
from coachc.frontend.check import check
from passes.cut import boundary_name, outputs_on_device, split
from passes.ideals import all_ideals
from passes.insert_qdq import FORMS, code_range, codes_name, dequantize_inputs, insert_reference, quantize_outputs
from runtime.bundle import numeric
from tests.helpers.halves import (
    GRAPHS,
    ODD,
    captured_in_if,
    integers_between,
    output_that_crosses,
    passing,
    run_halves,
    same_bits,
)
from tests.helpers.onnx_models import imported, info, net, op

pytestmark = pytest.mark.needs("onnxruntime")

#: Scales that floats hold exactly, so that half-way values are exactly half-way, and some that they do not.
SCALES = (1.0, 2.0**-5, 2.0**9, 0.1, 1 / 3, 3.7e-3, 1.9e4)


def hard_values(quantizer, count=4096):
    """Every half-way point around the range and its neighbours, far outliers, zeros, and random ones."""
    rng = np.random.default_rng([quantizer.bits, quantizer.zero_point, 5])
    scale = np.float32(quantizer.scale)
    steps = np.arange(-quantizer.zero_point - 4, quantizer.qmax - quantizer.zero_point + 5, dtype=np.float32)
    halves = (steps + np.float32(0.5)) * scale
    edges = np.concatenate(
        [halves, np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, np.float32(-np.inf))]
    )
    fixed = np.concatenate([edges, steps * scale, np.float32([0, -0.0, 1e30, -1e30, np.inf, -np.inf, 1e-40])])
    noise = rng.standard_normal(count - len(fixed), dtype=np.float32) * scale * np.float32(quantizer.qmax)
    return np.concatenate([fixed, noise]).astype(np.float32).reshape(1, count)


def quantizers(scales=SCALES):
    for bits in range(2, 9):
        for scale in scales:
            for zero_point in sorted({0, 1, 2 ** (bits - 1), 2**bits - 1}):
                yield Quantizer("v", "packed", bits, float(np.float32(scale)), zero_point)


def onnx_quantize(x, quantizer):
    """QuantizeLinear of ONNX Runtime, on values clipped by NumPy to those that have a code of so many bits."""
    low, high = code_range(quantizer)
    parameters = [
        onnx.numpy_helper.from_array(np.float32(quantizer.scale), "s"),
        onnx.numpy_helper.from_array(np.uint8(quantizer.zero_point), "z"),
    ]
    nodes = [op("QuantizeLinear", "x s z", "q")]
    proto = net(nodes, [info("x", x.shape)], [info("q", x.shape, "uint8")], parameters)
    return ort.run(proto, {"x": np.clip(x, low, high)})["q"]


@pytest.fixture(scope="module", params=["float32", "float16"])
def halves(request, tmp_path_factory):
    model, graph = imported(passing(request.param), tmp_path_factory.mktemp("passing"))
    return model, *split(model, graph, 1)


@pytest.mark.parametrize("bits", range(2, 9))
def test_all_agree_code_for_code(halves, bits):
    model, head, tail = halves
    dtype = np.dtype(model.values["v"].dtype)
    half_way = 0
    for quantizer in quantizers():
        if quantizer.bits != bits:
            continue
        where = f"{quantizer}, {dtype}"
        with np.errstate(over="ignore"):  # float16 ends at 65504
            x = hard_values(quantizer).astype(dtype)
            expected = numeric.quantize(x, quantizer.scale, quantizer.zero_point, bits)
            real = numeric.dequantize(expected, quantizer.scale, quantizer.zero_point).astype(dtype)
        assert np.array_equal(onnx_quantize(x.astype(np.float32), quantizer), expected), where
        ratio = x[np.isfinite(x)].astype(np.float64) / quantizer.scale
        half_way += np.count_nonzero(ratio - np.floor(ratio) == 0.5)
        for form, int32_codes in (("qdq", False), ("arithmetic", False), ("arithmetic", True)):
            first = quantize_outputs(head, [(quantizer, "v")], model, form=form, int32_codes=int32_codes)
            codes = ort.run(first, {"x": x})[codes_name("v")]
            assert codes.dtype == (np.int32 if int32_codes else np.uint8), where
            assert np.array_equal(codes.reshape(x.shape), expected), f"{where}, {form}"
        for form in FORMS:
            second = dequantize_inputs(tail, [(quantizer, "v")], model, form=form)
            found = ort.run(second, {codes_name("v"): expected.reshape(-1, 1)})["y"]
            assert same_bits(found, real), f"{where}, {form}"
    assert half_way > 50, "the table holds hardly any half-way value"


@pytest.mark.parametrize("form", FORMS)
def test_optimizing_changes_no_code(halves, form):
    model, head, tail = halves
    for quantizer in quantizers(scales=(2.0**-5, 0.1)):
        with np.errstate(over="ignore"):
            x = hard_values(quantizer).astype(model.values["v"].dtype)
        first = quantize_outputs(head, [(quantizer, "v")], model, form=form)
        second = dequantize_inputs(tail, [(quantizer, "v")], model, form=form)
        plain, optimized = (run_halves(first, second, {"x": x}, level=level) for level in ("disabled", "all"))
        assert all(same_bits(optimized[name], array) for name, array in plain.items()), f"{quantizer}, {form}"


def test_halves_to_even_by_hand(halves):
    model, head, _ = halves
    quantizer = Quantizer("v", "packed", 3, 2.0, 2)
    x = np.zeros((1, 4096), model.values["v"].dtype)
    #           half-way: -2.5 -1.5 -0.5  0.5  1.5  2.5 4.5 6.5, then just beyond one, and far outside
    x[0, :12] = [-5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 9.0, 13.0, 1.001, 2.999, 100.0, -100.0]
    expected = [0, 0, 2, 2, 4, 4, 6, 7, 3, 3, 7, 0]
    for form in FORMS:
        first = quantize_outputs(head, [(quantizer, "v")], model, form=form)
        assert ort.run(first, {"x": x})[codes_name("v")].ravel()[:12].tolist() == expected


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_agree_with_onnxs_reference(bits):
    """The reference evaluator of the onnx package, as a third opinion."""
    from onnx.reference import ReferenceEvaluator

    quantizer = Quantizer("v", "packed", bits, 0.25, 2 ** (bits - 1) - 1)
    x = hard_values(quantizer)
    low, high = code_range(quantizer)
    graph = helper.make_graph(
        [op("QuantizeLinear", "x s z", "q")],
        "q",
        [info("x", x.shape), info("s", ()), helper.make_tensor_value_info("z", TensorProto.UINT8, ())],
        [info("q", x.shape, "uint8")],
    )
    reference = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    feed = {"x": np.clip(x, low, high), "s": np.float32(0.25), "z": np.uint8(quantizer.zero_point)}
    (codes,) = reference.run(None, feed)
    assert np.array_equal(codes, numeric.quantize(x, 0.25, quantizer.zero_point, bits))


def boundary_of(graph, mask, made, bits):
    """Quantizers fitted to what a cut really carries."""
    chosen = []
    for name in graph.cut_values(mask):
        value, sent = graph.values[name], boundary_name(graph, name)
        if not value.quantizable:
            chosen.append((Quantizer(name, "raw", 8 * value.size_bytes // value.elements), sent))
            continue
        sample = RangeSample(1)
        sample.add(made[sent])
        chosen.append((sample.quantizer(name, bits), sent))
    return chosen


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
        boundary = boundary_of(graph, mask, made, bits=3)
        keep = outputs_on_device(graph, mask)
        first = quantize_outputs(head, boundary, model, keep=keep, form=forms[0], int32_codes=True)
        second = dequantize_inputs(tail, boundary, model, form=forms[1])
        check(first)
        check(second)
        members = {n for i, node in enumerate(graph.nodes) if not mask >> i & 1 for n in node.members}
        reference = insert_reference(model, [quantizer for quantizer, _ in boundary], members)
        check(reference)
        expected = ort.run(reference, feed)
        packed = [codes_name(q.name) for q, _ in boundary if q.codec == "packed"]
        assert list(expected) == [*model.outputs, *packed]
        found = run_halves(first, second, feed)
        where = f"{name}, cut at {graph.cut_values(mask)}"
        for output, array in expected.items():
            wanted = array.astype(np.int32) if output in packed and forms[0] == "arithmetic" else array
            assert same_bits(found[output], wanted), f"{where}: {output}"
        # What the device makes is exact, and a codec without loss would not be one.
        assert all(same_bits(found[output], whole[output]) for output in keep), where
        lossy += any(not same_bits(found[output], whole[output]) for output in model.outputs)
    assert lossy


def test_an_output_that_crosses_leaves_as_float_and_as_codes(tmp_path):
    model, graph = imported(output_that_crosses(), tmp_path)
    head, _ = split(model, graph, 1)
    quantizer = Quantizer("c", "packed", 4, 0.25, 7)
    first = quantize_outputs(head, [(quantizer, "c")], model, keep=("c",))
    assert [item.name for item in first.graph.output] == ["c/codes", "c"]
    feed = ort.seeded_inputs(model.proto, 4)
    made = ort.run(first, feed)
    assert same_bits(made["c"], ort.run(model.proto, feed)["c"])
    assert np.array_equal(made["c/codes"], numeric.quantize(made["c"], 0.25, 7, 4))
    dropped = quantize_outputs(head, [(quantizer, "c")], model)
    assert [item.name for item in dropped.graph.output] == ["c/codes"]


def test_integers_cross_as_they_are(tmp_path):
    model, graph = imported(integers_between(), tmp_path)
    mask = next(m for m in all_ideals(graph)[0] if "i" in graph.cut_values(m))
    assert graph.cut_values(mask) == ("f", "i")
    head, tail = split(model, graph, mask)
    boundary = [(Quantizer("f", "packed", 8, 0.01, 128), "f"), (Quantizer("i", "raw", 64), "i")]
    first = quantize_outputs(head, boundary, model)
    second = dequantize_inputs(tail, boundary, model)
    types = {item.name: item.type.tensor_type.elem_type for item in first.graph.output}
    assert types == {"f/codes": TensorProto.UINT8, "i": TensorProto.INT64}
    assert {item.name: item.type.tensor_type.elem_type for item in second.graph.input} == types


def test_only_the_clouds_readers_see_the_rounded_value(tmp_path):
    nodes = [
        op("Transpose", "x", "v", perm=[0, 1, 3, 2]),
        op("Transpose", "v", "near", perm=[0, 1, 3, 2]),
        op("Transpose", "v", "far", perm=[0, 1, 3, 2]),
    ]
    model, graph = imported(net(nodes, ["x"], ["near", "far"]), tmp_path)
    quantizer = Quantizer("v", "packed", 2, 1.0, 1)
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
    quantizer = Quantizer("c", "packed", 2, 0.5, 1)
    reference = insert_reference(model, [quantizer], cloud)
    feed = {"x": np.full((1, 4, 8, 8), -0.3, np.float32)}
    rounded, plain = ort.run(reference, feed)["y"], ort.run(model.proto, feed)["y"]
    assert not np.allclose(rounded, plain)
    # Nothing on the cloud: nobody reads the rounded value.
    assert same_bits(ort.run(insert_reference(model, [quantizer], set()), feed)["y"], plain)
