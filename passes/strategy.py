"""A way to run a model that may send different tasks through different cuts, and the stream of tasks that makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coachc.core.operations import Operation, Simulation
from coachc.core.plan import Way
from coachc.passes.simulate import pipeline, staged_task
from coachc.passes.timeline import Costs

#: Tasks of all devices that are simulated at most to see a steady period.
MAX_TASKS = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """One cut of a strategy and the share of tasks that take it.

    Attributes
    ----------
    share : float
        In (0, 1].
    way : Way
    """

    share: float
    way: Way


@dataclass(frozen=True, slots=True)
class Strategy:
    """What one system would do.

    Attributes
    ----------
    name : str
    parts : tuple of Part
        Shares sum to 1; several only where tasks are mixed over cuts.
    note : str
        What it optimises and what was assumed.
    """

    name: str
    parts: tuple[Part, ...]
    note: str

    def stage_s(self, server_share: float = 1.0) -> tuple[float, float, float]:
        """Mean seconds a task keeps the device, the link and its share of the server (`Costs.server_share`) busy."""
        return (
            sum(p.share * p.way.timeline.device_s for p in self.parts),
            sum(p.share * p.way.timeline.link_s for p in self.parts),
            sum(p.share * p.way.timeline.cloud_s for p in self.parts) / server_share,
        )

    def period_s(self, server_share: float = 1.0) -> float:
        """Steady-state time between results: the busiest stage."""
        return max(self.stage_s(server_share))


def strategy_of(name: str, way: Way, note: str) -> Strategy:
    """All tasks take one way."""
    return Strategy(name, (Part(1.0, way),), note)


def run(strategy: Strategy, costs: Costs, arrivals_s: Sequence[float]) -> Simulation:
    """Simulate a stream of tasks, each part taking its share of them in turn.

    Parameters
    ----------
    strategy : Strategy
    costs : Costs
    arrivals_s : sequence of float
        When each task comes to each device; all 0 to saturate the pipeline.

    Returns
    -------
    Simulation
        Of all `costs.devices` devices, whose tasks come at the same moments: the worst case for the server.
    """
    shares = [one.share for one in strategy.parts]
    tasks = [_task(strategy.parts[index], costs) for index in _turns(shares, len(arrivals_s))]
    return pipeline(tasks, arrivals_s, costs.workers, costs.devices)


def saturated(strategy: Strategy, costs: Costs, tasks: int | None = None) -> Simulation:
    """Simulate tasks that are all there from the start.

    Parameters
    ----------
    strategy : Strategy
    costs : Costs
    tasks : int, optional
        By default so many that one task more or less of the slowest part changes the mean gap between results by one
        percent: a rare part may take many times the period.
    """
    if tasks is None:
        period_s = strategy.period_s(costs.server_share)
        slowest_s = max(one.way.timeline.latency_s for one in strategy.parts)
        wanted = math.ceil(200 * slowest_s / period_s) if period_s > 0 else 0
        tasks = max(200, min(wanted, MAX_TASKS // costs.devices))
    return run(strategy, costs, [0.0] * tasks)


def _task(one: Part, costs: Costs) -> tuple[Operation, ...]:
    timeline = one.way.timeline
    return staged_task(timeline.device_s, timeline.link_s, timeline.cloud_s, costs.link.rtt_s)


def _turns(shares: Sequence[float], count: int) -> list[int]:
    """Which part each task takes: always the one that is furthest behind its share."""
    taken = [0] * len(shares)
    order = []
    for done in range(1, count + 1):
        behind = max(range(len(shares)), key=lambda i: shares[i] * done - taken[i])
        taken[behind] += 1
        order.append(behind)
    return order
