"""What tasks lose under a setting of the online policy: an exit its label's loss, the others that of their precision.

A task that is sent may be sent at any precision from the lowest its score admits on, as the link has time. It is
counted with the worst of them, so that what is promised holds for every course of the bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from coachc.calib.certificate import UnitLosses, by_unit


@dataclass(frozen=True)
class Sent:
    """What tasks of one part of the samples lose when they are sent.

    Attributes
    ----------
    at : callable
        Rung -> loss of each task at that precision, ndarray of shape (tasks,).
    rungs : int
    units : ndarray of int, shape (tasks,)
        The clip of each.
    longest : int
        Tasks of the longest clip of all.
    """

    at: Callable[[int], np.ndarray]
    rungs: int
    units: np.ndarray
    longest: int
    _worst: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def worst(self, rung: int) -> np.ndarray:
        """The largest loss of each task at this precision or a higher one."""
        if rung not in self._worst:
            here = self.at(rung)
            self._worst[rung] = here if rung == self.rungs - 1 else np.maximum(here, self.worst(rung + 1))
        return self._worst[rung]

    @property
    def size(self) -> float:
        """How many units of the longest's length these are."""
        return len(self.units) / self.longest

    def by_unit(self, losses: np.ndarray) -> UnitLosses:
        """Losses of shape (tasks,), gathered by clip."""
        return by_unit(losses[:, None], self.units, self.longest, whole=True)


@dataclass(frozen=True)
class ScoredTasks:
    """One score on one part of the samples.

    Attributes
    ----------
    sent : Sent
    score : ndarray of float, shape (tasks,)
    exit_loss : ndarray of float, shape (tasks,)
        What the score's label loses.
    differs : ndarray of bool, shape (tasks,)
        Whether that label is another one than the model's answer.
    recalled : callable
        (tasks that exit by score, cosine, lowest rung admitted) -> which others end by the memory, and what each of
        those loses.
    """

    sent: Sent
    score: np.ndarray
    exit_loss: np.ndarray
    differs: np.ndarray
    recalled: Callable[[np.ndarray, float, int], tuple[np.ndarray, np.ndarray]] | None = None


@dataclass(frozen=True)
class Setting:
    """What a policy lets tasks do.

    Attributes
    ----------
    base : int
        The rung every task is admitted at.
    exits : float
        Tasks with a higher score exit; inf: none.
    lower : tuple of (int, float)
        Rungs below the base, falling, each with the score above which it is admitted.
    cosine : float
        Tasks nearer than that to one just answered get its answer; inf: none.
    """

    base: int
    exits: float = float("inf")
    lower: tuple[tuple[int, float], ...] = ()
    cosine: float = float("inf")

    @property
    def lowest(self) -> int:
        """The lowest rung any task may be sent at."""
        return min((rung for rung, _ in self.lower), default=self.base)


def losses(tasks: ScoredTasks, setting: Setting) -> np.ndarray:
    """What each task loses at most, shape (tasks,)."""
    lost = tasks.sent.worst(setting.base)
    for rung, score in setting.lower:
        lost = np.where(tasks.score > score, tasks.sent.worst(rung), lost)
    exited = tasks.score > setting.exits
    if np.isfinite(setting.cosine) and tasks.recalled is not None:
        ended, recalled = tasks.recalled(exited, setting.cosine, setting.lowest)
        lost = np.where(ended, recalled, lost)
    return np.where(exited, tasks.exit_loss, lost)
