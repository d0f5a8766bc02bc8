"""One table: coachc's plans beside the systems the paper compares with, same costs, same simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from coachc.calib.jpeg import JpegCost
from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, BitPlan, Rejected
from coachc.passes.baselines import dads, jps, neurosurgeon, quantpipe, spinn
from coachc.passes.baselines.costing import cuttable
from coachc.passes.candidates import auto, recursive
from coachc.passes.candidates.candidate_masks import Candidates
from coachc.passes.mixture import search_mixture
from coachc.passes.objective import rank
from coachc.passes.partition import NO_LIMITS, Found, Limits, Precision, costed, search
from coachc.passes.strategy import Strategy, run, strategy_of
from coachc.passes.timeline import Costs, forbidding, uniform_way
from coachc.planning.decide import jpeg_way

#: Tasks simulated for each row.
TASKS = 200
#: The whole model on the cloud where coachc sends the input better than as 8-bit codes; it has no row of its own.
AT_INPUT = "cloud only, sent as coachc would"


@dataclass(frozen=True, slots=True)
class Row:
    """One system at one operating point.

    Attributes
    ----------
    strategy : Strategy
    period_s : float
        Steady-state time between results.
    latency_mean_s, latency_p95_s : float
        Under the arrivals given, from arrival to answer; they grow with the number of tasks where the period is
        longer than the time between arrivals.
    payload_bytes : float
        Mean per task.
    busy : tuple of float
        Share of the time that device, link and cloud work when the pipeline is saturated.
    gap : float
        Period over the least period that a single cut at coachc's precision is proven to have at most, minus 1.
        Negative where mixing cuts, or a JPEG, does better than any single cut.
    """

    strategy: Strategy
    period_s: float
    latency_mean_s: float
    latency_p95_s: float
    payload_bytes: float
    busy: tuple[float, float, float]
    gap: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether splitting pays.

    Attributes
    ----------
    pays : bool
        Whether the best single cut inside the model shortens the period by more than `Costs.tie`, compared with
        everything on one side.
    split_s, whole_s : float
        Least period of a cut inside the model (infinite where there is none), and of device-only and the input, as
        8-bit codes or as coachc would send it.
    instead : str
        Which of the latter it is: the name of a row, or `AT_INPUT`.
    jpeg_s : float or None
        Period of sending a JPEG, whose accuracy a table does not measure.
    """

    pays: bool
    split_s: float
    whole_s: float
    instead: str
    jpeg_s: float | None


@dataclass(frozen=True)
class Comparison:
    """Every system at one operating point.

    Attributes
    ----------
    rows : tuple of Row
    verdict : Verdict
    candidates : Candidates
        What coachc's search looked at.
    proven : bool
        Whether "coachc, exact" is proven optimal.
    """

    rows: tuple[Row, ...]
    verdict: Verdict
    candidates: Candidates
    proven: bool


def compare(
    graph: GraphView,
    costs: Costs,
    precision: Precision,
    *,
    blocks: BlockGraph | None = None,
    jpeg: JpegCost | None = None,
    limits: Limits = NO_LIMITS,
    interval_s: float,
) -> Comparison:
    """Every system's choice for a model, costed and simulated.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    precision : callable
        Of coachc's and COACH's rows.
    blocks : BlockGraph, optional
        Of `graph`, if it is known already.
    jpeg : JpegCost or None
        None where the model does not take one picture.
    limits : Limits
        Kept by coachc's and COACH's rows.
    interval_s : float
        Time between arrivals at each device.
    """
    # Baselines pack their codes as published; only coachc's own rows count on entropy coding.
    candidates = auto.candidates(graph, forbidding(costs, limits.placement), blocks=blocks)
    sweep = recursive.candidates(graph, costs, blocks=blocks)
    masks = [mask for mask in candidates.masks if cuttable(graph, mask)]
    raw = strategy_of(
        "cloud only, raw", uniform_way(graph, 0, MAX_BITS, costs), "8-bit inputs, everything on the cloud"
    )
    alone = costed(graph, graph.full_mask, BitPlan(()), costs)

    def packed(mask: int, cut: tuple[str, ...], most_bits: int) -> BitPlan | Rejected:
        answer = precision(mask, cut, most_bits)
        return answer if isinstance(answer, Rejected) else dataclasses.replace(answer, layouts=(), coded_bytes=None)

    def best(
        name: str, note: str, among: Candidates, objective: str = "exact", *, coded: bool = False
    ) -> tuple[Strategy, Found]:
        asked = precision if coded else packed
        found = search(graph, costs, asked, limits=limits, objective=objective, candidates=among)
        builds = found.best is None or not limits.placement.against(graph, graph.full_mask)
        options = [alone] * builds + ([] if found.best is None else [found.best])
        chosen = min(options, key=lambda way: rank(way, objective))
        return strategy_of(name, chosen, note), found

    exact, found = best("coachc, exact", "least period over all cuts", candidates, coded=True)
    inside, at_input = (
        search(graph, costs, precision, limits=limits, candidates=candidates, keep=keep)
        for keep in (lambda mask: mask != 0, lambda mask: mask == 0)
    )
    mixture = search_mixture(graph, costs, masks, precision, limits=limits)
    chosen = [
        strategy_of("device only", alone, "the whole model on the device"),
        *([raw] if cuttable(graph, 0) else []),
        *([_jpeg(costs, jpeg)] if jpeg is not None else []),
        neurosurgeon.chain(graph, costs, masks),
        neurosurgeon.topological(graph, costs),
        dads.dsl(graph, costs, masks),
        dads.dsh(graph, costs, masks),
        spinn.no_exit(graph, costs, masks),
        jps.single(graph, costs, masks),
        jps.mix(graph, costs, masks),
        quantpipe.adaptive_bits(graph, costs, masks, packed),
        best("COACH, Eq. 6 as printed", "least bubbles + max stage over all cuts", candidates, "paper-eq6")[0],
        best("COACH, recursion", "Algorithm 1's candidates, least period", sweep)[0],
        exact,
        *([mixture] if mixture is not None else []),
    ]
    best_s = exact.period_s(costs.server_share)
    bound_s = min(found.bound_s, alone.timeline.period_s)
    rows = tuple(_row(strategy, costs, interval_s, bound_s) for strategy in chosen)
    return Comparison(rows, _verdict(rows, inside, at_input, costs), candidates, proven=bound_s >= best_s)


def _verdict(rows: Sequence[Row], inside: Found, at_input: Found, costs: Costs) -> Verdict:
    by_name = {row.strategy.name: row.period_s for row in rows}
    wholes: dict[str, float] = {name: by_name[name] for name in ("device only", "cloud only, raw") if name in by_name}
    if at_input.best is not None:
        wholes[AT_INPUT] = at_input.best.timeline.period_s
    instead = min(wholes, key=lambda name: wholes[name])
    split_s = inside.best.timeline.period_s if inside.best is not None else float("inf")
    pays = split_s * (1 + costs.tie) < wholes[instead]
    return Verdict(pays, split_s, wholes[instead], instead, by_name.get("cloud only, JPEG"))


def _row(strategy: Strategy, costs: Costs, interval_s: float, bound_s: float) -> Row:
    simulated = run(strategy, costs, [i * interval_s for i in range(TASKS)])
    period_s = strategy.period_s(costs.server_share)
    device_s, link_s, cloud_s = strategy.stage_s(costs.server_share)
    return Row(
        strategy=strategy,
        period_s=period_s,
        latency_mean_s=simulated.mean_latency_s,
        latency_p95_s=simulated.latency_percentile_s(95),
        payload_bytes=sum(p.share * p.way.timeline.payload_bytes for p in strategy.parts),
        busy=(device_s / period_s, link_s / period_s, cloud_s / period_s),
        gap=period_s / bound_s - 1.0,
    )


def _jpeg(costs: Costs, jpeg: JpegCost) -> Strategy:
    return strategy_of("cloud only, JPEG", jpeg_way(jpeg, costs), jpeg.note + ", accuracy not measured")


def published_dads_error(graph: GraphView, costs: Costs) -> tuple[str, ...]:
    """Operators that DADS' graph as published puts on the device although they read what the cloud makes."""
    mask = dads.min_cut(graph, costs, closure=False)
    return tuple(graph.nodes[index].name for index in graph.indices_in(mask) if graph.predecessors[index] & ~mask)
