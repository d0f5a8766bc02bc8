"""The range a quantizer is given, against the mean squared error it is chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.ranges import CHANNEL_VALUES, SAMPLE_VALUES, RangeSample, Scheme, affine, by_channel, coarser
from coachc.core.graph import Value
from coachc.core.plan import UNQUANTIZED, quantizer_for
from coachc.runtime.bundle import numeric


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
    found = affine("v", [low], [high], bits)
    assert (found.name, found.codec, found.bits, found.zero_point) == ("v", "packed", bits, (zero_point,))
    assert found.scale == (float(np.float32(scale)),)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("seed", range(10))
def test_zero_is_exact_and_minmax_is_never_better(seed, bits):
    rng = np.random.default_rng([seed, bits])
    values = (rng.standard_normal(5000) * rng.uniform(0.01, 50) + rng.uniform(-20, 20)).astype(np.float32)
    found = sampled(values, bits)
    assert 0 <= found.zero_point[0] <= found.qmax
    assert not rounded(np.zeros(3, np.float32), found).any()
    minmax = affine("v", [min(0.0, float(values.min()))], [max(0.0, float(values.max()))], bits)
    assert error(values, found) <= error(values, minmax), f"seed {seed}"


@pytest.mark.parametrize(("bits", "share"), [(2, 0.5), (4, 0.5), (6, 0.9)])
@pytest.mark.parametrize("seed", range(5))
def test_clipping_pays_on_heavy_tails(seed, bits, share):
    values = np.random.default_rng([seed, bits]).standard_t(3, 50_000).astype(np.float32)
    minmax = affine("v", [values.min()], [values.max()], bits)
    assert error(values, sampled(values, bits)) < share * error(values, minmax), f"seed {seed}"


def test_clipping_does_not_pay_on_flat_values():
    values = np.linspace(-3, 5, 10_000, dtype=np.float32)
    assert sampled(values, 4).scale == pytest.approx(affine("v", [-3], [5], 4).scale, rel=0.03)


def test_relu_zeros_stay_zero():
    values = np.maximum(np.random.default_rng(0).standard_normal(10_000, dtype=np.float32) - 0.5, 0)
    found = sampled(values, 3)
    assert found.zero_point == (0,)
    assert np.array_equal(rounded(values, found)[values == 0], values[values == 0])


@pytest.mark.parametrize(
    "values", [np.zeros(100), np.zeros((0,)), np.zeros((3, 0, 2))], ids=["zeros", "empty", "no rows"]
)
def test_a_constant_zero(values):
    found = sampled(values.astype(np.float32), 4)
    assert (found.scale, found.zero_point) == ((1.0,), (0,))


@pytest.mark.parametrize("constant", [3.5, -2.0, 1e-3])
@pytest.mark.parametrize("bits", [2, 8])
def test_a_constant_is_exact(constant, bits):
    values = np.full(1000, constant, np.float32)
    assert rounded(values, sampled(values, bits)) == pytest.approx(values, rel=1e-6)


def test_no_sample_at_all():
    found = RangeSample(10).quantizer("v", 8)
    assert (found.scale, found.zero_point) == ((1.0,), (0,))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_values_that_are_no_numbers_count_as_zero(bad):
    """Masks of attention hold minus infinity: others keep their resolution, and the sample says that it was seen."""
    values = np.linspace(-1, 1, 1001, dtype=np.float32)
    assert sampled(np.append(values, np.float32(bad)), 8) == sampled(np.append(values, np.float32(0)), 8)
    assert sampled(np.full(5, bad, np.float32), 8).scale == (1.0,)
    sample = RangeSample(3)
    for array, finite in (([1.0], True), ([bad], False), ([1.0], False)):
        sample.add(np.array(array, np.float32))
        assert sample.finite is finite


def test_extremes_are_exact_even_where_values_are_only_sampled():
    values = np.random.default_rng(1).uniform(-1, 1, 3 * SAMPLE_VALUES).astype(np.float32)
    values[12345] = 7.0
    values[54321] = -9.0
    sample = RangeSample(1)
    sample.add(values)
    assert sample.quantizer("v", 8, Scheme("min-max")) == affine("v", [-9.0], [7.0], 8)
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


# Rules and channels


def channelled(shape=(1, 6, 20, 20), seed=0):
    """Channels of very different spread."""
    rng = np.random.default_rng(seed)
    spread = 4.0 ** np.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    return (rng.standard_normal(shape) * spread).astype(np.float32)


def of(values, bits, scheme):
    sample = RangeSample(1)
    sample.add(values)
    return sample.quantizer("v", bits, scheme)


@pytest.mark.parametrize("rule", ["min-max", "percentile", "mse", "entropy"])
def test_a_range_of_each_channel_is_its_own(rule):
    values = channelled()
    found = of(values, 4, Scheme(rule, 99.0, per_channel=True))
    rows = by_channel(values)
    alone = "mse" if rule == "entropy" else rule
    for index, row in enumerate(rows):
        single = of(row, 4, Scheme(alone, 99.0))
        assert (found.scale[index], found.zero_point[index]) == (single.scale[0], single.zero_point[0]), rule
    assert len(found.scale) == values.shape[1]
    assert np.sum((rounded(values, found) - values) ** 2) < np.sum(
        (rounded(values, of(values, 4, Scheme(alone))) - values) ** 2
    )


def test_min_max_is_the_whole_range_and_a_percentile_keeps_its_share():
    values = np.random.default_rng(3).standard_normal((1, 1, 400, 400)).astype(np.float32)
    assert of(values, 5, Scheme("min-max")) == affine("v", [values.min()], [values.max()], 5)
    found = of(values, 5, Scheme("percentile", 95.0))
    step, zero = found.scale[0], found.zero_point[0]
    clipped = (values < -step * zero - step / 2) | (values > step * (found.qmax - zero) + step / 2)
    assert 0.06 < clipped.mean() < 0.11


@pytest.mark.parametrize("bits", [4, 8])
def test_entropy_clips_a_long_tail_and_leaves_flat_values_alone(bits):
    heavy = np.random.default_rng(5).standard_t(3, 50_000).astype(np.float32)
    flat = np.linspace(0, 1, 50_000, dtype=np.float32)
    whole = affine("v", [heavy.min()], [heavy.max()], bits).scale[0]
    assert of(heavy, bits, Scheme("entropy")).scale[0] < 0.8 * whole
    assert of(flat, bits, Scheme("entropy")).scale[0] == pytest.approx(affine("v", [0], [1], bits).scale[0], rel=0.05)


def test_a_channel_keeps_a_bounded_number_of_values():
    sample = RangeSample(4)
    for _ in range(4):
        sample.add(np.zeros((1, 3, 200, 200), np.float32))
    assert sum(part.shape[1] for part in sample._parts) == CHANNEL_VALUES


def test_a_widened_range_is_a_longer_step_and_nothing_else():
    """With entropy coding the step decides the bytes: the same zero, no value clipped, fewer codes used."""
    sample = RangeSample(1)
    array = np.random.default_rng(3).gamma(1.0, 1.0, (1, 8, 16, 16)).astype(np.float32)
    sample.add(array)
    plain = sample.quantizer("v", 4, Scheme("min-max"))
    wide = sample.quantizer("v", 4, Scheme("min-max", widened=1.5))
    assert wide.scale[0] == pytest.approx(1.5 * plain.scale[0], rel=1e-6)
    codes = numeric.quantize(array, wide.scale, wide.zero_point, 4)
    assert codes.max() == round(15 / 1.5)
    back = numeric.dequantize(codes, wide.scale, wide.zero_point)
    assert np.abs(back - array).max() <= wide.scale[0] / 2 * (1 + 1e-5)
    assert str(Scheme("min-max", widened=1.5)) == "min-max x 1.50 per tensor"


# One bit less


def ends(quantizer):
    """Least and largest number that a code stands for, of each channel."""
    scale, zero = np.array(quantizer.scale), np.array(quantizer.zero_point)
    return -zero * scale, (quantizer.qmax - zero) * scale


@pytest.mark.parametrize("bits", range(3, 9))
@pytest.mark.parametrize(("low", "high"), [(0, 6), (-6, 0), (-1, 2), (-128, 127), (-0.01, 3), (-1e3, 0.2)])
def test_one_bit_less_over_the_same_range(low, high, bits):
    found = coarser(affine("v", [low], [high], bits))
    assert (found.name, found.codec, found.bits) == ("v", "packed", bits - 1)
    (width,), (step,) = (ends(found)[1] - ends(found)[0]), found.scale
    assert width == pytest.approx(high - low, rel=1e-6)
    assert step == pytest.approx((high - low) / (2 ** (bits - 1) - 1), rel=1e-6)
    # Zero stays exact, so that the ends may move by half a step together.
    assert 0 <= found.zero_point[0] <= found.qmax
    assert not rounded(np.zeros(3, np.float32), found).any()
    assert abs(ends(found)[0][0] - low) <= step / 2 * (1 + 1e-6) + (high - low) / (2**bits - 1) / 2
    values = np.linspace(low, high, 10_001, dtype=np.float32)
    assert np.abs(rounded(values, found) - values).max() <= 1.6 * step


def test_each_channel_is_made_coarser_by_itself():
    lows, highs = [-1, 0, -5, -0.3], [1, 4, 0, 7]
    found = coarser(affine("v", lows, highs, 6))
    alone = [coarser(affine("v", [low], [high], 6)) for low, high in zip(lows, highs, strict=True)]
    assert found.scale == tuple(one.scale[0] for one in alone)
    assert found.zero_point == tuple(one.zero_point[0] for one in alone)


def test_there_is_nothing_coarser_than_two_bits_and_what_is_raw_stays_so():
    assert coarser(affine("v", [-1], [1], 2)) is None
    raw = quantizer_for(Value("v", "float32", (1, 4)), UNQUANTIZED)
    assert coarser(raw) is raw


def test_from_8_bits_down_to_2_the_range_stays():
    quantizer = affine("v", [0, -1], [6, 3], 8)
    for bits in range(7, 1, -1):
        quantizer = coarser(quantizer)
        assert quantizer.bits == bits
    assert quantizer.scale == pytest.approx((2, 4 / 3), rel=1e-6)
    assert quantizer.zero_point == (0, 1)
