"""Value ranges of boundary values, and the quantizer each gives at a number of bits.

The range is clipped where that lowers the mean squared error of the rounded values: a few large activations
otherwise cost every other value its resolution. Source of the criterion: Banner et al., "Post training 4-bit
quantization of convolutional networks", 2019 (searched over percentiles here, without their distribution model).
"""

from __future__ import annotations

import numpy as np

from coachc.core.plan import Quantizer
from runtime.bundle import numeric

#: Values kept of each boundary value to choose a range by.
SAMPLE_VALUES = 200_000
#: Share of values, in percent, that a clipped range keeps on each side; 100 is min-max.
PERCENTILES = (100.0, 99.99, 99.9, 99.7, 99.0, 98.0)


class RangeSample:
    """A bounded, evenly drawn sample of one boundary value over the calibration set, with its exact extremes."""

    def __init__(self, samples: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._per_sample = max(SAMPLE_VALUES // max(samples, 1), 16)
        self._parts: list[np.ndarray] = []
        self.low = 0.0
        self.high = 0.0

    def add(self, array: np.ndarray) -> None:
        """Take part of one activation (any shape, float); values that are not finite do not count, they saturate."""
        flat = np.asarray(array, np.float32).ravel()
        finite = np.isfinite(flat)
        if not finite.all():
            flat = flat[finite]
        if flat.size == 0:
            return
        self.low = min(self.low, float(flat.min()))
        self.high = max(self.high, float(flat.max()))
        if flat.size > self._per_sample:
            flat = flat[self._rng.integers(0, flat.size, self._per_sample)]
        self._parts.append(flat.copy())

    def quantizer(self, name: str, bits: int) -> Quantizer:
        """The affine quantizer of least mean squared error among the percentile ranges.

        The range always holds 0, so that zero padding and ReLU zeros are exact.
        """
        values = np.concatenate(self._parts) if self._parts else np.zeros(1, np.float32)
        best: tuple[float, Quantizer] | None = None
        for percentile in PERCENTILES:
            if percentile == 100.0:
                low, high = self.low, self.high
            else:
                low = min(0.0, float(np.percentile(values, 100.0 - percentile)))
                high = max(0.0, float(np.percentile(values, percentile)))
            candidate = affine(name, low, high, bits)
            codes = numeric.quantize(values, candidate.scale, candidate.zero_point, bits)
            error = float(np.mean((numeric.dequantize(codes, candidate.scale, candidate.zero_point) - values) ** 2))
            if best is None or error < best[0]:
                best = error, candidate
        assert best is not None
        return best[1]


def affine(name: str, low: float, high: float, bits: int) -> Quantizer:
    """Uniform affine quantizer of [low, high] (low <= 0 <= high) to `bits` bits.

    Source: COACH section III-B, uniform affine quantization after Krishnamoorthi 2018. A constant zero gets scale 1.
    """
    qmax = 2**bits - 1
    scale = float(np.float32((high - low) / qmax))
    if not scale > 0:
        return Quantizer(name, "packed", bits, 1.0, 0)
    return Quantizer(name, "packed", bits, scale, int(np.clip(round(-low / scale), 0, qmax)))
