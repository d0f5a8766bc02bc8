"""Small online policies whose numbers can be followed by hand. Python 3.6-clean."""

import numpy as np

from coachc.runtime.online.policy import ExitRule, MemoryRule, Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import Scorer

LABELS = (2, 5, 7)
SIZE = 4


def vector(*numbers):
    return np.array(numbers, dtype=np.float32)


def scorer_of(kind="margin", weights=None, labels=LABELS, bias=None, mean=None, signed=False):
    """Centres along the axes unless told otherwise."""
    weights = np.eye(SIZE, dtype=np.float32)[: len(labels)] if weights is None else np.array(weights, np.float32)
    bias = np.zeros(len(labels), np.float32) if bias is None else vector(*bias)
    mean = np.zeros(weights.shape[1], np.float32) if mean is None else vector(*mean)
    return Scorer(kind, tuple(labels), weights, bias, mean, signed)


def rule_of(scorer=None, thresholds=(0.3, 0.6, 0.9), wrong_share=0.005, band=0.1, band_wrong_share=0.05, counts=10.0):
    scorer = scorer_of() if scorer is None else scorer
    many = 0 if scorer.kind == "head" else len(scorer.labels)
    lengths, counts = np.full(many, 2, np.float32), np.full(many, counts, np.float32)
    return ExitRule(scorer, tuple(thresholds), wrong_share, band, band_wrong_share, lengths, counts)


def memory_of(threshold=0.95, wrong_share=0.005, capacity=8, size=SIZE):
    return MemoryRule(threshold, wrong_share, capacity, np.zeros(size, np.float32))


#: Link times of 2, 4, 8, 16 and 32 s on an endless bandwidth.
RUNGS = tuple(Rung((bits,), 100.0 * bits, float(2**place)) for place, bits in enumerate((2, 3, 4, 6, 8), 1))
ENDLESS = float("inf")


def policy_of(name="default", exits=None, memory=None, base=2, adjust=None):
    """T_e = 5 s and T_c = 3 s."""
    if adjust is None:
        adjust = (0.6, 0.3) + (-float("inf"),) * 3
    return Policy(name, "cut", exits, memory, RUNGS, base, tuple(adjust), device_s=5.0, cloud_s=3.0)


def feature_with_margin(margin):
    """Nearest to the first axis, then to the second: the difference of the two cosines is `margin`."""
    # (1 - x) / sqrt(1 + x^2) = margin; the smaller root of (1 - m^2) x^2 - 2 x + (1 - m^2) = 0.
    rest = 1 - margin**2
    x = (1 - np.sqrt(1 - rest**2)) / rest
    return vector(1, x, 0, 0) / np.float32(np.sqrt(1 + x * x))


def bytes_of(state):
    """All that a stream has learned, as bytes to compare; not the precision it was last sent at."""
    parts = []
    for part in (state.centres, state.memory):
        for _, value in sorted(vars(part).items()) if part is not None else ():
            parts.append(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    tests = (state.climbed, state.exits, state.band, state.memory_exits)
    return b"|".join(parts + [repr(tests).encode()])
