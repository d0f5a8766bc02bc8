"""Find the best partition and its precision together: exact over all ideals, accuracy measured only where it matters.

Four small things: candidates (`passes.candidates`), cost (`passes.timeline`), the search here, and the tie-break
`rank`. Every candidate is first costed with the fewest bits there are, which no precision can beat. In that order the
precision of each is looked up (the caller measures accuracy, up to the most bits with which the candidate would still
win), until the next optimistic cost is no better than the best real one: what remains cannot win.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coachc.core.graph import GraphView
from coachc.core.plan import BitPlan, Rejected, Timeline
from passes.candidates import auto
from passes.candidates.base import MAX_BITS, MIN_BITS, Candidates
from passes.timeline import Costs, stage_times, uniform

OBJECTIVES = ("exact", "latency")


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """One partition with its cost."""

    mask: int
    cut: tuple[str, ...]
    bits: BitPlan
    timeline: Timeline


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
        No admissible split has a smaller period; equal to the best one's where that is proven optimal, infinite
        where it is proven that there is none.
    rejected : tuple of Rejected
    """

    best: Candidate | None
    closest: Candidate | None
    candidates: int
    measured: int
    method: str
    bound_s: float
    rejected: tuple[Rejected, ...]


def rank(timeline: Timeline, mask: int, objective: str = "exact") -> tuple[float, ...]:
    """Order of plans: period, latency, bytes (or latency first), then the earlier cut.

    Seconds are rounded to nanoseconds, so that sums taken in another order do not decide.
    """
    period_ns, latency_ns = round(timeline.period_s * 1e9), round(timeline.latency_s * 1e9)
    first = (latency_ns, period_ns) if objective == "latency" else (period_ns, latency_ns)
    return (*first, timeline.payload_bytes, mask.bit_count(), mask)


def search(
    graph: GraphView,
    costs: Costs,
    precision: Callable[[int, tuple[str, ...], int], BitPlan | Rejected],
    *,
    limits: Limits = Limits(),
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
        (mask, cut, most bits) -> the lowest admissible precision up to that many bits, or why there is none. Called
        once per cut.
    limits : Limits
    objective : str
        "exact" (period, then latency, then bytes) or "latency" (latency, then period, then bytes).
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
    hopeful: list[Candidate] = []
    closest: Candidate | None = None
    for mask in candidates.masks:
        if mask == graph.full_mask or not keep(mask):
            continue
        cut = graph.cut_values(mask)
        reason = _unfit(graph, mask, cut, costs, limits)
        if reason:
            rejected.append(Rejected(_describe(cut), reason))
            continue
        candidate = _at(graph, mask, cut, MIN_BITS, costs)
        if limits.max_latency_s is not None and candidate.timeline.latency_s > limits.max_latency_s:
            if closest is None or candidate.timeline.latency_s < closest.timeline.latency_s:
                closest = candidate
            continue
        hopeful.append(candidate)
    hopeful.sort(key=lambda c: rank(c.timeline, c.mask, objective))

    best: Candidate | None = None
    measured = 0
    for candidate in hopeful:
        if best is not None and _rank(candidate, objective) >= _rank(best, objective):
            break
        answer = precision(candidate.mask, candidate.cut, _most_bits(graph, candidate, best, costs, objective))
        measured += 1
        if isinstance(answer, Rejected):
            rejected.append(answer)
            continue
        timeline = stage_times(graph, candidate.mask, answer.quantizers, costs)
        real = Candidate(candidate.mask, candidate.cut, answer, timeline)
        if limits.max_latency_s is not None and timeline.latency_s > limits.max_latency_s:
            if closest is None or timeline.latency_s < closest.timeline.latency_s:
                closest = real
        elif best is None or _rank(real, objective) < _rank(best, objective):
            best = real
    bound_s = _bound_s(candidates, hopeful, best, len(graph.nodes))
    return Found(best, closest, candidates.seen, measured, candidates.method, bound_s, tuple(rejected))


def _bound_s(candidates: Candidates, hopeful: list[Candidate], best: Candidate | None, operators: int) -> float:
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
    return min(best.timeline.period_s, *(c.timeline.period_s for c in hopeful))


def _at(graph: GraphView, mask: int, cut: tuple[str, ...], bits: int, costs: Costs) -> Candidate:
    plan = BitPlan(uniform(graph, cut, bits))
    return Candidate(mask, cut, plan, stage_times(graph, mask, plan.quantizers, costs))


def _most_bits(graph: GraphView, candidate: Candidate, best: Candidate | None, costs: Costs, objective: str) -> int:
    """Most bits with which a candidate that wins at `MIN_BITS` still does."""
    if best is None:
        return MAX_BITS
    return max(
        bits
        for bits in range(MIN_BITS, MAX_BITS + 1)
        if _rank(_at(graph, candidate.mask, candidate.cut, bits, costs), objective) < _rank(best, objective)
    )


def _rank(candidate: Candidate, objective: str) -> tuple[float, ...]:
    return rank(candidate.timeline, candidate.mask, objective)


def _unfit(graph: GraphView, mask: int, cut: tuple[str, ...], costs: Costs, limits: Limits) -> str:
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


def _describe(cut: tuple[str, ...]) -> str:
    return "cut at " + ", ".join(cut)
