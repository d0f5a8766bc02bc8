"""The range a quantizer is given, against the mean squared error it is chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from calib.ranges import SAMPLE_VALUES, RangeSample, affine
from runtime.bundle import numeric


def rounded(values, quantizer):
    codes = numeric.quantize(values, quantizer.scale, quantizer.zero_point, quantizer.bits)
    return numeric.dequantize(codes, quantizer.scale, quantizer.zero_point)


def error(values, quantizer):
    return float(np.mean((rounded(values, quantizer).astype(np.float64) - values) ** 2))


def sampled(values, bits):
    sample = RangeSample(1)
    sample.add(values)
    return sample.quantizer("v", bits)


@pytest.mark.parametrize(
    ("low", "high", "bits", "scale", "zero_point"),
    [
        (0, 255, 8, 1, 0),
        (-128, 127, 8, 1, 128),
        (-1, 2, 2, 1, 1),
        (0, 6, 4, 0.4, 0),
        (-6, 0, 4, 0.4, 15),
        (-1, 1, 3, 2 / 7, 3),  # as a float, 2/7 is a little more: -low / scale is below 3.5
        (0, 0, 5, 1, 0),
        (0, 1e-44, 8, 1, 0),  # smaller than any step a float can hold
    ],
)
def test_affine_by_hand(low, high, bits, scale, zero_point):
    found = affine("v", low, high, bits)
    assert (found.name, found.codec, found.bits, found.zero_point) == ("v", "packed", bits, zero_point)
    assert found.scale == float(np.float32(scale))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("seed", range(10))
def test_zero_is_exact_and_minmax_is_never_better(seed, bits):
    rng = np.random.default_rng([seed, bits])
    values = (rng.standard_normal(5000) * rng.uniform(0.01, 50) + rng.uniform(-20, 20)).astype(np.float32)
    found = sampled(values, bits)
    assert 0 <= found.zero_point <= found.qmax
    assert not rounded(np.zeros(3, np.float32), found).any()
    minmax = affine("v", min(0.0, float(values.min())), max(0.0, float(values.max())), bits)
    assert error(values, found) <= error(values, minmax), f"seed {seed}"


@pytest.mark.parametrize(("bits", "share"), [(2, 0.5), (4, 0.5), (6, 0.9)])
@pytest.mark.parametrize("seed", range(5))
def test_clipping_pays_on_heavy_tails(seed, bits, share):
    values = np.random.default_rng([seed, bits]).standard_t(3, 50_000).astype(np.float32)
    minmax = affine("v", float(values.min()), float(values.max()), bits)
    assert error(values, sampled(values, bits)) < share * error(values, minmax), f"seed {seed}"


def test_clipping_does_not_pay_on_flat_values():
    values = np.linspace(-3, 5, 10_000, dtype=np.float32)
    assert sampled(values, 4).scale == pytest.approx(affine("v", -3, 5, 4).scale, rel=0.03)


def test_relu_zeros_stay_zero():
    values = np.maximum(np.random.default_rng(0).standard_normal(10_000, dtype=np.float32) - 0.5, 0)
    found = sampled(values, 3)
    assert found.zero_point == 0
    assert np.array_equal(rounded(values, found)[values == 0], values[values == 0])


@pytest.mark.parametrize(
    "values", [np.zeros(100), np.zeros((0,)), np.zeros((3, 0, 2))], ids=["zeros", "empty", "no rows"]
)
def test_a_constant_zero(values):
    found = sampled(values.astype(np.float32), 4)
    assert (found.scale, found.zero_point) == (1.0, 0)


@pytest.mark.parametrize("constant", [3.5, -2.0, 1e-3])
@pytest.mark.parametrize("bits", [2, 8])
def test_a_constant_is_exact(constant, bits):
    values = np.full(1000, constant, np.float32)
    assert rounded(values, sampled(values, bits)) == pytest.approx(values, rel=1e-6)


def test_no_sample_at_all():
    found = RangeSample(10).quantizer("v", 8)
    assert (found.scale, found.zero_point) == (1.0, 0)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_values_that_are_no_numbers_do_not_count(bad):
    """Masks of attention hold minus infinity: it saturates, the others keep their resolution."""
    values = np.linspace(-1, 1, 1001, dtype=np.float32)
    assert sampled(np.append(values, np.float32(bad)), 8) == sampled(values, 8)
    assert sampled(np.full(5, bad, np.float32), 8).scale == 1.0


def test_extremes_are_exact_even_where_values_are_only_sampled():
    values = np.random.default_rng(1).uniform(-1, 1, 3 * SAMPLE_VALUES).astype(np.float32)
    values[12345] = 7.0
    values[54321] = -9.0
    sample = RangeSample(1)
    sample.add(values)
    assert (sample.low, sample.high) == (-9.0, 7.0)
    assert sum(part.size for part in sample._parts) == SAMPLE_VALUES


def test_every_sample_has_its_share():
    sample = RangeSample(100)
    for index in range(100):
        sample.add(np.full(SAMPLE_VALUES, float(index), np.float32))
    values, counts = np.unique(np.concatenate(sample._parts), return_counts=True)
    assert values.tolist() == list(range(100))
    assert set(counts) == {SAMPLE_VALUES // 100}
    again = RangeSample(100)
    for index in range(100):
        again.add(np.full(SAMPLE_VALUES, float(index), np.float32))
    assert again.quantizer("v", 5) == sample.quantizer("v", 5)


def test_float16_is_taken():
    values = np.linspace(0, 10, 500).astype(np.float16)
    assert sampled(values, 8) == sampled(values.astype(np.float32), 8)
