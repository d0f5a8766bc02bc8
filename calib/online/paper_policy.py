"""COACH's own online policy: Eq. 9 on centres of the calibration set, thresholds by the loss measured there.

No bound, and nothing is left out: the samples that set a threshold are those the centres were made of.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coachc.calib.online.exit_scores import Fitted, apply
from coachc.runtime.online.policy import ExitRule, Policy

#: Lower precisions whose admission by score is measured.
LOWER_RUNGS = 2


def paper_policy(
    features: np.ndarray,
    whole: np.ndarray,
    truth: np.ndarray,
    fitted: Fitted | None,
    plain: Policy,
    right_at: Callable[[int], np.ndarray],
    budget: float,
) -> Policy:
    """The policy "paper".

    Parameters
    ----------
    features : ndarray of float32, shape (samples, D)
    whole : ndarray of bool, shape (samples,)
        The model's answer is right.
    truth : ndarray of int, shape (samples,)
        The right answers.
    fitted : Fitted or None
        Separability; None where there are too few labels.
    plain : Policy
        The cut's policy without exits.
    right_at : callable
        Rung -> ndarray of bool: samples whose answer behind the link is right.
    budget : float
    """
    if fitted is None:
        return plain._replace(name="paper")
    best, score = apply(fitted, features)
    exits = _point_threshold(score, whole, best == truth, budget)
    thresholds = list(plain.adjust)
    for lower in range(plain.base - 1, max(plain.base - 1 - LOWER_RUNGS, -1), -1):
        threshold = _point_threshold(score, whole, right_at(lower), budget)
        thresholds[lower] = max(threshold, thresholds[lower + 1])
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
