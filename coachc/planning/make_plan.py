"""Search and decide: the best split, and whether to split at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coachc.calib.dataset import RANDOM
from coachc.calib.refine import Refined, refine
from coachc.core.plan import BitPlan, Plan
from coachc.passes.candidates import auto
from coachc.passes.candidates.candidate_masks import Candidates
from coachc.passes.partition import Candidate, Found, Limits, costed, search
from coachc.planning.calibration import Calibration
from coachc.planning.decide import decide
from coachc.planning.precisions import where_it_pays
from coachc.planning.problem import Problem, Progress, silent

#: Share of the period by which refining a cut may overtake another one.
NEAR = 0.1

#: Partitions that each mode leaves to the search; mask 0 is the cut at the model's inputs.
KEEP: Mapping[str, Callable[[int], bool]] = {
    "auto": lambda mask: True,
    "split": lambda mask: mask != 0,
    "cloud-raw": lambda mask: mask == 0,
    "device-only": lambda mask: False,
    "cloud-jpeg": lambda mask: False,
}


@dataclass(frozen=True)
class Planned:
    """A plan and the search that led to it; `refined` where the best split's precision was refined."""

    plan: Plan
    found: Found
    candidates: Candidates
    refined: Refined | None = None


def make_plan(
    problem: Problem,
    calibration: Calibration,
    limits: Limits,
    *,
    mode: str = "auto",
    objective: str = "exact",
    method: str = "auto",
    refined: bool = False,
    progress: Progress = silent,
) -> Planned:
    """Find the best split and choose between it and the ways not to split.

    Parameters
    ----------
    problem : Problem
    calibration : Calibration
    limits : Limits
    mode : str
        "auto", or the only one of `coachc.core.plan.MODES` to consider.
    objective : str
        One of `passes.objective.OBJECTIVES`.
    method : str
        How partitions are found: "auto" or one of `passes.candidates.auto.METHODS`.
    refined : bool
        Whether the best split's precision is refined (`calib.refine`) before it is compared with not splitting.
    progress : callable

    Raises
    ------
    coachc.errors.InfeasibleError
        Nothing respects the limits; carries the closest.
    """
    graph, costs = problem.graph, problem.costs
    candidates = auto.candidates(graph, costs, method, blocks=problem.blocks, objective=objective)
    found = search(
        graph,
        costs,
        calibration.precision,
        limits=limits,
        objective=objective,
        keep=KEEP[mode],
        candidates=candidates,
    )
    better = None
    if refined and found.best is not None and calibration.kind not in (RANDOM, "none"):
        best = found.best
        for near in (found.best, *_near(problem, calibration, found.best, limits, mode)):
            tried = refine_cut(problem, calibration, near.mask, near.bits, progress)
            if tried is None:
                continue
            candidate = costed(graph, near.mask, near.cut, where_it_pays(tried.plan, problem), costs)
            if near is found.best or candidate.key(objective) < best.key(objective):
                best, better = candidate, tried
        found = dataclasses.replace(found, best=best)
    plan = decide(graph, costs, found, calibration.jpeg, calibration.judge, limits, mode=mode, objective=objective)
    return Planned(plan, found, candidates, better)


def _near(problem: Problem, calibration: Calibration, best: Candidate, limits: Limits, mode: str) -> list[Candidate]:
    """The best cut inside the model beside one at its input, or the other way round, where it is nearly as good.

    Refining may turn them. Only cuts that the search has measured count.
    """
    measured = calibration.measured
    if mode != "auto" or measured is None:
        return []
    options = [
        costed(problem.graph, mask, problem.graph.cut_values(mask), bits, problem.costs)
        for mask, bits in measured.measured().items()
        if (mask == 0) != (best.mask == 0)
    ]
    fitting = [o for o in options if limits.max_latency_s is None or o.timeline.latency_s <= limits.max_latency_s]
    near = min(fitting, key=lambda option: option.key("exact"), default=None)
    return [near] if near is not None and near.timeline.period_s < best.timeline.period_s * (1 + NEAR) else []


def refine_cut(
    problem: Problem, calibration: Calibration, mask: int, bits: BitPlan, progress: Progress
) -> Refined | None:
    """Fewer bytes for a split; None where nothing of it is quantized."""
    if calibration.measured is None or all(quantizer.codec == "raw" for quantizer in bits.quantizers):
        return None
    evaluator = calibration.measured.evaluator(mask)
    return refine(evaluator, bits, lambda done, total: progress("refining the cut", done, total))
