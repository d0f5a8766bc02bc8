"""Why this plan: the runners-up and what binds each, where in the model which stage binds, and when the cut moves.

Everything is said in terms of the period. A cut whose precision was not measured counts with the fewest bits it could
still have, so its figures are bounds: it can only be worse.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Plan, Rejected, Timeline
from coachc.passes.best_bandwidths import best_ranges
from coachc.passes.candidates.candidate_masks import boundaries
from coachc.passes.partition import Limits, unfit
from coachc.passes.strategy import part
from coachc.passes.timeline import Costs, stage_times
from coachc.planning.decide import MIN_GAIN
from coachc.planning.precisions import MeasuredPrecision, PrecisionSource
from coachc.planning.problem import Problem

#: Runners-up that are shown.
RUNNERS_UP = 5


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run the model, and what keeps it from being the plan.

    Attributes
    ----------
    mode : str
        One of `coachc.core.plan.MODES`.
    mask : int
    cut : tuple of str
    bits : int or None
        Fewest of its values; None where nothing is quantized.
    known : bool
        Whether `bits` is the precision it would get, or the least it could have.
    timeline : Timeline
    binds : str
        "device", "link" or "cloud" (its slowest stage), "accuracy", "memory", "latency" or "shape".
    reason : str
    possible : bool
        False where no precision makes it admissible.
    """

    mode: str
    mask: int
    cut: tuple[str, ...]
    bits: int | None
    known: bool
    timeline: Timeline
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
    while True:
        ways = [found.ways(mask) for mask in dict.fromkeys((*masks, problem.graph.full_mask))]
        if plan.alternatives[2].emittable:
            ways.append([found.settle("cloud-jpeg", 0, (), None, True, plan.alternatives[2].timeline)])
        ways = [options for options in ways if mode in ("auto", options[0].mode)]
        every = [options[0] for options in ways]
        # Tensors as they are may be the better way at another bandwidth only.
        moves = _moves(problem.costs, [option for options in ways for option in options if option.possible])
        unsure = [move.option for move in _around(moves, problem.costs) if not move.option.known]
        if not measure or not unsure:
            break
        for option in unsure:
            precision(option.mask, option.cut, MAX_BITS)
    others = [option for option in every if (option.mode, option.mask) != (plan.mode, plan.mask)]
    others.sort(key=lambda option: (option.timeline.period_s, option.mask))
    return Explanation(
        runners_up=tuple([option for option in others if option.binds != "shape"][:RUNNERS_UP]),
        regions=_regions(problem, [o for o in every if o.mode in ("split", "cloud-raw")], plan.timeline.period_s),
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
        graph, costs = self.problem.graph, self.problem.costs
        if mask == graph.full_mask:
            return [self.settle("device-only", mask, (), None, True, self.plan.alternatives[0].timeline)]
        mode = "split" if mask else "cloud-raw"
        cut = graph.cut_values(mask)
        hope = part(graph, costs, mask, MIN_BITS).timeline
        reason = unfit(graph, mask, cut, costs, self.limits)
        if reason:
            binds = "memory" if "MiB" in reason else "shape"
            return [Option(mode, mask, cut, MIN_BITS, False, hope, binds, reason, possible=False)]
        raw = part(graph, costs, mask, UNQUANTIZED)
        width = max((q.bits for q in raw.quantizers), default=None)
        answer = self.precision.known(mask)
        own = self.plan.bits.quantizers if (mode, mask) == (self.plan.mode, self.plan.mask) else ()
        if any(quantizer.codec == "packed" for quantizer in own):
            answer = self.plan.bits  # it may have been refined since the search asked
        if isinstance(answer, Rejected):
            late = self.settle(mode, mask, cut, width, True, raw.timeline)
            return [dataclasses.replace(late, binds="accuracy", reason=answer.reason)]
        if answer is None:
            bits: int | None = self.precision.least_bits(mask)
            timeline = part(graph, costs, mask, self.precision.least_bits(mask)).timeline
        else:
            bits = min((q.bits for q in answer.quantizers if q.codec == "packed"), default=None)
            timeline = stage_times(graph, mask, answer.quantizers, costs, answer)
        binds = ""
        measured = isinstance(self.precision, MeasuredPrecision)
        if measured and hope.period_s < self.plan.timeline.period_s < min(timeline.period_s, raw.timeline.period_s):
            need = f"needs {bits} bits" if answer is not None else f"needs at least {bits} bits"
            binds = "accuracy"
            reason = (
                f"{need} to keep the accuracy budget; at {MIN_BITS} its period would be {hope.period_s * 1e3:.2f} ms"
            )
        found = [
            self.settle(mode, mask, cut, bits, answer is not None, timeline, binds, reason),
            self.settle(mode, mask, cut, width, True, raw.timeline, binds, reason),
        ]
        return sorted(found, key=lambda o: (not o.possible, round(o.timeline.period_s * 1e9), o.timeline.latency_s))

    def settle(
        self,
        mode: str,
        mask: int,
        cut: tuple[str, ...],
        bits: int | None,
        known: bool,
        timeline: Timeline,
        binds: str = "",
        reason: str = "",
    ) -> Option:
        """What binds an option that no accuracy or memory forbids: the latency limit, or its slowest stage."""
        limit_s = self.limits.max_latency_s
        if limit_s is not None and timeline.latency_s > limit_s:
            reason = f"answers after {timeline.latency_s * 1e3:.1f} ms, the limit is {limit_s * 1e3:.1f} ms"
            return Option(mode, mask, cut, bits, known, timeline, "latency", reason, possible=False)
        if not binds:
            binds, stage_s = slowest(timeline, self.problem.costs)
            reason = f"{binds} busy for {stage_s * 1e3:.2f} ms a task"
        return Option(mode, mask, cut, bits, known, timeline, binds, reason)


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
        by_place[bisect.bisect_left(prefixes, True, key=lambda prefix: not option.mask & ~prefix)].append(option)
    names = [("input", "input")]
    names += [(graph.nodes[block.nodes[0]].name, graph.nodes[block.nodes[-1]].name) for block in chain]
    found: list[Region] = []
    for (first, last), options in zip(names, by_place, strict=True):
        if not options:
            continue
        best = min(options, key=lambda o: o.timeline.period_s)
        binds = _keeps_from_winning(best, plan_s, problem.costs)
        if found and found[-1].binds == binds:
            before = found.pop()
            least_s = min(before.least_period_s, best.timeline.period_s)
            found.append(Region(before.first, last, before.partitions + len(options), binds, least_s))
        else:
            found.append(Region(first, last, len(options), binds, best.timeline.period_s))
    return tuple(found)


def _keeps_from_winning(option: Option, plan_s: float, costs: Costs) -> str:
    """A side that is too slow by itself comes first: no link would help."""
    if option.binds in ("device", "link", "cloud"):
        if option.timeline.device_s > plan_s:
            return "device"
        if option.timeline.cloud_s / costs.server_share > plan_s:
            return "cloud"
    return option.binds


def _moves(costs: Costs, possible: Sequence[Option]) -> tuple[Move, ...]:
    """Least period over all bandwidths; device-only wins unless a server shortens the period by `MIN_GAIN`."""
    timelines = [
        dataclasses.replace(option.timeline, device_s=option.timeline.device_s / (1 + MIN_GAIN))
        if option.mode == "device-only"
        else option.timeline
        for option in possible
    ]
    return tuple(Move(possible[r.option], r.low_bytes_per_s, r.high_bytes_per_s) for r in best_ranges(timelines, costs))


def _around(moves: Sequence[Move], costs: Costs) -> Sequence[Move]:
    """The move at the bandwidth of the link, and its neighbours."""
    rate = costs.link.bandwidth_bytes_per_s
    here = next(place for place, move in enumerate(moves) if move.low_bytes_per_s <= rate)
    return moves[max(here - 1, 0) : here + 2]
