"""A stream of tasks through the pipeline, event by event: latencies under load, the period, the bubbles.

Knows nothing of graphs: a task is a list of operations, which `staged_task` and `scheduled_task` make. Tasks may
differ (mixtures of cuts, early exits). Buffers between stages are unbounded and nothing is preempted.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from coachc.core.graph import GraphView
from coachc.core.operations import Operation, Simulation, TaskSpan
from coachc.core.plan import Quantizer
from coachc.passes.schedule import operations
from coachc.passes.timeline import Costs

#: Kinds of events. Their order counts: at one moment all that has ended or arrived is noted before anything starts,
#: and stages start in the order in which tasks meet them, so that operations which take no time change no order.
_ARRIVED, _ENDED, _DELIVERED, _START = range(4)


def staged_task(
    device_s: float, link_s: float = 0.0, cloud_s: float = 0.0, rtt_s: float = 0.0
) -> tuple[Operation, ...]:
    """A task whose stages run one after the other, as the runtime does it.

    Parameters
    ----------
    device_s, link_s, cloud_s, rtt_s : float
        A task with neither `link_s` nor `cloud_s` ends on the device: device-only, or an early exit.

    Returns
    -------
    tuple of Operation
    """
    device = Operation("device", "device", device_s)
    if link_s == 0 and cloud_s == 0:
        return (device,)
    return (
        device,
        Operation("link", "link", link_s, (0,), rtt_s / 2),
        Operation("cloud", "cloud", cloud_s, (1,), rtt_s / 2),
    )


def scheduled_task(
    graph: GraphView, mask: int, quantizers: Sequence[Quantizer], costs: Costs, *, order: str = "topological"
) -> tuple[Operation, ...]:
    """A task operator by operator: `passes.schedule.operations`."""
    return operations(graph, mask, quantizers, costs, order=order)


def pipeline(
    tasks: Sequence[Sequence[Operation]], arrivals_s: Sequence[float], workers: int = 1, devices: int = 1
) -> Simulation:
    """Run tasks through a device, its link and a server; or the same tasks through several devices that share it.

    Parameters
    ----------
    tasks : sequence of sequence of Operation
        In order of priority.
    arrivals_s : sequence of float
        When each task comes; all 0 to saturate the pipeline.
    workers : int
        Engines on the server that work on different tasks at once.
    devices : int
        Each gets every task at the same moment. The first one's stages are "device" and "link", the second's
        "device 2" and "link 2".

    Returns
    -------
    Simulation
        Of `devices` times as many tasks.
    """
    capacity = {f"{stage}{suffix}": 1 for suffix in _suffixes(devices) for stage in ("device", "link")}
    everyone = [[_on(suffix, operation) for operation in task] for task in tasks for suffix in _suffixes(devices)]
    together_s = [arrival_s for arrival_s in arrivals_s for _ in range(devices)]
    return simulate(everyone, together_s, capacity | {"cloud": workers})


def _suffixes(devices: int) -> list[str]:
    return ["", *(f" {number}" for number in range(2, devices + 1))]


def _on(suffix: str, operation: Operation) -> Operation:
    """The operation on the stages of one device; the cloud is everybody's."""
    if operation.stage == "cloud" or not suffix:
        return operation
    return dataclasses.replace(operation, stage=operation.stage + suffix)


def simulate(
    tasks: Sequence[Sequence[Operation]], arrivals_s: Sequence[float], capacity: Mapping[str, int]
) -> Simulation:
    """Run tasks through stages that each do a number of operations at once.

    Parameters
    ----------
    tasks : sequence of sequence of Operation
        A stage that gets free takes, among the operations that could start, the one of the lowest task. The operations
        of one task on one stage run one after the other, in the order of the list.
    arrivals_s : sequence of float
        One per task, in any order.
    capacity : mapping of str to int
        By stage, in the order in which tasks meet them.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If tasks and arrivals differ in number, there are none, a stage has no capacity, or operations wait for each
        other in a circle.
    """
    if not tasks or len(tasks) != len(arrivals_s):
        raise ValueError(f"{len(tasks)} tasks with {len(arrivals_s)} arrivals")
    for task, todo in enumerate(tasks):
        for operation in todo:
            if capacity.get(operation.stage, 0) < 1:
                raise ValueError(f"task {task}: nothing runs '{operation.name}' on stage '{operation.stage}'")
    return _Run(tasks, arrivals_s, capacity).finish()


@dataclass
class _Stage:
    """Operations that could start now, as (task, position), and how many may."""

    rank: int
    free: int
    queue: list[tuple[int, int]] = field(default_factory=list)


class _Run:
    """State of one simulation: a heap of events (time, kind, task or rank of a stage, position)."""

    def __init__(
        self, tasks: Sequence[Sequence[Operation]], arrivals_s: Sequence[float], capacity: Mapping[str, int]
    ) -> None:
        self.tasks, self.arrivals_s, self.capacity = tasks, tuple(arrivals_s), dict(capacity)
        self.stages = {name: _Stage(rank, free) for rank, (name, free) in enumerate(capacity.items())}
        self.names = tuple(capacity)
        self.starts_s = [float("inf")] * len(tasks)
        self.finishes_s = list(arrivals_s)
        self.spans: list[TaskSpan] = []
        self.events: list[tuple[float, int, int, int]] = []
        # What an operation waits for: the arrival of its task, deliveries, and the one before it on its stage.
        self.missing: list[list[int]] = []
        self.readers: list[list[list[int]]] = []
        self.behind: list[dict[int, int]] = []
        for task, todo in enumerate(tasks):
            missing = [1] * len(todo)
            readers: list[list[int]] = [[] for _ in todo]
            behind: dict[int, int] = {}
            last: dict[str, int] = {}
            for position, operation in enumerate(todo):
                for earlier in set(operation.after):
                    readers[earlier].append(position)
                    missing[position] += 1
                if operation.stage in last:
                    behind[last[operation.stage]] = position
                    missing[position] += 1
                last[operation.stage] = position
            self.missing.append(missing)
            self.readers.append(readers)
            self.behind.append(behind)
            self._at(arrivals_s[task], _ARRIVED, task)

    def finish(self) -> Simulation:
        """Run to the end."""
        while self.events:
            now_s, kind, which, position = heapq.heappop(self.events)
            if kind == _START:
                self._start(now_s, self.names[which])
            elif kind == _ARRIVED:
                for index in range(len(self.tasks[which])):
                    self._met(now_s, which, index)
            elif kind == _ENDED:
                name = self.tasks[which][position].stage
                self.stages[name].free += 1
                self._wake(now_s, name)
                if position in self.behind[which]:
                    self._met(now_s, which, self.behind[which][position])
            else:
                self.finishes_s[which] = max(self.finishes_s[which], now_s)
                for reader in self.readers[which][position]:
                    self._met(now_s, which, reader)
        stuck = [task for task, missing in enumerate(self.missing) if any(missing)]
        if stuck:
            raise ValueError(f"task {stuck[0]}: operations wait for each other in a circle")
        starts_s = tuple(min(pair) for pair in zip(self.starts_s, self.finishes_s, strict=True))
        return Simulation(self.arrivals_s, starts_s, tuple(self.finishes_s), tuple(self.spans), self.capacity)

    def _at(self, time_s: float, kind: int, which: int, position: int = 0) -> None:
        heapq.heappush(self.events, (time_s, kind, which, position))

    def _wake(self, now_s: float, name: str) -> None:
        self._at(now_s, _START, self.stages[name].rank)

    def _met(self, now_s: float, task: int, position: int) -> None:
        """One of the things an operation waits for has come."""
        self.missing[task][position] -= 1
        if self.missing[task][position] == 0:
            name = self.tasks[task][position].stage
            heapq.heappush(self.stages[name].queue, (task, position))
            self._wake(now_s, name)

    def _start(self, now_s: float, name: str) -> None:
        """Start one operation; the next start, if there is one, is an event of its own."""
        stage = self.stages[name]
        if not stage.free or not stage.queue:
            return
        task, position = heapq.heappop(stage.queue)
        stage.free -= 1
        operation = self.tasks[task][position]
        end_s = now_s + operation.duration_s
        self.starts_s[task] = min(self.starts_s[task], now_s)
        self.spans.append(TaskSpan(task, name, operation.name, now_s, end_s))
        self._at(end_s, _ENDED, task, position)
        self._at(end_s + operation.lag_s, _DELIVERED, task, position)
        self._wake(now_s, name)
