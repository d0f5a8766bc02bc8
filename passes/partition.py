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

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, BitPlan, Rejected, Timeline
from coachc.passes.candidates import auto
from coachc.passes.candidates.candidate_masks import Candidates
from coachc.passes.objective import MONOTONE, Overlap, key, least_key
from coachc.passes.schedule import overlap
from coachc.passes.timeline import Costs, stage_times, uniform

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
    """

    max_latency_s: float | None = None
    device_memory_bytes: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One partition with its cost.

    Attributes
    ----------
    mask : int
    cut : tuple of str
    bits : BitPlan
    timeline : Timeline
        Stages one after the other.
    overlap : Overlap
        What `passes.schedule` has overlap inside one task.
    """

    mask: int
    cut: tuple[str, ...]
    bits: BitPlan
    timeline: Timeline
    overlap: Overlap

    def key(self, objective: str) -> tuple[float, ...]:
        """Sort key, the best first."""
        return key(self.timeline, self.mask, objective, self.overlap)


@dataclass(frozen=True, slots=True)
class Found:
    """What the search returns.

    Attributes
    ----------
    best : Candidate or None
        None if no split satisfies limits and accuracy.
    closest : Candidate or None
        The candidate nearest to the latency limit if that is what nothing met.
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
    """

    best: Candidate | None
    closest: Candidate | None
    candidates: int
    measured: int
    method: str
    bound_s: float
    rejected: tuple[Rejected, ...]


def search(
    graph: GraphView,
    costs: Costs,
    precision: Precision,
    *,
    limits: Limits = NO_LIMITS,
    objective: str = "exact",
    keep: Callable[[int], bool] = lambda mask: True,
    candidates: Candidates | None = None,
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

    Returns
    -------
    Found
    """
    if candidates is None:
        candidates = auto.candidates(graph, costs, objective=objective)
    rejected: list[Rejected] = []
    hopeful: list[_Hope] = []
    lossless = objective in MONOTONE and candidates.method == "exact" and candidates.complete
    closest: Candidate | None = None

    def missed(late: Candidate) -> None:
        nonlocal closest
        if closest is None or late.timeline.latency_s < closest.timeline.latency_s:
            closest = late

    for mask in candidates.masks:
        if mask == graph.full_mask or not keep(mask):
            continue
        cut = graph.cut_values(mask)
        reason = unfit(graph, mask, cut, costs, limits)
        if reason:
            rejected.append(Rejected(describe(cut), reason))
            continue
        for bits in (MIN_BITS, UNQUANTIZED) if lossless else (MIN_BITS,):
            quantizers = uniform(graph, cut, bits)
            timeline = stage_times(graph, mask, quantizers, costs)
            if limits.max_latency_s is not None and timeline.latency_s > limits.max_latency_s:
                missed(Candidate(mask, cut, BitPlan(quantizers), timeline, Overlap()))
                continue
            hopeful.append(_Hope(mask, cut, timeline, BitPlan(quantizers) if bits == UNQUANTIZED else None))

    best: Candidate | None = None
    measured = 0
    waiting: list[tuple[tuple[float, ...], int, bool]] = [
        (least_key(hope.timeline, hope.mask, objective, costs.link.rtt_s), place, False)
        for place, hope in enumerate(hopeful)
    ]
    guess = _guess(graph, hopeful, costs, objective)
    if guess is not None:
        waiting[guess] = ((float("-inf"),), guess, True)
    heapq.heapify(waiting)
    while waiting:
        bound, place, sharp = heapq.heappop(waiting)
        if best is not None and bound >= best.key(objective):
            break
        mask, cut, lossless_bits = hopeful[place].mask, hopeful[place].cut, hopeful[place].lossless
        if not sharp:
            heapq.heappush(waiting, (_hope_key(graph, hopeful[place], costs, objective), place, True))
            continue
        if lossless_bits is not None:
            answer: BitPlan | Rejected = lossless_bits
        else:
            answer = precision(mask, cut, _most_bits(graph, mask, cut, best, costs, objective))
            measured += 1
        if isinstance(answer, Rejected):
            rejected.append(answer)
            continue
        real = costed(graph, mask, cut, answer, costs)
        if limits.max_latency_s is not None and real.timeline.latency_s > limits.max_latency_s:
            missed(real)
        elif best is None or real.key(objective) < best.key(objective):
            best = real
    bound_s = _bound_s(candidates, [hope.timeline for hope in hopeful], best, len(graph.nodes))
    return Found(best, closest, candidates.seen, measured, candidates.method, bound_s, tuple(rejected))


@dataclass(frozen=True, slots=True)
class _Hope:
    """A candidate before its precision is known; `lossless` where it sends tensors as they are."""

    mask: int
    cut: tuple[str, ...]
    timeline: Timeline
    lossless: BitPlan | None


def _guess(graph: GraphView, hopeful: list[_Hope], costs: Costs, objective: str) -> int | None:
    """The candidate that is measured first: the best if every cut needed `GUESS_BITS`.

    It proves nothing, but whoever has to beat it is soon ruled out: only few bits would do.
    """
    quantized = [place for place, hope in enumerate(hopeful) if hope.lossless is None]
    if objective not in MONOTONE or not quantized:
        return None
    times = {
        place: stage_times(graph, hopeful[place].mask, uniform(graph, hopeful[place].cut, GUESS_BITS), costs)
        for place in quantized
    }
    return min(quantized, key=lambda place: key(times[place], hopeful[place].mask, objective))


def _hope_key(graph: GraphView, hope: _Hope, costs: Costs, objective: str) -> tuple[float, ...]:
    """The best key a candidate can have at any precision."""
    if hope.lossless is not None:
        return costed(graph, hope.mask, hope.cut, hope.lossless, costs).key(objective)
    precisions = (MIN_BITS,) if objective in MONOTONE else range(MIN_BITS, MAX_BITS + 1)
    return min(_uniform(graph, hope.mask, hope.cut, bits, costs).key(objective) for bits in precisions)


def _bound_s(candidates: Candidates, hopeful: list[Timeline], best: Candidate | None, operators: int) -> float:
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
    return min(best.timeline.period_s, *(timeline.period_s for timeline in hopeful))


def costed(graph: GraphView, mask: int, cut: tuple[str, ...], bits: BitPlan, costs: Costs) -> Candidate:
    """A partition at a precision, with its times."""
    timeline = stage_times(graph, mask, bits.quantizers, costs, bits)
    return Candidate(mask, cut, bits, timeline, overlap(graph, mask, bits.quantizers, costs))


def _uniform(graph: GraphView, mask: int, cut: tuple[str, ...], bits: int, costs: Costs) -> Candidate:
    return costed(graph, mask, cut, BitPlan(uniform(graph, cut, bits)), costs)


def _most_bits(
    graph: GraphView, mask: int, cut: tuple[str, ...], best: Candidate | None, costs: Costs, objective: str
) -> int:
    """Most bits with which a candidate that may win at some precision still does."""
    if best is None:
        return MAX_BITS
    to_beat = best.key(objective)
    wins = (
        b for b in range(MAX_BITS, MIN_BITS - 1, -1) if _uniform(graph, mask, cut, b, costs).key(objective) < to_beat
    )
    return next(wins)


def unfit(graph: GraphView, mask: int, cut: tuple[str, ...], costs: Costs, limits: Limits) -> str:
    """Why a partition cannot be emitted or run at any precision; empty if it can."""
    for name in cut:
        if not graph.values[name].cuttable:
            return f"'{name}' has no static shape"
    needed = device_memory_bytes(graph, mask, costs.device.element_bytes)
    if limits.device_memory_bytes is not None and needed > limits.device_memory_bytes:
        return f"needs {needed / 2**20:.0f} MiB on the device, which has {limits.device_memory_bytes / 2**20:.0f} MiB"
    return ""


def device_memory_bytes(graph: GraphView, mask: int, element_bytes: int) -> int:
    """Weights of the nodes in `mask` plus the largest operator's inputs and outputs."""
    works = [node.work for index, node in enumerate(graph.nodes) if mask >> index & 1]
    weights = sum(w.weight_elements for w in works)
    activations = max((w.input_elements + w.output_elements for w in works), default=0)
    return (weights + activations) * element_bytes


def describe(cut: tuple[str, ...]) -> str:
    """A cut in an error or a list of reasons."""
    return "cut at " + ", ".join(cut)
