"""What is proven of an ordered list of settings, each bolder than the one before, by samples that chose none of them.

Hypotheses tested in an order that was fixed before need no correction for their number: each at the full level, until
the first that is not proven (Angelopoulos et al., "Learn then test", 2021; for losses that only grow along the list
these are the risk-controlling sets of Bates et al., 2021). One list holds all that one promise is about: precisions,
thresholds of early exits, lowered precisions, the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coachc.calib.certificate import UnitLosses, choose_test


@dataclass(frozen=True)
class Step:
    """A setting's losses: on the samples that are seen, which settle how it is tested, and on those kept back.

    `also` is what has to hold beside what is proven.
    """

    seen: Callable[[], UnitLosses]
    kept: Callable[[], UnitLosses]
    also: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Proof:
    """What a walk proved.

    Attributes
    ----------
    steps : int
        Settings proven: the first so many of the list.
    bound : float
        What the last of them loses at most. Where the walk ended before the list did, that is the budget itself; where
        it proved nothing, what the first setting loses at most, which is more than the budget.
    """

    steps: int
    bound: float


def walk(steps: Sequence[Step], budget: float, level: float) -> Proof:
    """Test settings in order until one is not proven to lose less than the budget.

    With a probability of at most `level` any of the settings proven loses the budget or more, or the bound is wrong.
    """
    assert steps
    bound = budget
    for place, step in enumerate(steps):
        kept = step.kept()
        test = choose_test(step.seen(), kept.size, budget, level)
        if not test.proves(kept, budget) or not step.also():
            return Proof(place, max(test.bound(kept), budget) if place == 0 else budget)
        if place == len(steps) - 1:
            # Nothing is left to test: the same test at ever smaller budgets goes on the list.
            bound = min(test.bound(kept), budget)
    return Proof(len(steps), bound)
