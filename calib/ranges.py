"""Value ranges of boundary values, and the quantizer each gives at a number of bits.

A range is a rule applied to the whole tensor or to each channel. Rules only propose: which one is taken is decided by
the loss and the bytes that are measured with it (`calib.refine`). Quantizers are affine: every target computes them by
arithmetic at the edge of its half, so none needs symmetric ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coachc.core.plan import MIN_BITS, Quantizer
from coachc.runtime.bundle import numeric

#: Values kept of each boundary value, over all channels, and of one channel at most.
SAMPLE_VALUES = 500_000
CHANNEL_VALUES = 4096
#: Share of values, in percent, that a clipped range keeps on each side; 100 is min-max.
PERCENTILES = (100.0, 99.99, 99.9, 99.7, 99.0, 98.0)
#: Bins of the histogram that entropy clipping looks at.
BINS = 1024


@dataclass(frozen=True, slots=True)
class Scheme:
    """How ranges are chosen; see `RangeSample.quantizer`.

    Attributes
    ----------
    rule : str
        "min-max" (the paper's); "percentile" (of the values, on each side); "mse" (the percentile of least mean
        squared error: Banner et al., "Post training 4-bit quantization of convolutional networks", 2019, searched
        instead of derived from a distribution); "entropy" (least Kullback-Leibler divergence between the values'
        histogram and its quantized form: Migacz, "8-bit inference with TensorRT", 2017).
    percentile : float
        Of rule "percentile".
    per_channel : bool
        One range for each index of axis 1; "entropy" then means "mse", since a channel's histogram is too thin.
    widened : float
        The range is this many times as wide. With entropy coding it is the step that costs bytes, not the number of
        codes: codes at the ends that nothing uses are free, and steps between those of two numbers of bits are had.
    """

    rule: str = "mse"
    percentile: float = 99.9
    per_channel: bool = False
    widened: float = 1.0

    def __str__(self) -> str:
        rule = f"{self.percentile:g}th percentile" if self.rule == "percentile" else self.rule
        wider = f" x {self.widened:.2f}" if self.widened != 1 else ""
        return f"{rule}{wider} {'per channel' if self.per_channel else 'per tensor'}"


#: Ranges of the search over cuts; the cut that wins is refined over all of them.
DEFAULT_SCHEME = Scheme()


class RangeSample:
    """A bounded, evenly drawn sample of one boundary value over the calibration set, with its exact extremes.

    Parameters
    ----------
    samples : int
        Activations that will be added at most.
    seed : int

    Attributes
    ----------
    finite : bool
        Whether all that was added is; no code stands for an infinity, such as those of an attention mask.
    """

    def __init__(self, samples: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._samples = max(samples, 1)
        self.finite = True
        self._parts: list[np.ndarray] = []
        self._low: np.ndarray | None = None
        self._high: np.ndarray | None = None

    def add(self, array: np.ndarray) -> None:
        """Take part of one activation (any shape, float); values that are not finite count as 0."""
        if array.size == 0:
            return
        rows = by_channel(np.asarray(array, np.float32))
        finite = np.isfinite(rows)
        self.finite = self.finite and bool(finite.all())
        rows = np.where(finite, rows, np.float32(0))
        low, high = np.minimum(rows.min(axis=1), 0), np.maximum(rows.max(axis=1), 0)
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)
        most = SAMPLE_VALUES if len(rows) == 1 else min(SAMPLE_VALUES // len(rows), CHANNEL_VALUES)
        most = max(most // self._samples, 1)
        if rows.shape[1] > most:
            rows = rows[:, self._rng.integers(0, rows.shape[1], most)]
        self._parts.append(rows.copy())

    @property
    def channels(self) -> int:
        """Length of axis 1, or 1 where there is none."""
        return 1 if self._low is None else len(self._low)

    def quantizer(self, name: str, bits: int, scheme: Scheme = DEFAULT_SCHEME) -> Quantizer:
        """The affine quantizer of one scheme.

        The range always holds 0, so that zero padding and ReLU zeros are exact.

        Parameters
        ----------
        name : str
        bits : int
        scheme : Scheme
        """
        if self._low is None or self._high is None:
            return affine(name, [0.0], [0.0], bits)
        low, high = self._range(name, bits, scheme)
        return affine(name, low * scheme.widened, high * scheme.widened, bits)

    def _range(self, name: str, bits: int, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
        assert self._low is not None
        assert self._high is not None
        values = np.concatenate(self._parts, axis=1)
        low, high = self._low, self._high
        rule, per_channel = scheme.rule, scheme.per_channel
        if not per_channel:
            values, low, high = values.reshape(1, -1), low.min(keepdims=True), high.max(keepdims=True)
        if rule == "min-max":
            return low, high
        if rule == "percentile":
            return _clipped(values, low, high, scheme.percentile)
        if rule == "entropy" and not per_channel:
            return _least_divergence(values[0], low, high, bits)
        return _least_error(name, values, low, high, bits)


def by_channel(array: np.ndarray) -> np.ndarray:
    """Values of each index of axis 1, shape (channels, values); everything as one channel below rank 2."""
    if array.ndim < 2:
        return array.reshape(1, -1)
    return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)


def affine(name: str, low: np.ndarray | list[float], high: np.ndarray | list[float], bits: int) -> Quantizer:
    """Uniform affine quantizer of [low, high] (low <= 0 <= high) to `bits` bits, one range or one per channel.

    Source: COACH section III-B, uniform affine quantization after Krishnamoorthi 2018. A constant zero gets scale 1.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    qmax = 2**bits - 1
    scale = ((high - low) / qmax).astype(np.float32).astype(np.float64)
    constant = ~(scale > 0)
    scale = np.where(constant, 1.0, scale)
    zero_point = np.where(constant, 0, np.clip(np.rint(-low / scale), 0, qmax)).astype(int)
    return Quantizer(name, "packed", bits, tuple(scale.tolist()), tuple(zero_point.tolist()))


def _clipped(values: np.ndarray, low: np.ndarray, high: np.ndarray, percentile: float) -> tuple[np.ndarray, np.ndarray]:
    """Ranges that keep `percentile` of each row's values on each side."""
    if percentile >= 100.0:
        return low, high
    below, above = np.percentile(values, [100.0 - percentile, percentile], axis=1)
    return np.minimum(below, 0.0), np.maximum(above, 0.0)


def _least_error(
    name: str, values: np.ndarray, low: np.ndarray, high: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the percentile range of least mean squared error."""
    best_low, best_high = low.astype(np.float64), high.astype(np.float64)
    least = np.full(len(values), np.inf)
    for percentile in PERCENTILES:
        lows, highs = _clipped(values, low, high, percentile)
        candidate = affine(name, lows, highs, bits)
        rows = values.T  # channels on axis 1, where `numeric` has them
        codes = numeric.quantize(rows, candidate.scale, candidate.zero_point, bits)
        error = np.mean((numeric.dequantize(codes, candidate.scale, candidate.zero_point) - rows) ** 2, axis=0)
        better = error < least
        least = np.where(better, error, least)
        best_low, best_high = np.where(better, lows, best_low), np.where(better, highs, best_high)
    return best_low, best_high


def _least_divergence(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """The range, both ends shrunk alike, whose quantized histogram is nearest to the values' own."""
    counts, edges = np.histogram(values, BINS, (float(low[0]), float(high[0]) or 1e-12))
    best, chosen = np.inf, 1.0
    for share in np.linspace(0.1, 1.0, 46):
        inside = (edges[:-1] >= low[0] * share) & (edges[1:] <= high[0] * share)
        kept = counts[inside].astype(float)
        if kept.sum() == 0 or len(kept) < 2**bits:
            continue
        # What is clipped sits in the end bins of the values' histogram and in none of the quantized one.
        folded = kept.copy()
        first, last = np.flatnonzero(inside)[[0, -1]]
        folded[0] += counts[:first].sum()
        folded[-1] += counts[last + 1 :].sum()
        coarse = np.empty(len(kept))
        for group in np.array_split(np.arange(len(kept)), 2**bits):
            used = kept[group] > 0
            coarse[group] = np.where(used, kept[group].sum() / max(used.sum(), 1), 0.0)
        p, q = folded / folded.sum(), coarse / coarse.sum()
        divergence = float(np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-30) / np.maximum(q, 1e-30)), 0.0)))
        if divergence < best:
            best, chosen = divergence, float(share)
    return low * chosen, high * chosen


def coarser(quantizer: Quantizer) -> Quantizer | None:
    """The same range with one bit less; None where there is no such precision, itself where it is raw."""
    if not quantizer.packed:
        return quantizer
    if quantizer.bits <= MIN_BITS:
        return None
    most = 2 ** (quantizer.bits - 1) - 1
    wider = quantizer.qmax / most
    zero_point = tuple(min(round(point / wider), most) for point in quantizer.zero_point)
    return Quantizer(
        quantizer.name, quantizer.codec, quantizer.bits - 1, tuple(s * wider for s in quantizer.scale), zero_point
    )
