"""One accuracy budget for everything that can go wrong: early exits, lowered precision, and the cut's own precision.

An exit whose label is not the model's counts whole, and so does an answer changed by a precision the score has lowered.
Any other changed answer behind the link counts `CHANGED_LOSS`, as it does for the offline precision. The bound is
Clopper and Pearson's (1934); for counts of two weights it is the scaled Poisson distribution of the same mean and
variance (Bohm and Zech, "Statistics of weighted Poisson events", 2014).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv

from coachc.calib.accuracy import CHANGED_LOSS

CONFIDENCE = 0.95


def upper(events: np.ndarray | float, units: int) -> np.ndarray:
    """One-sided upper bound of a share, from `events` among `units`; events need not be whole."""
    events = np.minimum(np.asarray(events, float), units)
    full = events >= units
    return np.where(full, 1.0, betaincinv(events + 1, np.where(full, 1, units - events), CONFIDENCE))


def joint(exits: np.ndarray, changed: np.ndarray, units: int) -> np.ndarray:
    """Upper bound of the accuracy lost.

    Parameters
    ----------
    exits : ndarray
        Exits with another label than the model's, and answers changed by a lowered precision.
    changed : ndarray
        Offloaded tasks with another answer than the model's.
    units : int
        Samples, or clips where frames of one clip are no independent samples.
    """
    exits, changed = np.asarray(exits, float), np.asarray(changed, float)
    total = exits + CHANGED_LOSS * changed
    scale = np.where(total > 0, (exits + CHANGED_LOSS**2 * changed) / np.maximum(total, 1e-12), 1.0)
    both = scale * upper(total / scale, units)
    return np.maximum.reduce([both, upper(exits, units), CHANGED_LOSS * upper(changed, units)])


def units_to_certify(budget: float) -> int:
    """Fewest samples that can certify a budget, if nothing goes wrong on any of them."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - budget))
