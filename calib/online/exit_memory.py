"""What the short memory does to calibration streams, by replaying them in order through its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from coachc.runtime.online.memory import Memory

#: Tasks that the memory of a stream holds.
CAPACITY = 32
#: Cosines tried, from the most cautious on.
COSINES = tuple(float(1 - distance) for distance in np.geomspace(1e-3, 0.6, 40))


@dataclass(frozen=True)
class Stream:
    """Samples of one part in the order of their clips.

    Attributes
    ----------
    features : ndarray of float32, shape (tasks, D)
    mean : ndarray of float32, shape (D,)
        Taken away before cosines are.
    order : ndarray of int, shape (tasks,)
        Places of the tasks as they come.
    truth : ndarray of int, shape (tasks,)
        The right answers.
    right : ndarray of bool, shape (tasks,)
        Whether the whole model's answer is.
    answers_at : callable
        Rung -> answers of the split model at that precision and each higher one, ndarray of shape (rungs, tasks).
    """

    features: np.ndarray
    mean: np.ndarray
    order: np.ndarray
    truth: np.ndarray
    right: np.ndarray
    answers_at: Callable[[int], np.ndarray]
    _replayed: dict[tuple[bytes, float], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def recalled(self, scored: np.ndarray, cosine: float, rung: int) -> tuple[np.ndarray, np.ndarray]:
        """What the memory ends.

        Parameters
        ----------
        scored : ndarray of bool, shape (tasks,)
            Tasks the score ends before the memory is asked.
        cosine : float
            What a task has to be nearer than.
        rung : int
            The lowest precision at which the server's answers, which the memory holds, may have been made.

        Returns
        -------
        ended : ndarray of bool, shape (tasks,)
        lost : ndarray of float, shape (tasks,)
            What the answer of the one it resembles loses, at the worst precision; 0 where it is not ended.
        """
        tasks, held = self.pairs(scored, cosine)
        ended, lost = np.zeros(len(self.truth), bool), np.zeros(len(self.truth))
        ended[tasks] = True
        kept = (self.answers_at(rung)[:, held] == self.truth[tasks]).all(axis=0)
        lost[tasks] = self.right[tasks].astype(float) - kept
        return ended, lost

    def pairs(self, scored: np.ndarray, cosine: float) -> tuple[np.ndarray, np.ndarray]:
        """Tasks that end by the memory, and for each the earlier one whose answer it gets."""
        key = scored.tobytes(), cosine
        if key not in self._replayed:
            self._replayed[key] = self._replay(scored, cosine)
        return self._replayed[key]

    def _replay(self, scored: np.ndarray, cosine: float) -> tuple[np.ndarray, np.ndarray]:
        """The runtime's own memory over the stream; what it is told as an answer is which task it was."""
        memory = Memory(CAPACITY, self.features.shape[1], self.mean)
        found: list[tuple[int, int]] = []
        for task in self.order[~scored[self.order]].tolist():
            match = memory.match(self.features[task])
            if match.label >= 0 and match.cosine > cosine:
                found.append((task, match.label))
            else:
                memory.add(self.features[task], task)
        pairs = np.array(found, int).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]
