"""COACH's own online policy: Eq. 9 on centres of the calibration set, thresholds by the loss measured there.

No bound, and nothing is left out: the samples that set a threshold are those the centres were made of.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coachc.calib.exit_scores import Fitted, apply
from coachc.calib.features_and_answers import OnlineTrial
from coachc.runtime.online.policy import ExitRule, Policy

#: Lower precisions whose admission by score is measured.
LOWER_RUNGS = 2


def paper_policy(
    trial: OnlineTrial,
    fitted: Fitted | None,
    plain: Policy,
    changed: Callable[[int, int], np.ndarray],
    budget: float,
) -> Policy:
    """The policy "paper".

    Parameters
    ----------
    trial : OnlineTrial
        The samples.
    fitted : Fitted or None
        Separability; None where there are too few labels.
    plain : Policy
        The cut's policy without exits.
    changed : callable
        (trial, rung) -> ndarray of bool: samples whose answer behind the link is not the model's.
    budget : float
    """
    if fitted is None:
        return plain._replace(name="paper")
    best, score = apply(fitted, trial.features)
    truth = trial.answers if trial.labels is None else trial.labels
    whole = trial.answers == truth
    exits = _point_threshold(score, whole, best == truth, budget)
    thresholds = list(plain.adjust)
    for lower in range(plain.base - 1, max(plain.base - 1 - LOWER_RUNGS, -1), -1):
        # What a changed answer says is not kept: it counts as wrong.
        right = whole & ~changed(0, lower)
        thresholds[lower] = max(_point_threshold(score, whole, right, budget), thresholds[lower + 1])
    climb = (exits,) if np.isfinite(exits) else ()
    rule = ExitRule(fitted.scorer, climb, 1.0, 0.0, 1.0, fitted.lengths, fitted.counts)
    return plain._replace(name="paper", exits=rule, adjust=tuple(thresholds))


def _point_threshold(score: np.ndarray, whole: np.ndarray, right: np.ndarray, budget: float) -> float:
    """The lowest score above which taking `right` for `whole` loses no more than the budget on these samples."""
    order = np.argsort(-score, kind="stable")
    lost = np.cumsum(whole[order].astype(int) - right[order].astype(int))
    allowed = np.flatnonzero(lost <= budget * len(score))
    if not len(allowed) or not np.isfinite(score[order[0]]):
        return float("inf")
    return float(np.nextafter(np.float32(score[order[allowed[-1]]]), np.float32(-np.inf)))
