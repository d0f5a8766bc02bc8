"""Thresholds of exits and of lowered precision, chosen on the samples that are seen.

Thresholds are tried from the most cautious on, and the last before the first that does not promise to be proven on the
kept-back samples (`calib.certificate.expects_proof`) is taken. Nothing is promised here: `calib.proof` tests what is
chosen, and the thresholds before it, on samples that chose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from coachc.calib.certificate import expects_proof
from coachc.calib.online.policy_losses import ScoredTasks, Setting, losses

#: Most that exits may lose, a share of the exits: a budget for all tasks would let a handful of exits all be wrong.
WRONG_EXITS = 0.1
#: Exits of fewer tasks than this are not worth having.
LEAST_SHARE = 0.005
#: Thresholds tried, at even shares of the tasks.
THRESHOLDS = 64
NONE = float("inf")


def exit_threshold(tasks: ScoredTasks, base: int, kept_size: float, budget: float) -> float:
    """The lowest score above which tasks may exit; inf where none may."""
    return _lowest(
        tasks, _candidates(tasks.score), lambda score: Setting(base, score), kept_size, budget, tasks.exit_loss
    )


def lower_threshold(tasks: ScoredTasks, setting: Setting, rung: int, kept_size: float, budget: float) -> float:
    """The lowest score above which tasks that do not exit may be sent at a lower precision; inf where none may."""
    above = setting.lower[-1][1] if setting.lower else -NONE
    scores = tasks.score[(tasks.score <= setting.exits) & (tasks.score > above)]
    return _lowest(
        tasks, _candidates(scores), lambda score: with_lower(setting, rung, score), kept_size, budget,
        tasks.sent.worst(rung),
    )  # fmt: skip


def with_lower(setting: Setting, rung: int, score: float) -> Setting:
    """The setting with one more precision."""
    return Setting(setting.base, setting.exits, (*setting.lower, (rung, score)), setting.cosine)


def cautious_to(scores: np.ndarray, threshold: float, steps: int) -> list[float]:
    """Thresholds from a high one down to this, at even shares of the scores above it."""
    over = scores[(scores > threshold) & np.isfinite(scores)]
    if not np.isfinite(threshold) or not len(over):
        return []
    inner = [_below(float(np.quantile(over, 1 - part / steps))) for part in range(1, steps)]
    return [*sorted({score for score in inner if score > threshold}, reverse=True), threshold]


def _candidates(scores: np.ndarray) -> list[float]:
    finite = np.unique(scores[np.isfinite(scores)])[::-1]
    if not len(finite):
        return []
    places = np.unique(np.linspace(0, len(finite) - 1, THRESHOLDS).astype(int))
    return [_below(float(finite[place])) for place in places]


def _below(score: float) -> float:
    """The next number below: what has this score is above it."""
    return float(np.nextafter(np.float32(score), np.float32(-np.inf)))


def _lowest(
    tasks: ScoredTasks,
    candidates: Sequence[float],
    setting: Callable[[float], Setting],
    kept_size: float,
    budget: float,
    lost_above: np.ndarray,
) -> float:
    best = NONE
    for score in candidates:
        tried = setting(score)
        if not expects_proof(tasks.sent.by_unit(losses(tasks, tried)), kept_size, budget):
            break
        ends_before = tried.exits if tried.lower else NONE
        inside = (tasks.score > score) & (tasks.score <= ends_before)
        worth = inside.mean() >= LEAST_SHARE and lost_above[inside].mean() <= WRONG_EXITS
        best = score if worth else best
    return best
