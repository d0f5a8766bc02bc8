import random

import numpy as np
import pytest

from coachc.runtime.device.sketch import ACCURACY, LEAST_S, MOST_S, Sketch, Summary


def test_without_durations_everything_is_zero():
    assert Sketch().summary() == Summary(0.0, 0.0, 0.0, 0.0)
    assert Sketch().quantile(0.5) == 0.0


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.lognormvariate(-5, 1),
        lambda rng: rng.uniform(0.001, 0.002),
        lambda rng: rng.choice([0.001, 0.1, 10.0]),
        lambda rng: 10 ** rng.uniform(-6, 3),
        lambda rng: 0.0125,
    ],
)
@pytest.mark.parametrize("count", [1, 2, 10, 5000])
def test_quantiles_are_those_of_the_durations(draw, count):
    rng, sketch = random.Random(count), Sketch()
    durations = [draw(rng) for _ in range(count)]
    for seconds in durations:
        sketch.add(seconds)
    assert sketch.count == count
    assert sketch.total_s == pytest.approx(sum(durations))
    ordered = np.sort(durations)
    for share in (0.0, 0.01, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0):
        exact = ordered[int(share * (count - 1))]
        assert sketch.quantile(share) == pytest.approx(exact, rel=1.01 * ACCURACY)
    summary = sketch.summary()
    assert (summary.p50, summary.p95) == tuple(sketch.quantiles([0.5, 0.95]))
    assert summary.mean == pytest.approx(np.mean(durations))


def test_durations_beyond_all_bounds():
    sketch = Sketch()
    for seconds in (0.0, -1.0, 1e-12):
        sketch.add(seconds)
    assert sketch.quantile(1.0) == pytest.approx(LEAST_S, rel=0.01)
    for _ in range(10):
        sketch.add(1e9)
    assert sketch.quantile(0.9) >= 0.98 * MOST_S
