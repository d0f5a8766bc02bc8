"""Search and decide for a range of bandwidths: a few nested cuts of which one is always nearly the best.

The best plan is sought at some bandwidths of the range; what is measured of a cut's accuracy does not depend on the
link and is measured once. Of the winners `passes.cut_chain` takes a chain, device-only in it as what runs when the link
is down; only these cuts are refined. The device holds the segments of a chain once, so a chain needs the memory of its
largest cut, which the search has checked; where the whole model does not fit, device-only takes no tasks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

from coachc.calib.dataset import RANDOM
from coachc.calib.refine import Refined
from coachc.core.plan import MAX_BITS, BitPlan, Plan, Timeline
from coachc.errors import InfeasibleError
from coachc.passes.cut_chain import LinkLine, best_chain, best_intervals
from coachc.passes.partition import Limits, costed, device_memory_bytes
from coachc.passes.timeline import stage_times
from coachc.planning.calibration import Calibration
from coachc.planning.decide import MIN_GAIN, jpeg_timeline
from coachc.planning.make_plan import Planned, make_plan, refine_cut
from coachc.planning.precisions import where_it_pays
from coachc.planning.problem import Problem, Progress, silent

#: Bandwidths at which the optimum is sought, evenly spaced by their logarithms: both ends and the geometric middle
#: are among them.
GRID = 7


@dataclass(frozen=True, slots=True)
class ChosenCut:
    """One cut of a bundle.

    Attributes
    ----------
    name : str
    mode : str
        One of `coachc.core.plan.MODES`.
    mask : int
    bits : BitPlan
    timeline : Timeline
        At the middle of the range.
    best_between : tuple of (float, float)
        Bandwidths, in bytes a second, between which no other cut of the bundle has a shorter period; empty where it is
        never the best, such as device-only on a fast link.
    """

    name: str
    mode: str
    mask: int
    bits: BitPlan
    timeline: Timeline
    best_between: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class CutSet:
    """The cuts of a bundle for a range of bandwidths.

    Attributes
    ----------
    low_bytes_per_s, high_bytes_per_s : float
    grid : tuple of float
        Bandwidths at which the optimum was sought.
    cuts : tuple of ChosenCut
        By descending work on the cloud; device-only, always among them, is last.
    chosen : str
        Name of the best one at the geometric middle of the range.
    worst, mean : float
        Of (period of the best cut) / (least period of any that was found) on the grid, before the cuts were refined.
    """

    low_bytes_per_s: float
    high_bytes_per_s: float
    grid: tuple[float, ...]
    cuts: tuple[ChosenCut, ...]
    chosen: str
    worst: float
    mean: float


@dataclass(frozen=True, slots=True)
class _Option:
    """A cut that won somewhere, with its values coded where they are packed."""

    mode: str
    mask: int
    bits: BitPlan


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
) -> tuple[Planned, CutSet]:
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
) -> tuple[Planned, CutSet]:
    """The chain of winners, refined, and the plan of its best at the middle."""
    at_middle = planned[GRID // 2]
    options = _options(problem, calibration, planned, limits, mode)
    periods_s = [[_period_s(option, calibration, there, limits) for there in problems] for option in options]
    optimum_s = [min(row[place] for row in periods_s) for place in range(GRID)]
    always = next((place for place, option in enumerate(options) if option.mode == "device-only"), None)
    chain = best_chain([option.mask for option in options], periods_s, optimum_s, always=always)
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
    found = []
    for place in chain.members:
        option = options[place]
        tried = _refined(problem, calibration, option, progress)
        bits = option.bits
        if tried is not None:
            refined[option.mode, option.mask], bits = tried, tried.plan
        elif calibration.kind == RANDOM and calibration.measured is not None and _is_packed(option):
            bits = calibration.measured.evaluator(option.mask).at(MAX_BITS)
        # Its codes are coded, or only packed, as is better in the middle of where it serves.
        rates = [problems[k].costs.link.bandwidth_bytes_per_s for k in serves[place] or [GRID // 2]]
        bits = where_it_pays(bits, _with_bandwidth(problem, math.sqrt(rates[0] * rates[-1])))
        if not _is_packed(option) and option.mode != "cloud-jpeg":
            # What sends its tensors as they are is the whole model.
            bits = dataclasses.replace(bits, accuracy=at_middle.plan.alternatives[0].accuracy)
        found.append(_Option(option.mode, option.mask, bits))
    cuts = _with_intervals(problem, calibration, found, bandwidths, limits)
    chosen = _at_middle(cuts, {(option.mode, option.mask) for option in found}, limits)
    cut_set = CutSet(
        *bandwidths, tuple(there.costs.link.bandwidth_bytes_per_s for there in problems), cuts, chosen.name,
        chain.worst, chain.mean,
    )  # fmt: skip
    search = at_middle.found
    if calibration.measured is not None and calibration.kind != RANDOM:
        search = dataclasses.replace(search, measured=calibration.measured.asked)
    plan = _plan_of(problem, at_middle, chosen)
    return Planned(plan, search, at_middle.candidates, refined.get((chosen.mode, chosen.mask))), cut_set


def _options(
    problem: Problem, calibration: Calibration, planned: Sequence[Planned], limits: Limits, mode: str
) -> list[_Option]:
    """What won somewhere, and device-only where it may run; the same cut as codes and as it is are two."""
    graph, costs = problem.graph, problem.costs
    whole = planned[0].plan.alternatives[0].accuracy
    found: dict[tuple[str, int, bool], _Option] = {}
    for one in planned:
        plan, best = one.plan, one.found.best
        ways = [(plan.mode, plan.mask, plan.bits)]
        if best is not None:
            ways.append(("split" if best.mask else "cloud-raw", best.mask, best.bits))
        for name, mask, bits in ways:
            if name == "device-only":
                continue
            packed = any(quantizer.codec == "packed" for quantizer in bits.quantizers)
            coded = calibration.precision.coded(mask) if packed else None
            found.setdefault((name, mask, packed), _Option(name, mask, coded or bits))
    needed = device_memory_bytes(graph, graph.full_mask, costs.device.element_bytes)
    fits = limits.device_memory_bytes is None or needed <= limits.device_memory_bytes
    if mode in ("auto", "device-only") and (fits or not found):
        found["device-only", graph.full_mask, False] = _Option("device-only", graph.full_mask, BitPlan((), whole))
    return list(found.values())


def _is_packed(option: _Option) -> bool:
    return any(quantizer.codec == "packed" for quantizer in option.bits.quantizers)


def _is_least(place: int, rate: int, members: Sequence[int], periods_s: Sequence[Sequence[float]]) -> bool:
    return periods_s[place][rate] == min(periods_s[member][rate] for member in members)


def _refined(problem: Problem, calibration: Calibration, option: _Option, progress: Progress) -> Refined | None:
    if not _is_packed(option) or calibration.kind in (RANDOM, "none"):
        return None
    return refine_cut(problem, calibration, option.mask, option.bits, progress)


def _with_bandwidth(problem: Problem, rate: float) -> Problem:
    link = dataclasses.replace(problem.costs.link, bandwidth_bytes_per_s=rate)
    return dataclasses.replace(problem, costs=dataclasses.replace(problem.costs, link=link))


def _timeline(option: _Option, calibration: Calibration, problem: Problem) -> Timeline:
    """The stages of a cut whose values are packed and coded as its `bits` say."""
    if option.mode == "cloud-jpeg":
        assert calibration.jpeg is not None
        return jpeg_timeline(calibration.jpeg, problem.costs)
    return stage_times(problem.graph, option.mask, option.bits.quantizers, problem.costs, option.bits)


def _period_s(option: _Option, calibration: Calibration, problem: Problem, limits: Limits) -> float:
    """The period at one bandwidth, coded where that pays there; infinite where the cut answers too late."""
    timeline = _timeline(dataclasses.replace(option, bits=where_it_pays(option.bits, problem)), calibration, problem)
    late = limits.max_latency_s is not None and timeline.latency_s > limits.max_latency_s
    return math.inf if late else timeline.period_s


def _line(option: _Option, calibration: Calibration, problem: Problem, low: float, high: float) -> LinkLine:
    """The period at every bandwidth, from the link's time at two; device-only is preferred as `decide` prefers it."""
    slow, fast = (_timeline(option, calibration, _with_bandwidth(problem, rate)) for rate in (low, high))
    compute_s = max(slow.device_s, slow.cloud_s / problem.costs.server_share)
    if option.mode == "device-only":
        return LinkLine(compute_s / (1 + MIN_GAIN), 0.0, 0.0)
    wire_bytes = (slow.link_s - fast.link_s) / (1 / low - 1 / high)
    return LinkLine(compute_s, fast.link_s - wire_bytes / high, wire_bytes)


def _with_intervals(
    problem: Problem,
    calibration: Calibration,
    found: Sequence[_Option],
    bandwidths: tuple[float, float],
    limits: Limits,
) -> tuple[ChosenCut, ...]:
    """The cuts that are the best somewhere in the range, or may be in time where those are not, and device-only."""
    low, high = bandwidths
    graph = problem.graph
    lines = [_line(option, calibration, problem, low, high) for option in found]
    between: dict[int, list[tuple[float, float]]] = {}
    for place, start, end in best_intervals(lines, low, high):
        between.setdefault(place, []).append((start, end))
    kept = [(option, between.get(place, [])) for place, option in enumerate(found)]
    kept = [
        (option, where)
        for option, where in kept
        if option.mode != "device-only" and (where or limits.max_latency_s is not None)
    ]
    names = [option.mode for option, _ in kept]
    numbered = [
        name if names.count(name) == 1 else f"{name}-{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]
    cuts = [
        ChosenCut(name, o.mode, o.mask, o.bits, _timeline(o, calibration, problem), tuple(where))
        for name, (o, where) in zip(numbered, kept, strict=True)
    ]
    alone = next((place for place, option in enumerate(found) if option.mode == "device-only"), None)
    whole = _Option("device-only", graph.full_mask, found[alone].bits if alone is not None else BitPlan(()))
    where = between.get(alone, []) if alone is not None else []
    timeline = _timeline(whole, calibration, problem)
    return (*cuts, ChosenCut(whole.mode, whole.mode, whole.mask, whole.bits, timeline, tuple(where)))


def _at_middle(cuts: Sequence[ChosenCut], admitted: Set[tuple[str, int]], limits: Limits) -> ChosenCut:
    """The cut with the shortest period at the middle of the range, of those in time."""
    possible = [
        cut
        for cut in cuts
        if (cut.mode, cut.mask) in admitted
        and (limits.max_latency_s is None or cut.timeline.latency_s <= limits.max_latency_s)
    ]
    return min(possible, key=lambda c: c.timeline.period_s / (1 + MIN_GAIN if c.mode == "device-only" else 1.0))


def _plan_of(problem: Problem, at_middle: Planned, chosen: ChosenCut) -> Plan:
    """The plan of the chosen cut, beside the alternatives at the middle of the range."""
    graph, found = problem.graph, at_middle.found
    splits = chosen.mode in ("split", "cloud-raw")
    cut = graph.cut_values(chosen.mask) if splits else ()
    saved_s = costed(graph, chosen.mask, cut, chosen.bits, problem.costs).overlap.saved_s if splits else 0.0
    reached_s = chosen.timeline.period_s
    if not splits and found.best is not None:
        reached_s = min(reached_s, found.best.timeline.period_s)
    return dataclasses.replace(
        at_middle.plan,
        mode=chosen.mode,
        mask=chosen.mask,
        cut=cut,
        bits=chosen.bits,
        timeline=chosen.timeline,
        scheduled_latency_s=chosen.timeline.latency_s - saved_s,
        gap=max(reached_s / found.bound_s - 1.0, 0.0),
    )
