"""Search and decide for a range of bandwidths: a few nested cuts of which one is always nearly the best.

The best plan is sought at some bandwidths of the range; what is measured of a cut's accuracy does not depend on the
link and is measured once. Of the winners `passes.cut_chain` takes a chain, device-only in it as what runs when the link
is down; only these cuts are refined. The device holds the segments of a chain once, so a chain needs the memory of its
largest cut, which the search has checked; where the whole model does not fit, device-only takes no tasks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from coachc.calib.dataset import RANDOM
from coachc.calib.online.online_policy import Online
from coachc.calib.refine import Refined
from coachc.core.cut_set import ChosenCut, CutSet
from coachc.core.plan import NO_OVERLAP, BitPlan, Plan, Way
from coachc.core.progress import Progress, silent
from coachc.errors import InfeasibleError
from coachc.passes.cut_chain import LinkLine, best_chain, best_intervals
from coachc.passes.half_memory import half_memory
from coachc.passes.partition import Limits, costed
from coachc.passes.timeline import stage_times, way_at
from coachc.planning.calibration import Calibration
from coachc.planning.certify import certify, certify_jpeg
from coachc.planning.decide import jpeg_timeline, with_accuracy
from coachc.planning.make_plan import Planned, make_plan, on_noise, refine_cut
from coachc.planning.online import NoPolicy, named
from coachc.planning.precisions import where_it_pays
from coachc.planning.problem import Problem

#: Bandwidths at which the optimum is sought, evenly spaced by their logarithms: both ends and the geometric middle
#: are among them.
GRID = 7


def grid_of(low: float, high: float, count: int = GRID) -> tuple[float, ...]:
    """Bandwidths evenly spaced by their logarithms, ends included."""
    inner = (low * (high / low) ** (place / (count - 1)) for place in range(1, count - 1))
    return (low, *inner, high)


def plan_cuts(
    problem: Problem,
    calibration: Calibration,
    limits: Limits,
    bandwidths: tuple[float, float],
    *,
    mode: str = "auto",
    objective: str = "exact",
    method: str = "auto",
    progress: Progress = silent,
) -> Planned:
    """The cuts for a range, and the plan of the chosen one at its geometric middle.

    Parameters
    ----------
    problem : Problem
        Its link has the bandwidth in the middle of the range.
    calibration : Calibration
    limits : Limits
    bandwidths : (float, float)
        The range, in bytes a second.
    mode, objective, method, progress
        As `make_plan` takes them.

    Raises
    ------
    coachc.errors.InfeasibleError
        Nothing respects the limits at one of the bandwidths, or no nested cuts do at all of them.
    """
    low, high = bandwidths
    middle = problem.costs.link.bandwidth_bytes_per_s
    grid = list(grid_of(low, high))
    grid[GRID // 2] = middle
    problems = [_with_bandwidth(problem, rate) for rate in grid]
    planned = []
    for place, there in enumerate(problems):
        progress("bandwidths of the range", place, GRID)
        try:
            planned.append(
                make_plan(
                    there,
                    calibration.at(there),
                    limits,
                    mode=mode,
                    objective=objective,
                    method=method,
                    progress=progress,
                )
            )
        except InfeasibleError as exc:
            where = f"at {grid[place] * 8 / 1e6:g} Mbit/s of {low * 8 / 1e6:g} to {high * 8 / 1e6:g}"
            raise InfeasibleError(exc.message, context=[where, *exc.context], hint=exc.hint) from exc
    return _choose(problem, calibration, limits, bandwidths, problems, planned, mode, progress)


def _choose(
    problem: Problem,
    calibration: Calibration,
    limits: Limits,
    bandwidths: tuple[float, float],
    problems: Sequence[Problem],
    planned: Sequence[Planned],
    mode: str,
    progress: Progress,
) -> Planned:
    """The chain of winners, refined, and the plan of its best at the middle."""
    at_middle = planned[GRID // 2]
    winners = _winners(problem, calibration, planned, limits, mode)
    periods_s = [[_period_s(way, calibration, there, limits) for there in problems] for way in winners]
    optimum_s = [min(row[place] for row in periods_s) for place in range(GRID)]
    always = next((place for place, way in enumerate(winners) if way.mode == "device-only"), None)
    chain = best_chain([way.mask for way in winners], periods_s, optimum_s, always=always)
    if chain is None:
        low, high = (rate * 8 / 1e6 for rate in bandwidths)
        raise InfeasibleError(
            f"no nested cuts keep the limits from {low:g} to {high:g} Mbit/s",
            hint="raise --max-latency, or compile for a narrower range of bandwidths",
        )
    serves = {
        place: [k for k in range(GRID) if _is_least(place, k, chain.members, periods_s)] for place in chain.members
    }
    refined: dict[tuple[str, int], Refined] = {}
    members = []
    promised = sum(winners[place].bits.packed or winners[place].mode == "cloud-jpeg" for place in chain.members)
    policies: dict[tuple[str, int, bool], Online | NoPolicy] = {}
    for place in chain.members:
        way = winners[place]
        tried = refine_cut(problem, calibration, way, progress)
        if tried is not None:
            refined[way.mode, way.mask] = tried
            way = dataclasses.replace(way, bits=tried.plan)
        way = on_noise(calibration, way)
        # Its codes are coded, or only packed, as is better in the middle of where it serves.
        rates = [problems[k].costs.link.bandwidth_bytes_per_s for k in serves[place] or [GRID // 2]]
        bits = where_it_pays(way.bits, _with_bandwidth(problem, math.sqrt(rates[0] * rates[-1])))
        way = with_accuracy(dataclasses.replace(way, bits=bits), at_middle.plan.alternatives["device-only"].way.bits)
        way = _at(way, calibration, problem)
        if way.mode == "cloud-jpeg":
            proven = certify_jpeg(problem, calibration, cuts=promised)
            accuracy = way.bits.accuracy if proven is None else proven.accuracy
            members.append(dataclasses.replace(way, bits=dataclasses.replace(way.bits, accuracy=accuracy)))
            continue
        certified = certify(problem, way, calibration, cuts=promised, progress=progress)
        way = _at(certified.way, calibration, problem)
        policies[way.mode, way.mask, way.bits.packed] = certified.online
        members.append(way)
    cuts = _with_intervals(problem, calibration, members, bandwidths, limits)
    chosen = _at_middle(cuts, members, limits, problem.costs.tie)
    cut_set = CutSet(
        *bandwidths, tuple(there.costs.link.bandwidth_bytes_per_s for there in problems), cuts, chosen.name,
        chain.worst, chain.mean,
    )  # fmt: skip
    search = at_middle.found
    if calibration.measured is not None and calibration.kind != RANDOM:
        search = dataclasses.replace(search, measured=calibration.measured.asked)
    plan = _plan_of(problem, at_middle, chosen)
    online = {
        cut.way.name: named(policies[cut.way.mode, cut.way.mask, cut.way.bits.packed], cut.way.name)
        for cut in cuts
        if (cut.way.mode, cut.way.mask, cut.way.bits.packed) in policies and cut.way.mode != "device-only"
    }
    return Planned(plan, search, at_middle.candidates, refined.get((chosen.mode, chosen.mask)), cut_set, online)


def _winners(
    problem: Problem, calibration: Calibration, planned: Sequence[Planned], limits: Limits, mode: str
) -> list[Way]:
    """What won somewhere, its values coded where they are packed, and device-only where it may run.

    The same cut as codes and as it is are two.
    """
    graph, costs = problem.graph, problem.costs
    alone = planned[0].plan.alternatives["device-only"].way
    found: dict[tuple[str, int, bool], Way] = {}
    for one in planned:
        for way in filter(None, (one.plan.way, one.found.best)):
            if way.mode == "device-only":
                continue
            coded = calibration.precision.coded(way.mask) if way.bits.packed else None
            here = dataclasses.replace(way, bits=coded or way.bits)
            found.setdefault((way.mode, way.mask, way.bits.packed), here)
    needed = half_memory(graph, graph.full_mask, costs.device.element_bytes).total_bytes
    fits = limits.device_memory_bytes is None or needed <= limits.device_memory_bytes
    builds = planned[0].plan.alternatives["device-only"].emittable
    if mode in ("auto", "device-only") and builds and (fits or not found):
        found["device-only", graph.full_mask, False] = alone
    return list(found.values())


def _is_least(place: int, rate: int, members: Sequence[int], periods_s: Sequence[Sequence[float]]) -> bool:
    return periods_s[place][rate] == min(periods_s[member][rate] for member in members)


def _with_bandwidth(problem: Problem, rate: float) -> Problem:
    link = dataclasses.replace(problem.costs.link, bandwidth_bytes_per_s=rate)
    return dataclasses.replace(problem, costs=dataclasses.replace(problem.costs, link=link))


def _at(way: Way, calibration: Calibration, problem: Problem) -> Way:
    """A way timed on another link, its values packed and coded as its `bits` say; nothing is scheduled."""
    if way.mode == "cloud-jpeg":
        assert calibration.jpeg is not None
        timeline = jpeg_timeline(calibration.jpeg, problem.costs)
    else:
        timeline = stage_times(problem.graph, way.mask, way.bits.quantizers, problem.costs, way.bits)
    return dataclasses.replace(way, timeline=timeline, overlap=NO_OVERLAP)


def _period_s(way: Way, calibration: Calibration, problem: Problem, limits: Limits) -> float:
    """The period at one bandwidth, coded where that pays there; infinite where the cut answers too late."""
    here = _at(dataclasses.replace(way, bits=where_it_pays(way.bits, problem)), calibration, problem)
    return here.timeline.period_s if limits.admits(here) else math.inf


def _line(way: Way, calibration: Calibration, problem: Problem, low: float, high: float) -> LinkLine:
    """The period at every bandwidth, from the link's time at two; device-only is preferred as `decide` prefers it."""
    slow, fast = (_at(way, calibration, _with_bandwidth(problem, rate)).timeline for rate in (low, high))
    compute_s = max(slow.device_s, slow.cloud_s / problem.costs.server_share)
    if way.mode == "device-only":
        return LinkLine(compute_s / (1 + problem.costs.tie), 0.0, 0.0)
    wire_bytes = (slow.link_s - fast.link_s) / (1 / low - 1 / high)
    return LinkLine(compute_s, fast.link_s - wire_bytes / high, wire_bytes)


def _with_intervals(
    problem: Problem,
    calibration: Calibration,
    members: Sequence[Way],
    bandwidths: tuple[float, float],
    limits: Limits,
) -> tuple[ChosenCut, ...]:
    """The cuts that are the best somewhere in the range, or may be in time where those are not, and device-only."""
    low, high = bandwidths
    lines = [_line(way, calibration, problem, low, high) for way in members]
    between: dict[int, list[tuple[float, float]]] = {}
    for place, start, end in best_intervals(lines, low, high):
        between.setdefault(place, []).append((start, end))
    kept = [
        (way, between.get(place, []))
        for place, way in enumerate(members)
        if way.mode != "device-only" and (place in between or limits.max_latency_s is not None)
    ]
    modes = [way.mode for way, _ in kept]
    names = [
        mode if modes.count(mode) == 1 else f"{mode}-{modes[: place + 1].count(mode)}"
        for place, mode in enumerate(modes)
    ]
    cuts = [
        ChosenCut(dataclasses.replace(way, name=name), tuple(where))
        for name, (way, where) in zip(names, kept, strict=True)
    ]
    alone = next((place for place, way in enumerate(members) if way.mode == "device-only"), None)
    if alone is not None:
        return (*cuts, ChosenCut(members[alone], tuple(between.get(alone, []))))
    if limits.placement.against(problem.graph, problem.graph.full_mask):
        return tuple(cuts)
    return (*cuts, ChosenCut(way_at(problem.graph, problem.graph.full_mask, BitPlan(()), problem.costs), ()))


def _at_middle(cuts: Sequence[ChosenCut], members: Sequence[Way], limits: Limits, tie: float) -> Way:
    """The cut with the shortest period at the middle of the range, of those in time."""
    admitted = {(way.mode, way.mask) for way in members}
    possible = [cut.way for cut in cuts if (cut.way.mode, cut.way.mask) in admitted and limits.admits(cut.way)]
    return min(possible, key=lambda w: w.timeline.period_s / (1 + tie if w.mode == "device-only" else 1.0))


def _plan_of(problem: Problem, at_middle: Planned, chosen: Way) -> Plan:
    """The plan of the chosen cut, beside the alternatives at the middle of the range."""
    found = at_middle.found
    splits = chosen.mode in ("split", "cloud-raw")
    if splits:
        chosen = dataclasses.replace(costed(problem.graph, chosen.mask, chosen.bits, problem.costs), name=chosen.name)
    reached_s = chosen.timeline.period_s
    if not splits and found.best is not None:
        reached_s = min(reached_s, found.best.timeline.period_s)
    return dataclasses.replace(at_middle.plan, way=chosen, gap=max(reached_s / found.bound_s - 1.0, 0.0))
