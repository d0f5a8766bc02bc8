"""What kept-back samples prove of a mean loss: one-sided tests of a budget, and the bounds they give.

A unit is what is independent of all others: a sample, or a whole clip of them. Each loses between -1 and 1 a task, and
weighs as many tasks as it holds, in those of the longest unit. How a loss is tested is settled by other samples than
those it is tested on; then each test errs with at most its level, at any number of units:

- the exact binomial test of how many units lose, where units are single tasks that lose all or nothing (Clopper and
  Pearson, 1934);
- a bet against the budget: the capital `prod(1 + stake (budget weight - lost))` has a mean of at most 1 where the mean
  loss is the budget or more, so it exceeds 1 / level with a probability of at most the level (Waudby-Smith and Ramdas,
  "Estimating means of bounded random variables by betting", 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

#: What a promise may err with, all its parts together.
LEVEL = 0.05
#: Stakes tried. At 1 and more a single whole loss could take all of the capital.
STAKES = np.append(np.geomspace(0.01, 0.9, 40), 0.999)
_HALVINGS = 50


@dataclass(frozen=True)
class UnitLosses:
    """What independent units lost.

    Attributes
    ----------
    lost : ndarray of float, shape (units, measures)
        Sum over a unit's tasks by the tasks of the longest unit: between -weight and weight. Several measures, such as
        a model's outputs, are each held to the budget.
    weight : ndarray of float, shape (units,)
        Tasks by those of the longest unit, in (0, 1].
    whole : bool
        Units of one task each, which loses -1, 0 or 1: what the binomial test is for.
    """

    lost: np.ndarray
    weight: np.ndarray
    whole: bool = False

    def __add__(self, others: UnitLosses) -> UnitLosses:
        """These units and others."""
        lost, weight = np.concatenate([self.lost, others.lost]), np.concatenate([self.weight, others.weight])
        return UnitLosses(lost, weight, self.whole and others.whole)

    @property
    def means(self) -> np.ndarray:
        """Loss a task, by measure."""
        return self.lost.sum(axis=0) / max(float(self.weight.sum()), 1e-12)

    @property
    def worst(self) -> int:
        """The measure that lost most."""
        return int(self.means.argmax())

    @property
    def size(self) -> float:
        """How many units of full weight these are."""
        return float(self.weight.sum())


def by_unit(losses: np.ndarray, units: np.ndarray, longest: int, *, whole: bool) -> UnitLosses:
    """Losses of tasks gathered into units.

    Parameters
    ----------
    losses : ndarray of float, shape (tasks, measures)
    units : ndarray of int, shape (tasks,)
    longest : int
        Tasks of the longest unit there may be.
    whole : bool
        A task loses -1, 0 or 1, nothing between.
    """
    _, places = np.unique(units, return_inverse=True)
    counts = np.bincount(places)
    lost = np.stack([np.bincount(places, measure) for measure in losses.T], axis=1)
    return UnitLosses(lost / longest, counts / longest, whole and longest == 1)


@dataclass(frozen=True)
class LossTest:
    """How each measure is tested; settled before its losses are looked at.

    Attributes
    ----------
    stakes : tuple of float or None
        By measure: what is bet of the capital; None for the binomial test.
    level : float
    """

    stakes: tuple[float | None, ...]
    level: float

    def proves(self, kept: UnitLosses, budget: float) -> bool:
        """Whether every measure's mean loss is below the budget, erring with at most the level."""
        return all(
            _evidence(kept.lost[:, place], kept.weight, stake, budget) >= -math.log(self.level)
            for place, stake in enumerate(self.stakes)
        )

    def bound(self, kept: UnitLosses) -> float:
        """The least budget that these losses prove, in [0, 1]: an upper bound of the worst measure's mean loss."""
        return max(
            _bound(kept.lost[:, place], kept.weight, stake, self.level) for place, stake in enumerate(self.stakes)
        )


def choose_test(seen: UnitLosses, kept_size: float, budget: float, level: float = LEVEL) -> LossTest:
    """The test that promises most for samples yet to be looked at, by what others like them lost.

    Parameters
    ----------
    seen : UnitLosses
    kept_size : float
        Units of full weight that are kept back.
    budget : float
        Admissible mean loss of a task.
    level : float
    """
    return LossTest(tuple(_promise(seen, place, kept_size, budget)[1] for place in range(seen.lost.shape[1])), level)


def expects_proof(seen: UnitLosses, kept_size: float, budget: float, level: float = LEVEL) -> bool:
    """Whether so many units more, if they lose as those seen do, would prove every measure's loss."""
    promises = (_promise(seen, place, kept_size, budget)[0] for place in range(seen.lost.shape[1]))
    return all(promise >= -math.log(level) for promise in promises)


def binomial_bound(events: np.ndarray | float, units: int, level: float = LEVEL) -> np.ndarray:
    """Clopper and Pearson's upper bound of a share, from `events` among `units`; events need not be whole."""
    events = np.minimum(np.asarray(events, float), units)
    full = events >= units
    return np.where(full, 1.0, betaincinv(events + 1, np.where(full, 1, units - events), 1 - level))


def paired_loss_bound(worse: int, better: int, units: int, level: float = LEVEL) -> float:
    """Upper bound of the accuracy lost by paired answers, where no other samples tell how to bet on them.

    Half of the level goes to a bound of how many answers get worse, half to how many get better (Clopper and Pearson).
    """
    most_worse = float(binomial_bound(worse, units, level / 2))
    least_better = 1 - float(binomial_bound(units - better, units, level / 2))
    return most_worse - least_better


def units_to_certify(budget: float, level: float = LEVEL, *, whole: bool = True) -> int:
    """Fewest units of full weight that can prove a budget, if none of them loses anything; by a bet unless `whole`."""
    growth = -math.log1p(-budget) if whole else math.log1p(float(STAKES[-1]) * budget)
    return math.ceil(-math.log(level) / growth)


def units_needed(seen: UnitLosses, budget: float, level: float = LEVEL) -> int | None:
    """About how many units of full weight prove a budget if they lose as those seen do; None where none would."""
    most = 1
    for place in range(seen.lost.shape[1]):
        growth = max(_growth(seen.lost[:, place], seen.weight, budget).max(), 0.0) * len(seen.weight) / seen.size
        if growth <= 0:
            return None
        most = max(most, math.ceil(-math.log(level) / growth))
    return max(most, units_to_certify(budget, level, whole=seen.whole))


def _promise(seen: UnitLosses, place: int, kept_size: float, budget: float) -> tuple[float, float | None]:
    """Evidence to expect of the better test of one measure, and its stake."""
    lost, weight = seen.lost[:, place], seen.weight
    growth = _growth(lost, weight, budget)
    # As if one more unit had lost twice the most that any did: a stake that a single loss ruins proves nothing.
    most = min(max(2 * float(lost.max(initial=0.0)), 0.0), 1.0)
    stake = int((growth * len(weight) + np.log1p(STAKES * (budget - most))).argmax())
    kept = kept_size * len(weight) / seen.size
    bet = (float(growth[stake]) * kept, float(STAKES[stake]))
    if not seen.whole:
        return bet
    exact = (_binomial_evidence(float((lost > 0).sum()) * kept / len(weight), kept, budget), None)
    return exact if exact[0] >= bet[0] or not (lost < 0).any() else bet


def _growth(lost: np.ndarray, weight: np.ndarray, budget: float) -> np.ndarray:
    """Mean growth of the capital's logarithm a unit, by stake."""
    gains = budget * weight - lost
    values, counts = np.unique(gains, return_counts=True)
    return np.log1p(STAKES[:, None] * values) @ counts / len(gains)


def _evidence(lost: np.ndarray, weight: np.ndarray, stake: float | None, budget: float) -> float:
    """Minus the logarithm of what a budget is disproved with, at most, where it is the mean loss."""
    if stake is None:
        return _binomial_evidence(float((lost > 0).sum()), len(lost), budget)
    return float(np.log1p(stake * (budget * weight - lost)).sum())


def _binomial_evidence(events: float, units: float, budget: float) -> float:
    if events >= units:
        return 0.0
    return -math.log(max(float(betainc(units - events, events + 1, 1 - budget)), 1e-300))


def _bound(lost: np.ndarray, weight: np.ndarray, stake: float | None, level: float) -> float:
    if stake is None:
        return float(binomial_bound(float((lost > 0).sum()), len(lost), level))
    needed = -math.log(level)
    if _evidence(lost, weight, stake, 1.0) < needed:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # The same stake at every budget: the capital then rises with the budget, and the bound is one number.
        if _evidence(lost, weight, stake, middle) >= needed:
            high = middle
        else:
            low = middle
    return high
