"""One table of cases through every implementation of the quantizer: both inserted forms, the runtime's, ONNX's own.

Codes are compared one by one. Both forms divide by the scale, as QuantizeLinear does; an engine that multiplies by its
reciprocal instead may differ by one code at ties, which nothing here can show.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from coachc.core.plan import Quantizer
from coachc.frontend import ort
from coachc.frontend.check_model import check
from coachc.passes.insert_qdq import Crossing, dequantize_inputs, insert_reference, quantize_outputs
from coachc.passes.quantizer_nodes import FORMS, has_feature
from coachc.runtime.bundle import numeric
from tests.helpers.halves import around_one_value, parameters_of, same_bits

pytestmark = pytest.mark.needs("onnxruntime")

#: Scales that floats hold exactly, so that half-way values are exactly half-way, some that they do not, and extremes.
SCALES = (1.0, 2.0**-5, 2.0**9, 0.1, 1 / 3, 3.7e-3, 1.9e4, 2.0**-126, 1e30)
#: (form, codes as int32)
DEVICE_FORMS = (("qdq", False), ("arithmetic", False), ("arithmetic", True))
#: Values of each case.
COUNT = 1232


def pairs(bits):
    """Every scale with every kind of zero point."""
    points = sorted({0, 1, 2 ** (bits - 1), 2**bits - 1})
    return [(float(np.float32(scale)), point) for scale in SCALES for point in points]


def hard_values(bits, scale, zero_point):
    """Every half-way point around the range and its neighbours, far outliers, zeros, NaN, and random ones."""
    rng = np.random.default_rng([bits, zero_point, 5])
    step, qmax = np.float32(scale), 2**bits - 1
    steps = np.arange(-zero_point - 4, qmax - zero_point + 5, dtype=np.float32)
    with np.errstate(over="ignore"):
        halves = (steps + np.float32(0.5)) * step
        edges = [halves, np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, np.float32(-np.inf))]
        outside = np.float32([2**31, -(2**31), 2**33, -(2**33)]) * step
        extremes = np.float32([0, -0.0, 1e30, -1e30, 3.4e38, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e-45])
        fixed = np.concatenate([*edges, steps * step, outside, extremes])
        noise = rng.standard_normal(COUNT - len(fixed), dtype=np.float32) * step * np.float32(qmax)
    return np.concatenate([fixed, noise]).astype(np.float32)


def as_dtype(values, dtype):
    with np.errstate(over="ignore"):  # float16 ends at 65504
        return values.astype(dtype)


#: Shape of a value of each rank that holds COUNT values.
SHAPES = {1: (COUNT,), 2: (2, 616), 3: (1, 4, 308), 4: (2, 4, 14, 11), 5: (1, 2, 4, 14, 11)}


class Halves:
    """Both quantized halves around one value, loaded; `at` says what they are fed for a quantizer."""

    def __init__(
        self, shape, form, dtype="float32", *, int32_codes=False, per_channel=False, level="disabled", opset=13
    ):
        boundary = [Crossing("v", "v", per_channel=per_channel)]
        model, head, tail = around_one_value(shape, dtype, opset=opset)
        self.device = quantize_outputs(head, boundary, model, form=form, int32_codes=int32_codes)
        self.cloud = dequantize_inputs(tail, boundary, model, form=form)
        self._sessions = ort.session(self.device, level), ort.session(self.cloud, level)
        self._rank, self._form = {"v": len(shape)}, form
        self._channels = {"v": shape[1]} if per_channel else {}

    def feed(self, side, quantizer):
        return parameters_of([quantizer], self._rank, self._form, side, channels=self._channels)

    def codes(self, x, quantizer):
        return ort.run_session(self._sessions[0], {"x": x, **self.feed("device", quantizer)})["v/codes"]

    def real(self, codes, quantizer):
        return ort.run_session(self._sessions[1], {"v/codes": codes, **self.feed("cloud", quantizer)})["y"]

    def agree(self, x, quantizer, where):
        expected = numeric.quantize(x, quantizer.scale, quantizer.zero_point, quantizer.bits)
        codes = self.codes(x, quantizer)
        assert codes.shape == x.shape, where
        assert np.array_equal(codes, expected), where
        with np.errstate(over="ignore"):
            real = numeric.dequantize(expected, quantizer.scale, quantizer.zero_point).astype(x.dtype)
        assert same_bits(self.real(expected, quantizer), real), where


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize(("form", "int32_codes"), DEVICE_FORMS)
def test_per_tensor(form, int32_codes, rank, dtype):
    """One pair of halves takes every precision."""
    halves = Halves(SHAPES[rank], form, dtype, int32_codes=int32_codes)
    half_way = 0
    for bits in range(2, 9):
        for scale, zero_point in pairs(bits):
            quantizer = Quantizer("v", "packed", bits, (scale,), (zero_point,))
            x = as_dtype(hard_values(bits, scale, zero_point), dtype).reshape(SHAPES[rank])
            halves.agree(x, quantizer, f"{quantizer}, {dtype}")
            ratio = x[np.isfinite(x)].astype(np.float64) / scale
            half_way += np.count_nonzero(ratio - np.floor(ratio) == 0.5)
    assert half_way > 1000, "the table holds hardly any half-way value"
    assert halves.codes(x, quantizer).dtype == (np.int32 if int32_codes else np.uint8)


#: What a channel's values look like before and after the channel axis.
PARTS = {3: (2, 616), 4: (2, 56, 11), 5: (2, 14, 4, 11)}


def in_channels(rows, rank):
    """Rows, one for each channel, as a value of a rank with its channels on axis 1."""
    parted = rows.reshape(len(rows), *PARTS.get(rank, (COUNT,)))
    return np.ascontiguousarray(np.moveaxis(parted, 0, 1))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
@pytest.mark.parametrize(("form", "int32_codes"), DEVICE_FORMS)
def test_per_channel(form, int32_codes, rank, dtype):
    """Every channel has a scale and a zero point of its own; at another precision all may share one."""
    halves = None
    for bits in range(2, 9):
        x = in_channels(as_dtype(np.stack([hard_values(bits, *pair) for pair in pairs(bits)]), dtype), rank)
        scales, zero_points = zip(*pairs(bits), strict=True)
        halves = halves or Halves(x.shape, form, dtype, int32_codes=int32_codes, per_channel=True)
        for part in (slice(None), slice(5, 6)):
            quantizer = Quantizer("v", "packed", bits, scales[part], zero_points[part])
            halves.agree(x, quantizer, f"{quantizer}, {dtype}")


@pytest.mark.parametrize("form", FORMS)
def test_a_value_of_rank_0_keeps_its_rank(form):
    halves = Halves((), form)
    for number, code in ((0.0, 2), (1.25, 4), (-9.0, 0), (99.0, 7), (np.nan, 0)):
        quantizer = Quantizer("v", "packed", 3, (0.5,), (2,))
        assert halves.codes(np.array(number, np.float32), quantizer).tolist() == code
        halves.agree(np.array(number, np.float32), quantizer, number)
    assert not has_feature(())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("form", "int32_codes"), DEVICE_FORMS)
def test_halves_to_even_by_hand(form, int32_codes, dtype):
    halves = Halves((1, 12), form, dtype, int32_codes=int32_codes)
    #         half-way: -2.5 -1.5 -0.5  0.5  1.5  2.5 4.5 6.5, then just beyond one, and far outside
    x = np.array([[-5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 9.0, 13.0, 1.001, 2.999, 100.0, -100.0]], dtype)
    codes = halves.codes(x, Quantizer("v", "packed", 3, (2.0,), (2,)))
    assert codes.tolist() == [[0, 0, 2, 2, 4, 4, 6, 7, 3, 3, 7, 0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_optimizing_changes_no_code(form, per_channel):
    shape = (1, 2, COUNT // 2)
    plain, optimized = (Halves(shape, form, per_channel=per_channel, level=level) for level in ("disabled", "all"))
    for bits in (2, 5, 8):
        for scale, zero_point in pairs(bits):
            x = hard_values(bits, scale, zero_point).reshape(shape)
            quantizer = Quantizer("v", "packed", bits, (scale, 3 * scale), (zero_point, 1))
            if not per_channel:
                quantizer = Quantizer("v", "packed", bits, (scale,), (zero_point,))
            codes = plain.codes(x, quantizer)
            assert same_bits(optimized.codes(x, quantizer), codes), quantizer
            assert same_bits(optimized.real(codes, quantizer), plain.real(codes, quantizer)), quantizer


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("form", "int32_codes"), DEVICE_FORMS)
def test_the_graphs_mean_the_same_to_onnxs_reference(form, int32_codes, per_channel):
    """The reference evaluator of the onnx package, as a third opinion on the very graphs that are emitted.

    At opset 19, the first whose DequantizeLinear it has, and on what it defines: its QuantizeLinear goes through int32
    and wraps where the specification saturates, and a NaN has no code for it.
    """
    shape = (1, 2, COUNT // 2)
    halves = Halves(shape, form, int32_codes=int32_codes, per_channel=per_channel, opset=19)
    device, cloud = ReferenceEvaluator(halves.device), ReferenceEvaluator(halves.cloud)
    for bits in range(2, 9):
        for scale, zero_point in pairs(bits)[::3]:
            limit = min(scale * 2.0**30, 1e35)  # its mean of larger ones overflows
            x = np.clip(np.nan_to_num(hard_values(bits, scale, zero_point)), -limit, limit, dtype=np.float32)
            quantizer = Quantizer("v", "packed", bits, (scale, 2 * scale), (zero_point, 0))
            if not per_channel:
                quantizer = Quantizer("v", "packed", bits, (scale,), (zero_point,))
            x = x.reshape(shape)
            codes, *_ = device.run(None, {"x": x, **halves.feed("device", quantizer)})
            assert np.array_equal(codes, numeric.quantize(x, quantizer.scale, quantizer.zero_point, bits)), quantizer
            with np.errstate(over="ignore"):
                (real,) = cloud.run(None, {"v/codes": codes.astype(np.uint8), **halves.feed("cloud", quantizer)})
                expected = numeric.dequantize(codes, quantizer.scale, quantizer.zero_point)
            assert same_bits(np.asarray(real), expected), quantizer


@pytest.mark.parametrize("channels", [1, 4])
def test_the_reference_model_at_constant_precisions(channels):
    """Per tensor and per channel, against `numeric` and onnx's own evaluator."""
    model = around_one_value((1, 4, COUNT // 4)).model
    for bits in range(2, 9):
        chosen = pairs(bits)[2 : 2 + 4 * channels : 4]
        quantizer = Quantizer("v", "packed", bits, *(tuple(part) for part in zip(*chosen, strict=True)))
        proto = insert_reference(model, [quantizer], {"Identity.y"})
        check(proto)
        x = np.concatenate([hard_values(bits, *chosen[i % channels])[::4] for i in range(4)]).reshape(1, 4, -1)
        made = ort.run(proto, {"x": x})
        codes = numeric.quantize(x, quantizer.scale, quantizer.zero_point, bits)
        assert same_bits(made["v/codes"], codes), quantizer
        assert same_bits(made["y"], numeric.dequantize(codes, quantizer.scale, quantizer.zero_point)), quantizer


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_graph_passes_the_checker_and_strict_inference(opset, rank, per_channel):
    if per_channel and rank < 2:
        return
    shape = (2, 3, 4, 5, 6)[:rank]
    model, head, tail = around_one_value(shape, "float16" if opset == 13 else "float32", opset=opset)
    boundary = [Crossing("v", "v", per_channel=per_channel)]
    made = [quantize_outputs(head, boundary, model, form=form, int32_codes=c) for form, c in DEVICE_FORMS]
    made += [dequantize_inputs(tail, boundary, model, form=form) for form in FORMS]
    count = 3 if per_channel else 1
    made.append(insert_reference(model, [Quantizer("v", "packed", 4, (0.5,) * count, (1,) * count)], {"Identity.y"}))
    for proto in made:
        onnx.checker.check_model(proto, full_check=True)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
        ort.session(proto)
        assert [entry.version for entry in proto.opset_import] == [opset]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
@pytest.mark.parametrize("opset", [13, 18])
def test_a_feature_is_the_mean_over_positions(rank, opset, dtype):
    shape = (2, 3, 4, 5, 6)[:rank]
    model, head, _ = around_one_value(shape, dtype, opset=opset)
    x = np.random.default_rng(rank).standard_normal(shape).astype(dtype)
    for form in FORMS:
        device = quantize_outputs(head, [Crossing("v", "v")], model, form=form)
        quantizer = Quantizer("v", "packed", 2, (3.0,), (1,))
        feed = parameters_of([quantizer], {"v": rank}, form, "device")
        made = ort.run(device, {"x": x, **feed})
        assert list(made) == ["v/codes", "v/feature"]
        assert (made["v/feature"].dtype, made["v/feature"].shape) == (np.float32, (2, 3))
        mean = x.astype(np.float64).mean(axis=tuple(range(2, rank)))
        np.testing.assert_allclose(made["v/feature"], mean, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (5,), (2, 0, 3)])
def test_values_without_a_feature(shape):
    model, head, _ = around_one_value(shape)
    device = quantize_outputs(head, [Crossing("v", "v")], model)
    assert [item.name for item in device.graph.output] == ["v/codes"]
