"""Search and decide: the best split, and whether to split at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coachc.calib.dataset import RANDOM
from coachc.calib.jpeg import JpegCost
from coachc.calib.online.online_policy import Online
from coachc.calib.refine import Refined, refine
from coachc.core.cut_set import CutSet
from coachc.core.plan import MAX_BITS, Plan, Way
from coachc.core.progress import Progress, silent
from coachc.passes.candidates import auto
from coachc.passes.candidates.candidate_masks import Candidates
from coachc.passes.objective import rank
from coachc.passes.partition import Found, Limits, costed, search
from coachc.passes.timeline import forbidding
from coachc.planning.calibration import Calibration
from coachc.planning.certify import certify, certify_jpeg
from coachc.planning.decide import decide, unsplit_ways
from coachc.planning.online import NoPolicy
from coachc.planning.precisions import where_it_pays
from coachc.planning.problem import Problem

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
    """A plan and the search that led to it.

    Attributes
    ----------
    plan : Plan
    found : Found
    candidates : Candidates
    refined : Refined or None
        Where the best split's precision was refined.
    cut_set : CutSet or None
        For a range of bandwidths: the plan's way is one of its cuts.
    online : mapping of str to Online or NoPolicy
        Policies by cut; none where nothing was refined.
    """

    plan: Plan
    found: Found
    candidates: Candidates
    refined: Refined | None = None
    cut_set: CutSet | None = None
    online: Mapping[str, Online | NoPolicy] = field(default_factory=dict)

    @property
    def ways(self) -> tuple[Way, ...]:
        """Those of the bundle that send something."""
        every = (self.plan.way,) if self.cut_set is None else tuple(cut.way for cut in self.cut_set.cuts)
        return tuple(way for way in every if way.mode != "device-only")


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
        Whether the best split's precision is refined (`calib.refine`) before it is compared with not splitting, and
        what is chosen is proven (`planning.certify`); on noise the plan gets the most bits.
    progress : callable

    Raises
    ------
    coachc.errors.InfeasibleError
        Nothing respects the limits; carries the closest.
    """
    graph, costs = problem.graph, problem.costs
    # A side that does not build an operator is as good as endlessly slow there: no method proposes such a partition
    # where it has another, and the bounds of those that remain hold.
    passable = forbidding(costs, limits.placement)
    candidates = auto.candidates(graph, passable, method, blocks=problem.blocks, objective=objective)
    found = search(
        graph,
        costs,
        calibration.precision,
        limits=limits,
        objective=objective,
        keep=KEEP[mode],
        candidates=candidates,
    )
    if objective == "exact" and found.best is not None:
        found = _soonest_of_equals(problem, calibration, found, candidates, limits, mode)
    better = None
    if refined and found.best is not None:
        best = found.best
        for near in (found.best, *_near(problem, calibration, found.best, limits, mode)):
            tried = refine_cut(problem, calibration, near, progress)
            if tried is None:
                continue
            candidate = costed(graph, near.mask, where_it_pays(tried.plan, problem), costs)
            if near is found.best or rank(candidate, objective) < rank(best, objective):
                best, better = candidate, tried
        found = dataclasses.replace(found, best=best)
    jpeg = calibration.jpeg

    def decided(found: Found, jpeg: JpegCost | None) -> Plan:
        return decide(graph, costs, found, jpeg, calibration.trial, limits, mode=mode, objective=objective)

    plan = decided(found, jpeg)
    if not refined:
        return Planned(plan, found, candidates)
    online: Online | NoPolicy = NoPolicy("it sends no tensor")
    if plan.way.mode == "cloud-jpeg":
        plan = decided(found, certify_jpeg(problem, calibration))
    else:
        certified = certify(problem, on_noise(calibration, plan.way), calibration, progress=progress)
        online = certified.online
        if certified.way.bits.quantizers != plan.way.bits.quantizers and calibration.kind != RANDOM:
            # More bits than were chosen: what sends none may be better now, but a JPEG, of which nothing is proven.
            found = dataclasses.replace(found, best=certified.way)
            plan = decided(found, jpeg and dataclasses.replace(jpeg, keeps_budget=False))
        if plan.way.mask == certified.way.mask:
            plan = dataclasses.replace(plan, way=certified.way)
    return Planned(plan, found, candidates, better, online={plan.way.name: online})


def _soonest_of_equals(
    problem: Problem, calibration: Calibration, found: Found, candidates: Candidates, limits: Limits, mode: str
) -> Found:
    """The split that answers soonest, of those whose period is as good as the shortest there is, split or not."""
    graph, costs, best = problem.graph, problem.costs, found.best
    assert best is not None
    shortest_s = best.timeline.period_s
    if mode == "auto":
        unsplit = unsplit_ways(graph, costs, calibration.jpeg, limits)
        shortest_s = min([shortest_s, *(way.timeline.period_s for way in unsplit if limits.admits(way))])
    longest_s = shortest_s * (1 + costs.tie)
    if best.timeline.period_s > longest_s:
        return found
    tied = search(
        graph,
        costs,
        calibration.precision,
        limits=dataclasses.replace(limits, max_period_s=longest_s),
        objective="latency",
        keep=KEEP[mode],
        candidates=candidates,
        incumbent=best,
    )
    measured = found.measured
    if calibration.measured is not None and calibration.precision is calibration.measured:
        measured = calibration.measured.asked  # most cuts of the second search are known from the first
    return dataclasses.replace(found, best=tied.best, measured=measured)


def _near(problem: Problem, calibration: Calibration, best: Way, limits: Limits, mode: str) -> list[Way]:
    """The best cut inside the model beside one at its input, or the other way round, where it is nearly as good.

    Refining may turn them. Only cuts that the search has measured count.
    """
    measured = calibration.measured
    if mode != "auto" or measured is None or calibration.kind == RANDOM:
        return []
    options = [
        costed(problem.graph, mask, bits, problem.costs)
        for mask, bits in measured.measured().items()
        if (mask == 0) != (best.mask == 0)
    ]
    near = min(filter(limits.admits, options), key=rank, default=None)
    return [near] if near is not None and near.timeline.period_s < best.timeline.period_s * (1 + NEAR) else []


def refine_cut(problem: Problem, calibration: Calibration, way: Way, progress: Progress) -> Refined | None:
    """Fewer bytes for a cut; None where nothing of it is quantized, and on noise."""
    if calibration.measured is None or calibration.kind == RANDOM or not way.bits.packed:
        return None
    evaluator = calibration.measured.evaluator(way.mask)
    return refine(evaluator, way.bits, lambda done, total: progress("refining the cut", done, total))


def on_noise(calibration: Calibration, way: Way) -> Way:
    """A way whose values get the most bits, where only noise was there to measure them on; others as they are."""
    if calibration.measured is None or calibration.kind != RANDOM or not way.bits.packed:
        return way
    return dataclasses.replace(way, bits=calibration.measured.evaluator(way.mask).at(MAX_BITS))
