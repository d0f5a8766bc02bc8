"""Standard normal calibration data for a model's inputs, drawn from one seed."""

from __future__ import annotations

import numpy as np

from coachc.calib.dataset import Dataset


def noise_dataset(inputs, *, samples=500, labels=None, seed=0, scale=1.0) -> Dataset:
    rng = np.random.default_rng(seed)
    feeds = [{v.name: (rng.standard_normal(v.shape) * scale).astype(v.dtype) for v in inputs} for _ in range(samples)]
    return Dataset("unlabelled" if labels is None else "labels", samples, labels, None, feeds)
