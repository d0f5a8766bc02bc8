"""Search and decide: the best split, and whether to split at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coachc.core.plan import Plan
from coachc.planning.calibration import Calibration
from coachc.planning.decide import decide
from coachc.planning.problem import Problem
from passes.candidates import auto
from passes.candidates.base import Candidates
from passes.partition import Found, Limits, search

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
    """A plan and the search that led to it."""

    plan: Plan
    found: Found
    candidates: Candidates


def make_plan(
    problem: Problem,
    calibration: Calibration,
    limits: Limits,
    *,
    mode: str = "auto",
    objective: str = "exact",
    method: str = "auto",
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
    plan = decide(graph, costs, found, calibration.jpeg, calibration.judge, limits, mode=mode, objective=objective)
    return Planned(plan, found, candidates)
