"""How far an output is from the whole model's: nothing for itself, about 1 for what is constant or random."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.output_scale import FLAT, NEAR_MEAN, column_axis, scales_of


def scale_of(samples):
    """The scale of one output."""
    return scales_of(lambda: ([sample] for sample in samples))[0]


def mean_distance(samples, split):
    """Mean over some samples of how far `split(sample, index)` is from each."""
    scale = scale_of(samples)
    return float(np.mean([scale.distance(one, split(one, place)) for place, one in enumerate(samples)]))


SHAPES = [(1, 136), (1, 50, 7), (1, 7, 50), (1, 3, 8, 8), (40,), (1, 2, 3, 4, 5)]


def drawn(shape, count=60, seed=0):
    """Samples around a mean that is far from zero, each number with a mean of its own."""
    rng = np.random.default_rng(seed)
    return list((rng.normal(20, 5, shape) + rng.standard_normal((count, *shape))).astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestOfAnyShape:
    def test_itself_is_no_distance(self, shape):
        assert mean_distance(drawn(shape), lambda one, place: one.copy()) == 0.0

    def test_the_mean_of_all_is_at_one(self, shape):
        samples = drawn(shape)
        mean = np.mean(samples, axis=0)
        assert mean_distance(samples, lambda one, place: mean) == pytest.approx(1.0, abs=0.02)

    def test_another_samples_output_is_at_about_one(self, shape):
        samples = drawn(shape)
        # Two independent deviations from the mean: the root of 2.
        shuffled = mean_distance(samples, lambda one, place: samples[(place + 1) % 60])
        assert shuffled == pytest.approx(2**0.5, rel=0.15)

    def test_half_the_deviation_is_at_a_half(self, shape):
        samples = drawn(shape)
        mean = np.mean(samples, axis=0)
        assert mean_distance(samples, lambda one, place: (one + mean) / 2) == pytest.approx(0.5, abs=0.02)


def boxes(count=40, seed=0):
    """Outputs (1, 200, 5): four pixel coordinates below 640 and a score below 1."""
    rng = np.random.default_rng(seed)
    return list(np.concatenate([rng.uniform(0, 640, (count, 1, 200, 4)), rng.random((count, 1, 200, 1))], axis=-1))


@pytest.mark.parametrize("turned", [False, True])
def test_a_score_beside_coordinates_is_seen(turned):
    """Random scores beside exact coordinates: without a scale of its own that column would be 0.1 % of the output."""
    rng = np.random.default_rng(1)

    def spoilt(one, place):
        split = one.copy()
        split[..., 4] = rng.random(split.shape[:-1])
        return split

    samples = boxes()
    if turned:
        found = mean_distance(
            [one.swapaxes(1, 2) for one in samples], lambda one, place: spoilt(samples[place], 0).swapaxes(1, 2)
        )
    else:
        found = mean_distance(samples, spoilt)
    # A fifth of the columns is off by the root of 2 of its deviation.
    assert found == pytest.approx((2 / 5) ** 0.5, rel=0.05)


def test_landmarks_of_which_one_is_right():
    rng = np.random.default_rng(2)
    samples = list(rng.uniform(0, 1, (80, 1, 136)))

    def random_but_one(one, place):
        split = rng.uniform(0, 1, one.shape)
        split[0, 0] = one[0, 0]
        return split

    assert min(mean_distance(samples, random_but_one), 1.0) == 1.0


def map_with_a_faint_channel(count=40):
    rng = np.random.default_rng(3)
    maps = rng.standard_normal((count, 1, 16, 12, 12))
    maps[:, :, 5] *= 1e-4
    return list(maps)


def test_a_channel_of_a_map_that_is_nearly_dead_does_not_decide():
    def spoilt(one, place):
        split = one.copy()
        split[:, 5] = 0
        return split

    assert mean_distance(map_with_a_faint_channel(), spoilt) < 1e-4


def test_a_channel_of_a_map_that_is_alive_counts_by_its_share():
    def spoilt(one, place):
        split = one.copy()
        split[:, 3] = 0
        return split

    assert mean_distance(map_with_a_faint_channel(), spoilt) == pytest.approx((1 / 15) ** 0.5, rel=0.05)


def test_a_column_that_hardly_varies_is_held_to_a_share_of_its_values():
    """100 with a noise of 0.001 beside a standard normal: its noise is none of the output's loss."""
    rng = np.random.default_rng(4)
    samples = list(np.stack([100 + 0.001 * rng.standard_normal(50), rng.standard_normal(50)], axis=1)[:, None])
    noisy = mean_distance(samples, lambda one, place: one + np.array([[0.001, 0]]))
    assert noisy < 0.01
    off = mean_distance(samples, lambda one, place: one + np.array([[100 * FLAT, 0]]))
    assert off > 0.5


def test_a_column_that_is_always_zero_does_not_decide():
    rng = np.random.default_rng(5)
    samples = list(np.concatenate([rng.standard_normal((50, 1, 9)), np.zeros((50, 1, 1))], axis=2))
    assert mean_distance(samples, lambda one, place: one + 1e-6) < 0.01


def test_a_sample_near_the_mean_is_held_to_a_share_of_the_usual_distance():
    samples = drawn((1, 100))
    scale = scale_of(samples)
    near = scale.mean + 1e-6
    moved = near + 0.01 * scale.spread
    assert scale.distance(near, near) == 0.0
    assert scale.distance(near, moved) == pytest.approx(0.01 / NEAR_MEAN, rel=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_infinitely_far_where_the_whole_models_is_one(bad):
    samples = drawn((1, 30))
    split = samples[0].copy()
    split[0, 3] = bad
    assert scale_of(samples).distance(samples[0], split) == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_in_the_whole_models_output_is_left_out(bad):
    samples = drawn((1, 30))
    for one in samples[::2]:
        one[0, 3] = bad
    scale = scale_of(samples)
    assert np.isfinite(scale.mean).all()
    assert np.isfinite(scale.spread).all()
    assert scale.distance(samples[0], samples[0]) == 0.0
    other = samples[0].copy()
    other[0, 3] = 5.0
    assert scale.distance(samples[0], other) == 0.0
    other[0, 4] += 100.0
    assert scale.distance(samples[0], other) > 1
    nothing = np.full((1, 30), bad, np.float32)
    assert scale.distance(nothing, samples[0]) == 0.0


def test_another_shape_is_infinitely_far():
    scale = scale_of(drawn((1, 30)))
    assert scale.distance(np.zeros((1, 30)), np.zeros((1, 29))) == np.inf
    assert scale.distance(np.zeros((1, 30)), np.zeros((30,))) == np.inf


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_integers_are_told_apart_by_how_many_differ(dtype):
    samples = [(np.arange(20) % 2).astype(dtype).reshape(1, 20) for _ in range(5)]
    scale = scale_of(samples)
    split = samples[0].copy()
    split[0, :3] = 1 - split[0, :3]
    assert scale.exact
    assert scale.distance(samples[0], split) == pytest.approx(3 / 20)
    assert scale.distance(samples[0], samples[0]) == 0.0
    far = samples[0].astype("int64") + 1000
    assert scale.distance(samples[0], far) == 1.0


def test_one_sample_is_measured_from_zero():
    sample = np.array([[3.0, -4.0]])
    scale = scale_of([sample])
    assert scale.distance(sample, np.zeros((1, 2))) == pytest.approx(1.0)
    assert scale.distance(sample, 0.9 * sample) == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(), (0,), (1, 0), (1, 0, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_outputs_with_one_number_or_none(shape, dtype):
    samples = [np.full(shape, place, dtype) for place in range(5)]
    scale = scale_of(samples)
    assert scale.distance(samples[1], samples[1]) == 0.0
    assert (scale.distance(samples[0], samples[4]) > 0.9) == (shape == ())


def test_halves_do_not_overflow():
    samples = [np.full((1, 3), value, np.float16) for value in (60000, -60000, 30000)]
    scale = scale_of(samples)
    assert scale.distance(samples[0], samples[0]) == 0.0
    assert 1 < scale.distance(samples[0], samples[1]) < 5


@pytest.mark.parametrize("lead", [(), (1,), (1, 1)], ids=str)
def test_rows_whose_number_varies_are_measured_by_column(lead):
    """Boxes that were found: coordinates below 640, a score below 1; some samples have none."""
    rng = np.random.default_rng(8)
    counts = [0, *rng.integers(0, 30, 60)]
    found = [np.concatenate([rng.uniform(0, 640, (n, 4)), rng.random((n, 1))], axis=1) for n in counts]
    samples = [rows.reshape(*lead, *rows.shape) for rows in found]
    scale = scale_of(samples)
    some = max(samples, key=np.size)
    assert scale.distance(samples[0], samples[0]) == scale.distance(some, some) == 0.0
    scores, coordinates = some.copy(), some.copy()
    scores[..., 4] += 0.29
    coordinates[..., 0] += 185.0
    # Each by about its own standard deviation, of one column in five.
    assert scale.distance(some, scores) == pytest.approx(5**-0.5, rel=0.2)
    assert scale.distance(some, coordinates) == pytest.approx(5**-0.5, rel=0.2)
    # One box more is another answer altogether.
    assert scale.distance(some, np.concatenate([some, some[..., :1, :]], axis=-2)) == np.inf


def test_where_the_last_axis_varies_all_has_one_scale():
    rng = np.random.default_rng(9)
    samples = [rng.normal(10, 3, (1, n)) for n in (4, 7, 0, 5)]
    scale = scale_of(samples)
    assert scale.distance(samples[1], samples[1] + 3) == pytest.approx(1.0, rel=0.5)


def test_every_output_has_its_own_scale():
    rng = np.random.default_rng(6)
    pairs = [[rng.standard_normal((1, 4)), 1000 * rng.standard_normal((1, 4))] for _ in range(50)]
    small, large = scales_of(lambda: iter(pairs))
    for scale, place, expected in ((small, 0, 1.0), (large, 1, 0.001)):
        distances = [scale.distance(pair[place], pair[place] + 1.0) for pair in pairs]
        assert np.median(distances) == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1, 136), 1), ((8, 5), 1), ((1, 8400, 85), 2), ((1, 85, 8400), 1), ((1, 7, 7), 2), ((1, 3, 8, 8), None)]
    + [((5,), None), ((), None), ((1, 2, 3, 4, 5), None)],
)
def test_columns(shape, axis):
    assert column_axis(shape) == axis
