"""The policy "default" as a bundle holds it: what was proven of a cut, and what its drift tests hold answers to."""

from __future__ import annotations

import numpy as np

from coachc.calib.certificate import binomial_bound
from coachc.calib.online.exit_memory import CAPACITY, Stream
from coachc.calib.online.exit_scores import Fitted
from coachc.calib.online.policy_losses import ScoredTasks, Setting
from coachc.runtime.online.policy import ExitRule, MemoryRule, Policy

#: Tasks below the exits' threshold that are watched for drift, a share of all.
BAND_SHARE = 0.1
#: Of the exits' scores: the thresholds to climb to when answers drift.
CLIMB_QUANTILES = (0.5, 0.8)


def default_policy(
    plain: Policy,
    setting: Setting,
    fitted: Fitted | None,
    kept: ScoredTasks | None,
    stream: Stream | None,
    answers: np.ndarray,
) -> Policy:
    """The policy "default" of the setting proven; `fitted` and `kept` are those of its score, `answers` the model's."""
    thresholds = [float("inf")] * setting.base + [float("-inf")] * (len(plain.rungs) - setting.base)
    for rung, score in setting.lower:
        # Admitted are scores from the threshold on, proven were those above it.
        thresholds[rung] = float(np.nextafter(np.float32(score), np.float32(np.inf)))
    exits = memory = None
    if fitted is not None and kept is not None and (np.isfinite(setting.exits) or setting.lower):
        exits = _exit_rule(fitted, kept, setting.exits)
    if stream is not None and np.isfinite(setting.cosine):
        memory = _memory_rule(stream, kept, setting, answers)
    return plain._replace(
        name="default",
        exits=exits,
        memory=memory,
        base=setting.base,
        adjust=tuple(thresholds),
    )


def _exit_rule(fitted: Fitted, kept: ScoredTasks, threshold: float) -> ExitRule:
    """The rule of the default policy, with how often its answers may differ, by the samples kept back."""
    wrong_share, band_share, band = 0.0, 0.0, threshold
    climb: list[float] = []
    score = kept.score
    if np.isfinite(threshold):
        over = np.sort(score[score > threshold])
        climb = [threshold] + [float(np.quantile(over, part)) for part in CLIMB_QUANTILES if len(over)]
        wrong_share = _wrong_share(kept, score > threshold)
        below = np.sort(score[score <= threshold])[::-1]
        if len(below):
            band = float(below[min(int(BAND_SHARE * len(score)), len(below) - 1)])
        band_share = _wrong_share(kept, (score >= band) & (score <= threshold))
    return ExitRule(
        fitted.scorer, tuple(sorted(climb)), wrong_share, band if np.isfinite(band) else 0.0, band_share,
        fitted.lengths, fitted.counts,
    )  # fmt: skip


def _wrong_share(kept: ScoredTasks, chosen: np.ndarray) -> float:
    return float(binomial_bound(int(kept.differs[chosen].sum()), max(int(chosen.sum()), 1)))


def _memory_rule(stream: Stream, kept: ScoredTasks | None, setting: Setting, answers: np.ndarray) -> MemoryRule:
    """With how often its answers may differ from the model's, by the samples kept back."""
    scored = np.zeros(len(answers), bool) if kept is None else kept.score > setting.exits
    tasks, held = stream.pairs(scored, setting.cosine)
    differs = (stream.answers_at(setting.lowest)[:, held] != answers[tasks]).any(axis=0)
    wrong_share = float(binomial_bound(int(differs.sum()), max(len(tasks), 1)))
    return MemoryRule(setting.cosine, wrong_share, CAPACITY, stream.mean)
