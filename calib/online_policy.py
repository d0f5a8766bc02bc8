"""The online policies of one cut, from the samples its precision was measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.exit_bound import upper
from coachc.calib.exit_memory import CAPACITY, MOST_SAMPLES, MemoryThreshold, Stream, cosines_of, memory_threshold
from coachc.calib.exit_rules import Scores, Threshold, exit_threshold, precision_threshold
from coachc.calib.exit_scores import Fitted, apply, fit
from coachc.calib.features_and_answers import OnlineTrial
from coachc.calib.paper_policy import LOWER_RUNGS, paper_policy
from coachc.runtime.online.policy import ExitRule, MemoryRule, Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import SCORES

#: Higher base precisions that are tried: they leave more of the budget to exits.
HIGHER_BASES = 1
#: Parts of the budget that exits by score may use beside all of it, where the samples are streams and the rest may be
#: the memory's.
SCORE_PARTS = (0.5, 0.25)
#: Tasks below the exits' threshold that are watched for drift, a share of all.
BAND_SHARE = 0.1
#: Of the exits' scores: the thresholds to climb to when answers drift.
CLIMB_QUANTILES = (0.5, 0.8)


@dataclass(frozen=True)
class CutTimes:
    """T_e and T_c of the plan, and the server's share."""

    device_s: float
    cloud_s: float
    server_share: float


@dataclass(frozen=True)
class ScoreReport:
    """What one score would give: label-free, on the hardest trial."""

    kind: str
    threshold: Threshold


@dataclass(frozen=True)
class Online:
    """The policies of a cut and what they were chosen from.

    Attributes
    ----------
    policies : dict of str to Policy
        "none", "paper" and "default".
    scores : tuple of ScoreReport
        Every score at the chosen base precision.
    chosen : str
        The score that exits, "" for none.
    memory : MemoryThreshold or None
        None where the samples are no streams.
    adjust : tuple of (int, Threshold)
        Rungs below the base with their thresholds.
    no_exits : str
        Why no score could be tried, so that the policies choose the precision only; "" where some were.
    """

    policies: dict[str, Policy]
    scores: tuple[ScoreReport, ...]
    chosen: str
    memory: MemoryThreshold | None
    adjust: tuple[tuple[int, Threshold], ...]
    no_exits: str = ""


def build(
    cut: str,
    trials: Sequence[OnlineTrial],
    rungs: Sequence[Rung],
    base: int,
    changed: Callable[[int, int], np.ndarray],
    times: CutTimes,
    budget: float,
) -> Online:
    """Choose score, base precision and thresholds of one cut.

    Parameters
    ----------
    cut : str
    trials : sequence of OnlineTrial
        The samples first, the hardest last.
    rungs : sequence of Rung
        Precisions of the cut, rising.
    base : int
        The offline one.
    changed : callable
        (trial, rung) -> ndarray of bool: samples whose answer behind the link is not the model's.
    times : CutTimes
    budget : float
        Of everything together.
    """
    fitted = {kind: fit(kind, trials[0].features, trials[0].answers) for kind in SCORES}
    offered = {kind: _on_trials(one, trials) for kind, one in fitted.items() if one is not None}

    def reports_at(rung: int, part: float) -> tuple[ScoreReport, ...]:
        flags = [changed(place, rung) for place in range(len(trials))]
        return tuple(
            ScoreReport(kind, exit_threshold(_scores(pairs, trials, flags), budget * part))
            for kind, pairs in offered.items()
        )

    tried = {rung: reports_at(rung, 1.0) for rung in range(base, min(base + HIGHER_BASES, len(rungs) - 1) + 1)}
    rung = min(tried, key=lambda rung: rungs[rung].size_bytes * (1 - _share(tried[rung])))
    reports, memory = tried[rung], None
    if trials[0].streams and reports:
        reports, memory = _with_memory(
            trials, offered, [changed(place, rung) for place in range(len(trials))],
            [reports, *(reports_at(rung, part) for part in SCORE_PARTS)], budget,
        )  # fmt: skip
    flags = [changed(place, rung) for place in range(len(trials))]
    plain = Policy(
        "none", cut, None, None, tuple(rungs), base, _from(base, rungs), times.device_s, times.cloud_s,
        times.server_share,
    )  # fmt: skip
    policies = {"none": plain, "paper": paper_policy(trials[0], fitted["separability"], plain, changed, budget)}
    winner = max(reports, key=lambda report: report.threshold.share, default=None)
    if winner is None:
        policies["default"] = plain._replace(name="default")
        samples = len(trials[0].answers)
        reason = f"one class only, in {samples:,} sample{'s' if samples > 1 else ''}"
        return Online(policies, (), "", None, (), reason)
    chosen = winner.kind if np.isfinite(winner.threshold.score) else ""
    score = fitted[chosen or "margin"]
    assert score is not None
    scored = _scores(offered[score.scorer.kind], trials, flags)
    threshold = winner.threshold.score
    adjust = _adjust(scored, rung, threshold, changed, budget)
    thresholds = list(_from(rung, rungs))
    for lower, found in adjust:
        thresholds[lower] = found.score
    policies["default"] = plain._replace(
        name="default",
        exits=_exit_rule(score, scored, threshold) if chosen or adjust else None,
        memory=_memory_rule(trials[0], memory),
        base=rung,
        adjust=tuple(thresholds),
    )
    return Online(policies, reports, chosen, memory, adjust)


def _adjust(
    scored: Sequence[Scores], base: int, exits: float, changed: Callable[[int, int], np.ndarray], budget: float
) -> tuple[tuple[int, Threshold], ...]:
    """Lower rungs that some scores admit, each with a threshold no lower than that of the rung above."""
    found: list[tuple[int, Threshold]] = []
    for lower in range(base - 1, max(base - 1 - LOWER_RUNGS, -1), -1):
        threshold = precision_threshold(scored, [changed(place, lower) for place in range(len(scored))], exits, budget)
        if not np.isfinite(threshold.score) or (found and threshold.score < found[-1][1].score):
            break
        found.append((lower, threshold))
    return tuple(found)


def _from(base: int, rungs: Sequence[Rung]) -> tuple[float, ...]:
    return (float("inf"),) * base + (float("-inf"),) * (len(rungs) - base)


def _on_trials(fitted: Fitted, trials: Sequence[OnlineTrial]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Class and score on each trial: left out where fitted, as they are on the others."""
    return [(fitted.best, fitted.score)] + [apply(fitted, trial.features) for trial in trials[1:]]


def _scores(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], trials: Sequence[OnlineTrial], changed: Sequence[np.ndarray]
) -> list[Scores]:
    return [
        Scores(score, best != trial.answers, flags, trial.units)
        for (best, score), trial, flags in zip(pairs, trials, changed, strict=True)
    ]


def _exit_rule(fitted: Fitted, trials: Sequence[Scores], threshold: float) -> ExitRule:
    """The rule of the default policy, with what calibration promises of its answers."""
    wrong_share, band_share, band = 0.0, 0.0, threshold
    climb: list[float] = []
    if np.isfinite(threshold):
        hardest = trials[-1]
        over = np.sort(hardest.score[hardest.score > threshold])
        climb = [threshold] + [float(np.quantile(over, part)) for part in CLIMB_QUANTILES if len(over)]
        for trial in trials:
            exits = trial.score > threshold
            wrong_share = max(wrong_share, float(upper(int(trial.wrong[exits].sum()), max(int(exits.sum()), 1))))
        below = np.sort(hardest.score[hardest.score <= threshold])[::-1]
        if len(below):
            band = float(below[min(int(BAND_SHARE * len(hardest.score)), len(below) - 1)])
        for trial in trials:
            inside = (trial.score >= band) & (trial.score <= threshold)
            band_share = max(band_share, float(upper(int(trial.wrong[inside].sum()), max(int(inside.sum()), 1))))
    return ExitRule(
        fitted.scorer, tuple(sorted(climb)), wrong_share, band if np.isfinite(band) else 0.0, band_share,
        fitted.lengths, fitted.counts,
    )  # fmt: skip


def _share(reports: Sequence[ScoreReport]) -> float:
    return max((report.threshold.share for report in reports), default=0.0)


def _with_memory(
    trials: Sequence[OnlineTrial],
    offered: Mapping[str, list[tuple[np.ndarray, np.ndarray]]],
    changed: Sequence[np.ndarray],
    options: Sequence[tuple[ScoreReport, ...]],
    budget: float,
) -> tuple[tuple[ScoreReport, ...], MemoryThreshold]:
    """Of the parts of the budget the score may use, the one with which score and memory together end most tasks."""
    orders = [np.argsort(trial.order, kind="stable")[:MOST_SAMPLES] for trial in trials]
    mean = trials[0].features.mean(axis=0)
    cosines = [cosines_of(trial.features[order], mean) for trial, order in zip(trials, orders, strict=True)]
    best: tuple[float, tuple[ScoreReport, ...], MemoryThreshold] | None = None
    for reports in options:
        first = max(reports, key=lambda report: report.threshold.share)
        streams = [
            Stream(near, trial.answers[order], scored := score[order] > first.threshold.score,
                   (label != trial.answers)[order] & scored, flags[order], trial.units[order])
            for near, trial, order, (label, score), flags in zip(
                cosines, trials, orders, offered[first.kind], changed, strict=True
            )
        ]  # fmt: skip
        memory = memory_threshold(streams, budget)
        share = first.threshold.share + memory.share
        if best is None or share > best[0]:
            best = share, reports, memory
    assert best is not None
    return best[1], best[2]


def _memory_rule(trial: OnlineTrial, found: MemoryThreshold | None) -> MemoryRule | None:
    if found is None or not np.isfinite(found.cosine):
        return None
    wrong_share = float(upper(found.wrong_exits, max(found.exits, 1)))
    return MemoryRule(found.cosine, wrong_share, CAPACITY, trial.features.mean(axis=0).astype(np.float32))
