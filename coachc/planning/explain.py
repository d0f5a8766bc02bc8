"""Why this plan: the runners-up and what binds each, where in the model which stage binds, and when the cut moves.

Everything is said in terms of the period. A cut whose precision was not measured counts with the fewest bits it could
still have, so its figures are bounds: it can only be worse.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Plan, Rejected, Timeline, Way
from coachc.passes.best_bandwidths import best_ranges
from coachc.passes.candidates.candidate_masks import boundaries
from coachc.passes.energy import joules
from coachc.passes.partition import Limits, unfit
from coachc.passes.timeline import Costs, uniform_way, way_at
from coachc.planning.precisions import MeasuredPrecision, PrecisionSource
from coachc.planning.problem import Problem

#: Runners-up that are shown.
RUNNERS_UP = 5


@dataclass(frozen=True, slots=True)
class Option:
    """A way to run the model, and what keeps it from being the plan.

    Attributes
    ----------
    way : Way
        At the precision it would get, or at the fewest bits it could have.
    known : bool
        Which of the two.
    binds : str
        "device", "link" or "cloud" (its slowest stage), "accuracy", "memory", "latency", "energy", "shape" or "target"
        (what it does not build).
    reason : str
    possible : bool
        False where no precision makes it admissible.
    """

    way: Way
    known: bool
    binds: str
    reason: str
    possible: bool = True


@dataclass(frozen=True, slots=True)
class Region:
    """Neighbouring blocks in which the same thing binds.

    Attributes
    ----------
    first, last : str
        Operators.
    partitions : int
        Cuts that end in these blocks.
    binds : str
    least_period_s : float
        Of all of them.
    """

    first: str
    last: str
    partitions: int
    binds: str
    least_period_s: float


@dataclass(frozen=True, slots=True)
class Move:
    """Bandwidths at which one option has the least period.

    Attributes
    ----------
    option : Option
    low_bytes_per_s, high_bytes_per_s : float
    """

    option: Option
    low_bytes_per_s: float
    high_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a plan is what it is.

    Attributes
    ----------
    runners_up : tuple of Option
        The best first.
    regions : tuple of Region
        In the order of the model.
    moves : tuple of Move
        From the highest bandwidth to the lowest.
    """

    runners_up: tuple[Option, ...]
    regions: tuple[Region, ...]
    moves: tuple[Move, ...]


def explain(
    problem: Problem,
    plan: Plan,
    masks: Sequence[int],
    *,
    precision: PrecisionSource,
    limits: Limits,
    mode: str = "auto",
    measure: bool = False,
) -> Explanation:
    """Explain a plan.

    Parameters
    ----------
    problem : Problem
    plan : Plan
    masks : sequence of int
        The search's candidates.
    precision : PrecisionSource
        What the search asked.
    limits : Limits
    mode : str
        As the plan was asked for: "auto", or the only mode to consider.
    measure : bool
        Measure the precision of the cuts that would be next at a higher and at a lower bandwidth, so that these two
        moves are certain. Otherwise no cut is measured.

    Returns
    -------
    Explanation
    """
    found = _Options(problem, plan, precision, limits)
    jpeg = plan.alternatives["cloud-jpeg"]
    while True:
        ways = [found.ways(mask) for mask in dict.fromkeys((*masks, problem.graph.full_mask))]
        if jpeg.emittable:
            ways.append([found.settle(jpeg.way)])
        ways = [options for options in ways if mode in ("auto", options[0].way.mode)]
        every = [options[0] for options in ways]
        # Tensors as they are may be the better way at another bandwidth only.
        moves = _moves(problem.costs, [option for options in ways for option in options if option.possible])
        unsure = [move.option for move in _around(moves, problem.costs) if not move.option.known]
        if not measure or not unsure:
            break
        for option in unsure:
            precision(option.way.mask, option.way.cut, MAX_BITS)
    others = [option for option in every if (option.way.mode, option.way.mask) != (plan.way.mode, plan.way.mask)]
    others.sort(key=lambda option: (option.way.timeline.period_s, option.way.mask))
    return Explanation(
        runners_up=tuple([option for option in others if option.binds not in ("shape", "target")][:RUNNERS_UP]),
        regions=_regions(
            problem, [o for o in every if o.way.mode in ("split", "cloud-raw")], plan.way.timeline.period_s
        ),
        moves=moves,
    )


@dataclass(frozen=True)
class _Options:
    """Everything known about the candidates."""

    problem: Problem
    plan: Plan
    precision: PrecisionSource
    limits: Limits

    def ways(self, mask: int) -> list[Option]:
        """One candidate of the search at its precision, and with its tensors as they are; the better one first."""
        graph, costs, taken = self.problem.graph, self.problem.costs, self.plan.way
        hope = uniform_way(graph, mask, MIN_BITS, costs)
        alone = self.plan.alternatives["device-only"]
        if mask == graph.full_mask and alone.emittable:
            return [self.settle(alone.way)]
        forbidden = unfit(graph, mask, costs, self.limits)
        if forbidden is not None:
            return [Option(hope, False, forbidden.binds, forbidden.text, possible=False)]
        raw = uniform_way(graph, mask, UNQUANTIZED, costs)
        answer = self.precision.known(mask)
        if taken.bits.packed and (hope.mode, mask) == (taken.mode, taken.mask):
            answer = taken.bits  # it may have been refined since the search asked
        if isinstance(answer, Rejected):
            return [dataclasses.replace(self.settle(raw), binds="accuracy", reason=answer.reason)]
        if answer is None:
            way = uniform_way(graph, mask, self.precision.least_bits(mask), costs)
        else:
            way = way_at(graph, mask, answer, costs)
        binds, reason = "", ""
        measured = isinstance(self.precision, MeasuredPrecision)
        least_s = min(way.timeline.period_s, raw.timeline.period_s)
        if measured and hope.timeline.period_s < taken.timeline.period_s < least_s:
            need = f"needs {way.bits.fewest} bits" if answer is not None else f"needs at least {way.bits.fewest} bits"
            binds = "accuracy"
            reason = (
                f"{need} to keep the accuracy budget; at {MIN_BITS} its period would be "
                f"{hope.timeline.period_s * 1e3:.2f} ms"
            )
        known = answer is not None or not way.bits.packed
        found = [self.settle(way, known, binds, reason), self.settle(raw, True, binds, reason)]
        return sorted(
            found, key=lambda o: (not o.possible, round(o.way.timeline.period_s * 1e9), o.way.timeline.latency_s)
        )

    def settle(self, way: Way, known: bool = True, binds: str = "", reason: str = "") -> Option:
        """What binds an option that no accuracy or memory forbids: a limit of latency or energy, or a stage."""
        limits = self.limits
        if limits.hungry(way) and limits.power is not None:
            reason = f"takes {joules(way.timeline, limits.power):.3g} J a task, the limit is {limits.max_joules:.3g} J"
            return Option(way, known, "energy", reason, possible=False)
        if limits.late(way):
            limit_s, latency_s = self.limits.max_latency_s or 0.0, way.timeline.latency_s
            reason = f"answers after {latency_s * 1e3:.1f} ms, the limit is {limit_s * 1e3:.1f} ms"
            return Option(way, known, "latency", reason, possible=False)
        if not binds:
            binds, stage_s = slowest(way.timeline, self.problem.costs)
            reason = f"{binds} busy for {stage_s * 1e3:.2f} ms a task"
        return Option(way, known, binds, reason)


def slowest(timeline: Timeline, costs: Costs) -> tuple[str, float]:
    """The stage that sets the period, and its seconds a task."""
    stages = {"device": timeline.device_s, "link": timeline.link_s, "cloud": timeline.cloud_s / costs.server_share}
    name = max(stages, key=lambda stage: stages[stage])
    return name, stages[name]


def _regions(problem: Problem, splits: Sequence[Option], plan_s: float) -> tuple[Region, ...]:
    """Blocks of the chain by what keeps the best cut inside or behind each from winning, equal neighbours as one."""
    graph, chain = problem.graph, problem.blocks.chain
    prefixes = boundaries(chain)
    by_place: list[list[Option]] = [[] for _ in prefixes]
    for option in splits:
        # The first boundary that holds the whole device half: the cut lies on it, or inside the block before it.
        by_place[bisect.bisect_left(prefixes, True, key=lambda prefix: not option.way.mask & ~prefix)].append(option)
    names = [("input", "input")]
    names += [(graph.nodes[block.nodes[0]].name, graph.nodes[block.nodes[-1]].name) for block in chain]
    found: list[Region] = []
    for (first, last), options in zip(names, by_place, strict=True):
        if not options:
            continue
        best = min(options, key=lambda o: o.way.timeline.period_s)
        binds = _keeps_from_winning(best, plan_s, problem.costs)
        if found and found[-1].binds == binds:
            before = found.pop()
            least_s = min(before.least_period_s, best.way.timeline.period_s)
            found.append(Region(before.first, last, before.partitions + len(options), binds, least_s))
        else:
            found.append(Region(first, last, len(options), binds, best.way.timeline.period_s))
    return tuple(found)


def _keeps_from_winning(option: Option, plan_s: float, costs: Costs) -> str:
    """A side that is too slow by itself comes first: no link would help."""
    if option.binds in ("device", "link", "cloud"):
        if option.way.timeline.device_s > plan_s:
            return "device"
        if option.way.timeline.cloud_s / costs.server_share > plan_s:
            return "cloud"
    return option.binds


def _moves(costs: Costs, possible: Sequence[Option]) -> tuple[Move, ...]:
    """Least period over all bandwidths; device-only wins where a server shortens it by no more than `Costs.tie`."""
    timelines = [
        dataclasses.replace(option.way.timeline, device_s=option.way.timeline.device_s / (1 + costs.tie))
        if option.way.mode == "device-only"
        else option.way.timeline
        for option in possible
    ]
    return tuple(Move(possible[r.option], r.low_bytes_per_s, r.high_bytes_per_s) for r in best_ranges(timelines, costs))


def _around(moves: Sequence[Move], costs: Costs) -> Sequence[Move]:
    """The move at the bandwidth of the link, and its neighbours."""
    rate = costs.link.bandwidth_bytes_per_s
    here = next(place for place, move in enumerate(moves) if move.low_bytes_per_s <= rate)
    return moves[max(here - 1, 0) : here + 2]
