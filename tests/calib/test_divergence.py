"""Divergence of the classes' probabilities, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from coachc.calib.divergence import divergence, log_softmax


@pytest.mark.parametrize("shape", [(1, 5), (3, 10), (2, 4, 1, 1)], ids=str)
def test_is_kullback_and_leiblers(shape):
    rng = np.random.default_rng(0)
    whole, split = (rng.standard_normal(shape).astype(np.float32) * 3 for _ in range(2))
    p, q = (special.softmax(array.reshape(shape[0], -1).astype(float), axis=1) for array in (whole, split))
    assert divergence(whole, split) == pytest.approx(stats.entropy(p, q, axis=1).mean(), rel=1e-5)
    assert divergence(whole, whole) == 0.0


def test_logits_of_any_size_have_logarithms():
    rows = np.float32([[1000, 0, -1000], [-3e38, -3e38, 3e38]])
    assert log_softmax(rows) == pytest.approx(special.log_softmax(rows.astype(float), axis=1))
    assert np.isfinite(log_softmax(rows)).all()
