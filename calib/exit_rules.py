"""Thresholds of exits and of lowered precision, from calibration samples and one budget.

Thresholds are tried from the most cautious on, each with the bound of everything that goes wrong at it, and the last
before the first that is beyond the budget is taken: testing in a fixed order needs no correction for the number of
tests (Angelopoulos et al., "Learn then test", 2021). Where there are too few samples to certify anything, nothing
exits: with 20 clips of 3 classes, thresholds at which nothing went wrong lost 1 to 2.5 points on clips of other people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.exit_bound import joint, units_to_certify

#: Most exits that may be wrong, a share of the exits: a budget for all tasks would let a handful of exits all be wrong,
#: and they would become more on other pictures.
WRONG_EXITS = 0.1
#: Exits of fewer tasks than this are not worth having.
LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Scores:
    """One score on the samples of one trial.

    Attributes
    ----------
    score : ndarray of float, shape (samples,)
    wrong : ndarray of bool, shape (samples,)
        The score's label is not the model's answer.
    changed : ndarray of bool, shape (samples,)
        The answer behind the link at the base precision is not the model's.
    units : ndarray of int, shape (samples,)
        Which independent unit each belongs to: itself, or its clip.
    """

    score: np.ndarray
    wrong: np.ndarray
    changed: np.ndarray
    units: np.ndarray

    @property
    def unit_count(self) -> int:
        return len(np.unique(self.units))


@dataclass(frozen=True)
class Threshold:
    """Where exits, or a lower precision, begin: above `score`.

    Attributes
    ----------
    score : float
        inf: nowhere.
    share : float
        Of the samples of the hardest trial above it.
    bound : float
        Of the accuracy lost in all, the larger one of the trials.
    units_missing : int
        How many more samples, or clips, it would take to certify the budget at all; 0 if there are enough.
    """

    score: float
    share: float
    bound: float
    units_missing: int = 0


def exit_threshold(trials: Sequence[Scores], budget: float) -> Threshold:
    """The lowest score above which tasks may exit."""
    return _lowest(trials, [trial.wrong for trial in trials], [trial.changed for trial in trials], None, budget)


def precision_threshold(
    trials: Sequence[Scores], lower: Sequence[np.ndarray], exits: float, budget: float
) -> Threshold:
    """The lowest score above which tasks that do not exit may be sent at a lower precision.

    Parameters
    ----------
    trials : sequence of Scores
    lower : sequence of ndarray of bool
        By trial: the answer at the lower precision is not the model's.
    exits : float
        The exits' threshold.
    budget : float
    """
    return _lowest(trials, list(lower), [trial.changed for trial in trials], exits, budget)


def _lowest(
    trials: Sequence[Scores],
    inside: Sequence[np.ndarray],
    outside: Sequence[np.ndarray],
    exits: float | None,
    budget: float,
) -> Threshold:
    """`inside` counts above the threshold (as an exit, or as a change below the exits' threshold), `outside` below."""
    missing = units_to_certify(budget) - min(trial.unit_count for trial in trials)
    if missing > 0:
        return Threshold(float("inf"), 0.0, 0.0, missing)
    candidates = np.unique(np.concatenate([t.score[np.isfinite(t.score)] for t in trials]))[::-1]
    if exits is not None:
        candidates = candidates[candidates < exits]
    ok = np.ones(len(candidates), bool)
    bounds = np.zeros(len(candidates))
    for trial, above, below in zip(trials, inside, outside, strict=True):
        over_exit = np.zeros(len(trial.score), bool) if exits is None else trial.score > exits
        gone = np.zeros(len(candidates)) + _events(trial, trial.wrong & over_exit)
        here = ~over_exit
        wrong = _above(trial, above & here, candidates)
        changed = _below(trial, below & here, candidates)
        # What the score decides counts whole, an exit or a lower precision: it was chosen on these samples.
        bound = joint(gone + wrong, changed, trial.unit_count)
        ok &= bound <= budget
        bounds = np.maximum(bounds, bound)
    # Of those before the first that fails, the lowest at which few of the tasks above are wrong.
    passed = int(np.argmin(ok)) if not ok.all() else len(ok)
    for place in reversed(range(passed)):
        score = float(np.nextafter(np.float32(candidates[place]), np.float32(-np.inf)))
        over = [(trial.score > score) & (True if exits is None else trial.score <= exits) for trial in trials]
        few = all(int((a & o).sum()) <= WRONG_EXITS * int(o.sum()) for a, o in zip(inside, over, strict=True))
        share = float(np.mean(over[-1]))
        if share < LEAST_SHARE:
            break
        if few:
            return Threshold(score, share, float(bounds[place]))
    return Threshold(float("inf"), 0.0, float(bounds[0]) if len(bounds) else 0.0)


def _events(trial: Scores, happened: np.ndarray) -> int:
    """Units in which something happened."""
    return len(np.unique(trial.units[happened]))


def _above(trial: Scores, happened: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Units with an event at or above each candidate (falling)."""
    first: dict[int, float] = {}
    for unit, score in zip(trial.units[happened].tolist(), trial.score[happened].tolist(), strict=True):
        first[unit] = max(first.get(unit, -np.inf), score)
    highest = np.sort(np.array(list(first.values())))
    return len(highest) - np.searchsorted(highest, candidates, side="left")


def _below(trial: Scores, happened: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Units with an event below each candidate."""
    last: dict[int, float] = {}
    for unit, score in zip(trial.units[happened].tolist(), trial.score[happened].tolist(), strict=True):
        last[unit] = min(last.get(unit, np.inf), score)
    lowest = np.sort(np.array(list(last.values())))
    return np.searchsorted(lowest, candidates, side="left")
