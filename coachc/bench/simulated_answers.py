"""Answers of models that do not exist: a large population of tasks of which every precision's true loss is known.

Tasks come in units, single or clips. At each cut and rule of ranges a task has one number u between 0 and 1, which is
lost at a precision where u lies below that precision's probability of a loss: losses grow with fewer bits, as with real
networks, and are independent between cuts and rules, so that a search over many of them finds lucky ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coachc.core.plan import MAX_BITS, MIN_BITS

#: Probability of a loss by bits, 8 first, in budgets. "edge": every precision loses just more than may be lost.
#: "slope": 5 bits do, more bits less.
PROFILES = {
    "edge": (1.01, 1.02, 1.04, 1.1, 1.3, 2.0, 10.0),
    "slope": (0.1, 0.3, 0.6, 1.01, 1.5, 3.0, 10.0),
    "exits": (0.0, 0.0, 0.0, 0.1, 0.5, 2.0, 10.0),
}
#: Signed losses: as many budgets' worth of answers get better, and as many more worse, than the loss says.
TURNOVER = 0.5


@dataclass(frozen=True)
class World:
    """What is simulated.

    Attributes
    ----------
    kind : str
        "agreement" (losses 0 and 1), "labels" (-1, 0 and 1), "rows" (means of four labelled rows) or "outputs" (two
        outputs, fractions).
    profile : str
        One of `PROFILES`.
    clips : bool
        Units of 1 to 3 tasks, all of a clip alike; longer clips lose more.
    budget : float
    """

    kind: str
    profile: str
    clips: bool
    budget: float


class Population:
    """Tasks of a world.

    Parameters
    ----------
    world : World
    cuts, rules : int
    units : int
    rng : numpy Generator

    Attributes
    ----------
    unit : ndarray of int, shape (tasks,)
    scores : dict of str to ndarray
        Three scores of each task, in [0, 1]; a higher one is more often right.
    """

    def __init__(self, world: World, cuts: int, rules: int, units: int, rng: np.random.Generator) -> None:
        self.world = world
        lengths = rng.integers(1, 4, units) if world.clips else np.ones(units, int)
        self.unit = np.repeat(np.arange(units), lengths)
        self.starts = np.cumsum(lengths) - lengths
        self.lengths = lengths
        # Per task the mean is 1: longer clips lose more, weighed by how many tasks they hold.
        factor = lengths / (lengths**2).sum() * lengths.sum()
        self._factor = (0.5 + 0.5 * factor)[self.unit]
        self._measures = 2 if world.kind == "outputs" else 1
        self._rows = 4 if world.kind == "rows" else 1
        self._u = rng.random((cuts, rules, units, self._measures, self._rows), np.float32)
        self._exit_u = {kind: rng.random(units, np.float32) for kind in ("separability", "margin", "head")}
        self.scores = {kind: rng.random(units)[self.unit].astype(np.float32) for kind in self._exit_u}

    def losses(self, cut: int, rule: int, bits: int, tasks: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What tasks lose at a precision, shape (tasks, measures)."""
        share = PROFILES[self.world.profile][MAX_BITS - bits] * self.world.budget
        u = self._u[cut, rule][self.unit[tasks]]
        chance = (share * self._factor[tasks])[:, None, None]
        if self.world.kind == "outputs":
            # Of mean `chance`, most of it from few tasks.
            return np.minimum(-chance * np.log(np.maximum(u, 1e-9)), 1.0)[:, :, 0]
        if self.world.kind == "agreement":
            return (u < chance).mean(axis=2)
        turned = TURNOVER * self.world.budget
        lost = (u < chance + turned).astype(float) - ((u >= chance + turned) & (u < chance + 2 * turned))
        return lost.mean(axis=2)

    def exit_loss(self, kind: str, tasks: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What a score's label loses: exits of all tasks with more than three tenths lose a budget in all."""
        score = self.scores[kind][tasks]
        wrong = self._exit_u[kind][self.unit[tasks]] < 4 * self.world.budget * (1 - score)
        return wrong.astype(float)

    def sample(self, tasks: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Units drawn at random until there are so many tasks: places of the tasks, and the unit of each."""
        drawn = rng.integers(0, len(self.lengths), tasks)
        count = int(np.searchsorted(np.cumsum(self.lengths[drawn]), tasks)) + 1
        drawn = drawn[:count]
        lengths = self.lengths[drawn]
        firsts = np.repeat(self.starts[drawn] - (np.cumsum(lengths) - lengths), lengths)
        return firsts + np.arange(lengths.sum()), np.repeat(np.arange(count), lengths)


def bits_range() -> range:
    """All precisions."""
    return range(MIN_BITS, MAX_BITS + 1)
