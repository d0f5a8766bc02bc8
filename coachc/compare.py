"""One table: coachc's plans beside the systems the paper compares with, same costs, same simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calib.jpeg import JpegCost
from coachc.core.graph import GraphView
from coachc.core.schedule import Operation
from coachc.decide import jpeg_timeline
from passes.baselines import dads, jps, neurosurgeon, quantpipe, spinn
from passes.baselines.base import Part, Strategy, part
from passes.mixture import best_mixture
from passes.objective import Overlap, key
from passes.schedule import schedule
from passes.simulate import pipeline, staged_task
from passes.timeline import Costs

#: Tasks simulated for each row.
TASKS = 200


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
    over_best : float
        Period over the least period of a single cut at coachc's bits, minus 1.
    """

    strategy: Strategy
    period_s: float
    latency_mean_s: float
    latency_p95_s: float
    payload_bytes: float
    busy: tuple[float, float, float]
    over_best: float


def strategies(
    graph: GraphView,
    costs: Costs,
    masks: Sequence[int],
    *,
    bits: int,
    recursive_masks: Sequence[int],
    jpeg: JpegCost | None,
) -> list[Strategy]:
    """Every system's choice.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    masks : sequence of int
        All ideals, or the candidates that stand for them.
    bits : int
        Precision of coachc's rows.
    recursive_masks : sequence of int
        What the paper's recursion looked at.
    jpeg : JpegCost or None
        None where the model does not take one picture.
    """
    whole, nothing = graph.full_mask, 0
    ours = [part(graph, costs, mask, bits) for mask in masks]
    recursive = [part(graph, costs, mask, bits) for mask in recursive_masks]
    return [
        Strategy("device only", (part(graph, costs, whole, bits),), "the whole model on the device"),
        Strategy("cloud only, raw", (part(graph, costs, nothing, 8),), "8-bit inputs, everything on the cloud"),
        *([_jpeg(costs, jpeg)] if jpeg is not None else []),
        neurosurgeon.chain(graph, costs, masks),
        neurosurgeon.topological(graph, costs),
        dads.dsl(graph, costs, masks),
        dads.dsh(graph, costs, masks),
        spinn.no_exit(graph, costs, masks),
        jps.single(graph, costs, masks),
        jps.mix(graph, costs, masks),
        quantpipe.adaptive_bits(graph, costs, masks),
        Strategy("COACH, Eq. 6 as printed", (_eq6(graph, costs, ours),), f"least bubbles + max stage, {bits} bits"),
        Strategy("COACH, recursion", (_best(recursive),), f"Algorithm 1's candidates, least period, {bits} bits"),
        Strategy("coachc, exact", (_best(ours),), f"least period over all cuts, {bits} bits"),
        best_mixture(ours, costs),
    ]


def rows(graph: GraphView, costs: Costs, chosen: Sequence[Strategy], *, interval_s: float) -> list[Row]:
    """Cost and simulate each strategy.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    chosen : sequence of Strategy
    interval_s : float
        Time between arrivals.
    """
    best_s = next(s for s in chosen if s.name == "coachc, exact").period_s(costs.workers)
    return [_row(strategy, costs, interval_s, best_s) for strategy in chosen]


def _row(strategy: Strategy, costs: Costs, interval_s: float, best_s: float) -> Row:
    tasks = [_task(strategy.parts[i], costs) for i in _order([p.share for p in strategy.parts], TASKS)]
    simulated = pipeline(tasks, [i * interval_s for i in range(TASKS)], costs.workers)
    period_s = strategy.period_s(costs.workers)
    device_s, link_s, cloud_s = strategy.stage_s(costs.workers)
    return Row(
        strategy=strategy,
        period_s=period_s,
        latency_mean_s=simulated.mean_latency_s,
        latency_p95_s=simulated.latency_percentile_s(95),
        payload_bytes=sum(p.share * p.timeline.payload_bytes for p in strategy.parts),
        busy=(device_s / period_s, link_s / period_s, cloud_s / period_s),
        over_best=period_s / best_s - 1.0,
    )


def _task(one: Part, costs: Costs) -> tuple[Operation, ...]:
    timeline = one.timeline
    return staged_task(timeline.device_s, timeline.link_s, timeline.cloud_s, costs.link.rtt_s)


def _jpeg(costs: Costs, jpeg: JpegCost) -> Strategy:
    timeline = jpeg_timeline(jpeg, costs)
    return Strategy("cloud only, JPEG", (Part(1.0, 0, (), timeline),), jpeg.note + ", accuracy not measured")


def _order(shares: Sequence[float], count: int) -> list[int]:
    """Which part each task takes: always the one that is furthest behind its share."""
    taken = [0] * len(shares)
    order = []
    for done in range(1, count + 1):
        behind = max(range(len(shares)), key=lambda i: shares[i] * done - taken[i])
        taken[behind] += 1
        order.append(behind)
    return order


def _best(parts: Sequence[Part]) -> Part:
    return min(parts, key=lambda p: key(p.timeline, p.mask, "exact"))


def _eq6(graph: GraphView, costs: Costs, parts: Sequence[Part]) -> Part:
    def rank(one: Part) -> tuple[float, ...]:
        placed = schedule(graph, one.mask, one.quantizers, costs)
        return key(one.timeline, one.mask, "paper-eq6", Overlap(placed.link_overlap_s, placed.cloud_overlap_s))

    return min(parts, key=rank)
