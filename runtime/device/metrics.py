"""Summaries of stage times."""

from typing import NamedTuple, Sequence

import numpy as np


class Summary(NamedTuple):
    """Mean and percentiles, in the unit of the samples; all 0 without samples."""

    mean: float
    p50: float
    p95: float
    p99: float


def summarize(samples: Sequence[float]) -> Summary:
    """Mean, median, 95th and 99th percentile (linear between neighbours, as numpy does)."""
    if not samples:
        return Summary(0.0, 0.0, 0.0, 0.0)
    p50, p95, p99 = np.percentile(samples, [50, 95, 99])
    return Summary(mean(samples), float(p50), float(p95), float(p99))


def mean(samples: Sequence[float]) -> float:
    """Arithmetic mean; 0 without samples."""
    return float(np.mean(samples)) if samples else 0.0
