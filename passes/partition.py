"""Find the best partition and its precision together: exact over all ideals, accuracy measured only where it matters.

Four small things: candidates (`passes.candidates`), cost (`passes.timeline`, `passes.schedule`), order
(`passes.objective`) and the search here, which is best-first. Every candidate enters with a bound of its key that costs
nothing. When its turn comes it gets the best key it can have at any precision; when that is the least of all, the
caller measures its accuracy, up to the most bits with which it would still win. The search ends when the least bound is
no better than the best real plan: what remains cannot win.

A cut may also send its tensors as they are, which needs no quantizing and loses nothing: where the link has time to
spare, that is faster. Only a search over all ideals tries it, since the other methods' bounds are those of packed
codes; COACH's Eq. 6 does not know it.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable
from dataclasses import dataclass

from coachc.core.graph import GraphView
from coachc.core.placement import ANYWHERE, Placement
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, BitPlan, Rejected, Way
from coachc.core.power import Power
from coachc.passes.candidates import auto
from coachc.passes.candidates.candidate_masks import Candidates
from coachc.passes.energy import joules
from coachc.passes.half_memory import half_memory, most_memory_bytes
from coachc.passes.objective import MONOTONE, least_key, rank
from coachc.passes.schedule import overlap
from coachc.passes.timeline import Costs, uniform, uniform_way, way_at

#: What a cut usually needs.
GUESS_BITS = 5

#: (mask, cut, most bits) -> the lowest admissible precision up to that many bits, or why there is none.
Precision = Callable[[int, tuple[str, ...], int], BitPlan | Rejected]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan has to respect besides accuracy.

    Attributes
    ----------
    max_latency_s : float or None
    device_memory_bytes : int or None
    placement : Placement
        What the targets do not build.
    max_period_s : float or None
    max_joules : float or None
        Of the device for one task; with `power`.
    power : Power or None
    """

    max_latency_s: float | None = None
    device_memory_bytes: int | None = None
    placement: Placement = ANYWHERE
    max_period_s: float | None = None
    max_joules: float | None = None
    power: Power | None = None

    def admits(self, way: Way) -> bool:
        """Whether it answers early enough, its stages one after the other, often enough, and within its energy."""
        if self.late(way) or self.hungry(way):
            return False
        return self.max_period_s is None or way.timeline.period_s <= self.max_period_s

    def late(self, way: Way) -> bool:
        """Whether it answers later than may be."""
        return self.max_latency_s is not None and way.timeline.latency_s > self.max_latency_s

    def hungry(self, way: Way) -> bool:
        """Whether a task takes more of the device's battery than it may."""
        if self.max_joules is None or self.power is None:
            return False
        return joules(way.timeline, self.power) > self.max_joules


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Found:
    """What the search returns.

    Attributes
    ----------
    best : Way or None
        None if no split satisfies limits and accuracy.
    closest : Way or None
        The one nearest to the latency limit if that is what nothing met.
    candidates : int
        Ideals or labels looked at.
    measured : int
        Cuts whose accuracy was measured.
    method : str
        How the candidates were found: "exact", "recursive", "frontier" or "mincut".
    bound_s : float
        No admissible split of packed codes has a smaller period; equal to the best one's where that is proven optimal,
        infinite where it is proven that there is none.
    rejected : tuple of Rejected
    shortest_s : float
        The shortest period met, where that of `best` is a little longer and counts as equal.
    """

    best: Way | None
    closest: Way | None
    candidates: int
    measured: int
    method: str
    bound_s: float
    rejected: tuple[Rejected, ...]
    shortest_s: float = float("inf")


def search(
    graph: GraphView,
    costs: Costs,
    precision: Precision,
    *,
    limits: Limits = NO_LIMITS,
    objective: str = "exact",
    keep: Callable[[int], bool] = lambda mask: True,
    candidates: Candidates | None = None,
    incumbent: Way | None = None,
) -> Found:
    """Best split of `graph`, device-only apart.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    precision : callable
        Called once per cut.
    limits : Limits
    objective : str
        One of `passes.objective.OBJECTIVES`.
    keep : callable
        mask -> whether to consider it at all; 0 is the cut at the model's inputs.
    candidates : Candidates, optional
        Partitions to look at; `passes.candidates.auto` finds them if not given.
    incumbent : Way, optional
        A split within the limits that is known already, to be beaten.

    Returns
    -------
    Found
    """
    if candidates is None:
        candidates = auto.candidates(graph, costs, objective=objective)
    rejected: list[Rejected] = []
    hopeful: list[_Hope] = []
    lossless = objective in MONOTONE and candidates.method == "exact" and candidates.complete
    late: list[Way] = []

    for mask in candidates.masks:
        if mask == graph.full_mask or not keep(mask):
            continue
        reason = unfit(graph, mask, costs, limits)
        if reason:
            rejected.append(Rejected(describe(graph.cut_values(mask)), reason.text))
            continue
        for bits in (MIN_BITS, UNQUANTIZED) if lossless else (MIN_BITS,):
            way = uniform_way(graph, mask, bits, costs)
            if limits.admits(way):
                hopeful.append(_Hope(way, settled=bits == UNQUANTIZED))
            else:
                late.append(way)

    best = incumbent
    measured = 0
    waiting: list[tuple[tuple[float, ...], int, bool]] = [
        (least_key(hope.way.timeline, hope.way.mask, objective, costs.link.rtt_s), place, False)
        for place, hope in enumerate(hopeful)
    ]
    guess = _guess(graph, hopeful, costs, objective) if incumbent is None else None
    if guess is not None:
        waiting[guess] = ((float("-inf"),), guess, True)
    heapq.heapify(waiting)
    while waiting:
        bound, place, sharp = heapq.heappop(waiting)
        if best is not None and bound >= rank(best, objective):
            break
        hope = hopeful[place]
        if not sharp:
            heapq.heappush(waiting, (_hope_key(graph, hope, costs, objective), place, True))
            continue
        mask = hope.way.mask
        answer: BitPlan | Rejected = hope.way.bits
        if not hope.settled:
            answer = precision(mask, hope.way.cut, _most_bits(graph, mask, best, costs, objective))
            measured += 1
        if isinstance(answer, Rejected):
            rejected.append(answer)
            continue
        real = _ranked(graph, mask, answer, costs, objective)
        if not limits.admits(real):
            late.append(real)
        elif best is None or rank(real, objective) < rank(best, objective):
            best = real
    if best is not None and best is not incumbent:
        best = costed(graph, best.mask, best.bits, costs)
    closest = min(late, key=lambda way: way.timeline.latency_s, default=None)
    bound_s = _bound_s(candidates, hopeful, best, len(graph.nodes))
    shortest_s = best.timeline.period_s if best is not None else float("inf")
    return Found(best, closest, candidates.seen, measured, candidates.method, bound_s, tuple(rejected), shortest_s)


@dataclass(frozen=True, slots=True)
class _Hope:
    """A candidate before its precision is known; `settled` where it sends its tensors as they are."""

    way: Way
    settled: bool


def _guess(graph: GraphView, hopeful: list[_Hope], costs: Costs, objective: str) -> int | None:
    """The candidate that is measured first: the best if every cut needed `GUESS_BITS`.

    It proves nothing, but whoever has to beat it is soon ruled out: only few bits would do.
    """
    quantized = [place for place, hope in enumerate(hopeful) if not hope.settled]
    if objective not in MONOTONE or not quantized:
        return None
    ways = {place: uniform_way(graph, hopeful[place].way.mask, GUESS_BITS, costs) for place in quantized}
    return min(quantized, key=lambda place: rank(ways[place], objective))


def _hope_key(graph: GraphView, hope: _Hope, costs: Costs, objective: str) -> tuple[float, ...]:
    """The best key a candidate can have at any precision; one that sends its tensors as they are has its own."""
    if hope.settled:
        return rank(_ranked(graph, hope.way.mask, hope.way.bits, costs, objective), objective)
    precisions = (MIN_BITS,) if objective in MONOTONE else range(MIN_BITS, MAX_BITS + 1)
    return min(_uniform_rank(graph, hope.way.mask, bits, costs, objective) for bits in precisions)


def _bound_s(candidates: Candidates, hopeful: list[_Hope], best: Way | None, operators: int) -> float:
    """Period that no admissible split beats.

    All ideals: the best one's. Dominated ideals left out ("frontier"): dominance holds while all cuts get the same
    bits, and knows nothing of limits, so only the least optimistic period is certain, if nothing was filtered out.
    """
    if candidates.method == "exact" and candidates.complete:
        return best.timeline.period_s if best is not None else float("inf")
    if best is None or not candidates.complete:
        return candidates.bound_s
    filtered = len(hopeful) < sum(mask.bit_count() < operators for mask in candidates.masks)
    if filtered or candidates.epsilon:
        return candidates.bound_s
    return min(best.timeline.period_s, *(hope.way.timeline.period_s for hope in hopeful))


def costed(graph: GraphView, mask: int, bits: BitPlan, costs: Costs) -> Way:
    """A partition at a precision, with its times and what of them overlaps."""
    way = way_at(graph, mask, bits, costs)
    return dataclasses.replace(way, overlap=overlap(graph, mask, bits.quantizers, costs))


def _ranked(graph: GraphView, mask: int, bits: BitPlan, costs: Costs, objective: str) -> Way:
    """A partition with what an objective reads of it: scheduling one task takes far longer than all else."""
    return (way_at if objective == "latency" else costed)(graph, mask, bits, costs)


def _uniform_rank(graph: GraphView, mask: int, bits: int, costs: Costs, objective: str) -> tuple[float, ...]:
    plan = BitPlan(uniform(graph, graph.cut_values(mask), bits))
    return rank(_ranked(graph, mask, plan, costs, objective), objective)


def _most_bits(graph: GraphView, mask: int, best: Way | None, costs: Costs, objective: str) -> int:
    """Most bits with which a candidate that may win at some precision still does."""
    if best is None:
        return MAX_BITS
    to_beat = rank(best, objective)
    return next(b for b in range(MAX_BITS, MIN_BITS - 1, -1) if _wins(graph, mask, b, costs, objective, to_beat))


def _wins(graph: GraphView, mask: int, bits: int, costs: Costs, objective: str, to_beat: tuple[float, ...]) -> bool:
    """Whether a partition ranks before what is to be beaten; it is scheduled only where the period leaves that open."""
    if objective == "exact":
        period = rank(uniform_way(graph, mask, bits, costs), objective)[0]
        if period != to_beat[0]:
            return period < to_beat[0]
    return _uniform_rank(graph, mask, bits, costs, objective) < to_beat


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a partition cannot be emitted or run at any precision: "shape", "target" or "memory", and in words."""

    binds: str
    text: str


def unfit(graph: GraphView, mask: int, costs: Costs, limits: Limits) -> Unfit | None:
    """What keeps a partition from being emitted or run at any precision; None if nothing does."""
    for name in graph.cut_values(mask):
        if not graph.values[name].cuttable:
            return Unfit("shape", f"'{name}' has no static shape, or no type that can be sent")
    if refused := limits.placement.against(graph, mask):
        return Unfit("target", refused)
    has, element_bytes = limits.device_memory_bytes, costs.device.element_bytes
    if has is not None and most_memory_bytes(graph, element_bytes) > has:
        needed = half_memory(graph, mask, element_bytes).total_bytes
        if needed > has:
            return Unfit("memory", f"needs {needed / 2**20:.0f} MiB on the device, which has {has / 2**20:.0f} MiB")
    return None


def describe(cut: tuple[str, ...]) -> str:
    """A cut in an error or a list of reasons."""
    return "cut at " + ", ".join(cut)
