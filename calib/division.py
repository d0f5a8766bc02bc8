"""Which samples precision is chosen on and which are kept back to prove what it loses.

Whoever chooses among many cuts, precisions and thresholds takes what was lucky on the samples, so the same samples
prove nothing of it. Units that resemble each other, the frames of a clip or the rows of a batch, stay together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from coachc.calib.certificate import LEVEL, units_to_certify

#: Of the units that could prove a budget without one loss, how many are kept back: so that a few may be lost.
ROOM = 1.35
#: Shares kept back, as a rule and where there are few.
KEPT, MOST_KEPT = 1 / 2, 2 / 3


@dataclass(frozen=True)
class Division:
    """Samples in two parts.

    Attributes
    ----------
    units : ndarray of int, shape (samples,)
        Which independent unit each belongs to.
    kept : ndarray of bool, shape (samples,)
        Kept back; none where there are too few to prove anything.
    longest : int
        Samples of the longest unit.
    missing : int
        How many more units of the longest's length would do; 0 where there are enough.
    budget_units : int
        Units of the longest's length that can prove the budget if none of them loses anything.
    """

    units: np.ndarray
    kept: np.ndarray
    longest: int
    missing: int
    budget_units: int

    @property
    def proves(self) -> bool:
        """Whether any samples are kept back."""
        return self.missing == 0

    @property
    def kept_size(self) -> float:
        """Units of the longest's length that are kept back."""
        return float(self.kept.sum()) / self.longest

    def samples_for(self, units: int) -> int:
        """How many samples in all would keep back so many units of the longest's length."""
        least = self.budget_units * ROOM
        return math.ceil(units * self.longest / (MOST_KEPT if units <= least else KEPT))


def undivided(samples: int, groups: np.ndarray | None) -> Division:
    """All samples seen: to measure on, not to prove anything."""
    units = _units(samples, groups)
    return Division(units, np.zeros(samples, bool), int(np.bincount(units).max()), samples, samples)


def divide(
    samples: int,
    groups: np.ndarray | None,
    budget: float,
    *,
    whole: bool = True,
    seed: int = 0,
    level: float = LEVEL,
) -> Division:
    """Units at random, until the part that is kept back is large enough.

    Parameters
    ----------
    samples : int
    groups : ndarray of int, shape (samples * rows,), or None
        The clip of each row.
    budget : float
    whole : bool
        A sample loses all or nothing (`calib.certificate.UnitLosses`).
    seed : int
    level : float

    Returns
    -------
    Division
        Half is kept back, or up to two thirds where that takes it to `ROOM` times the least that can prove the budget.
    """
    units = _units(samples, groups)
    counts = np.bincount(units)
    longest = int(counts.max())
    fewest = units_to_certify(budget, level, whole=whole and longest == 1)
    least = fewest * longest
    target = max(KEPT * samples, min(MOST_KEPT * samples, ROOM * least))
    order = np.random.default_rng(seed).permutation(len(counts))
    tasks = np.cumsum(counts[order])
    # The last one that fits: what is chosen on must not become less than a third.
    taken = int(np.searchsorted(tasks, target + 1e-9, side="right"))
    if not taken or tasks[taken - 1] < least:
        needed = math.ceil(least / MOST_KEPT) + 2 * longest * (longest > 1)
        missing = max(math.ceil((needed - samples) / longest), 1)
        return Division(units, np.zeros(samples, bool), longest, missing, fewest)
    return Division(units, np.isin(units, order[:taken]), longest, 0, fewest)


def _units(samples: int, groups: np.ndarray | None) -> np.ndarray:
    """Samples that share a clip, directly or through others, are one unit; in the order of their first samples."""
    if groups is None:
        return np.arange(samples)
    rows = len(groups) // samples
    clips, of_row = np.unique(groups[: samples * rows], return_inverse=True)
    of_sample = np.repeat(np.arange(samples), rows)
    nodes = samples + len(clips)
    edges = coo_matrix((np.ones(len(of_row), bool), (of_sample, samples + of_row)), (nodes, nodes))
    _, component = connected_components(edges, directed=False)
    _, first, units = np.unique(component[:samples], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[units]
