"""The threshold of the short memory, by replaying calibration streams in order through the memory itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.exit_bound import joint, units_to_certify
from coachc.runtime.online.feature import unit

#: Tasks that the memory of a stream holds.
CAPACITY = 32
#: Cosines tried, from the most cautious on.
THRESHOLDS = tuple(float(1 - distance) for distance in np.geomspace(1e-3, 0.6, 40))
#: Samples replayed at most: their cosines to each other are held in memory.
MOST_SAMPLES = 4000


@dataclass(frozen=True)
class Replayed:
    """A stream of calibration samples through score and memory.

    Attributes
    ----------
    exited, wrong : ndarray of bool, shape (samples,)
        Ended by the memory; and with another label than the model's.
    """

    exited: np.ndarray
    wrong: np.ndarray


@dataclass(frozen=True)
class MemoryThreshold:
    """The least cosine of a memory exit (inf: none), the share of tasks it ends, wrong ones among them, the bound."""

    cosine: float
    share: float
    wrong_exits: int
    exits: int
    bound: float


def replay(cosines: np.ndarray, answers: np.ndarray, scored: np.ndarray, threshold: float) -> Replayed:
    """What the memory does to a stream.

    Parameters
    ----------
    cosines : ndarray, shape (samples, samples)
        Between centred features, in the stream's order.
    answers : ndarray of int, shape (samples,)
        The model's.
    scored : ndarray of bool, shape (samples,)
        Tasks the score ends before the memory is asked.
    threshold : float
    """
    exited, wrong = np.zeros(len(answers), bool), np.zeros(len(answers), bool)
    held: list[int] = []
    for task in range(len(answers)):
        if scored[task]:
            continue
        near = cosines[task, held]
        nearest = int(near.argmax()) if held else -1
        if nearest >= 0 and near[nearest] > threshold:
            exited[task] = True
            wrong[task] = answers[held[nearest]] != answers[task]
        else:
            held.append(task)
            del held[:-CAPACITY]
    return Replayed(exited, wrong)


@dataclass(frozen=True)
class Stream:
    """Samples of one trial in the order of their clips.

    Attributes
    ----------
    cosines : ndarray, shape (samples, samples)
        Between features after the mean was taken away.
    answers : ndarray of int, shape (samples,)
        The model's.
    scored, wrong : ndarray of bool
        Tasks the score ends; and with another label than the model's.
    changed : ndarray of bool
        Another answer than the model's behind the link.
    units : ndarray of int
        The clip of each.
    """

    cosines: np.ndarray
    answers: np.ndarray
    scored: np.ndarray
    wrong: np.ndarray
    changed: np.ndarray
    units: np.ndarray


def cosines_of(features: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Between all features, shape (samples, D), of at most `MOST_SAMPLES`."""
    directions = unit(features[:MOST_SAMPLES] - mean)
    return directions @ directions.T


def memory_threshold(streams: Sequence[Stream], budget: float) -> MemoryThreshold:
    """The lowest cosine at which everything that goes wrong stays within the budget on every trial's stream.

    The share of exits is that of the last stream, the hardest.
    """
    best = MemoryThreshold(float("inf"), 0.0, 0, 0, 0.0)
    if any(len(np.unique(stream.units)) < units_to_certify(budget) for stream in streams):
        return best
    for threshold in THRESHOLDS:
        bound = 0.0
        for stream in streams:
            played = replay(stream.cosines, stream.answers, stream.scored, threshold)
            bad = len(np.unique(stream.units[(stream.wrong & stream.scored) | played.wrong]))
            sent = len(np.unique(stream.units[stream.changed & ~stream.scored & ~played.exited]))
            bound = max(bound, float(joint(np.array(bad), np.array(sent), len(np.unique(stream.units)))))
        if bound > budget:
            break
        exits = int(played.exited.sum())
        if exits:
            best = MemoryThreshold(threshold, exits / len(played.exited), int(played.wrong.sum()), exits, bound)
    return best
