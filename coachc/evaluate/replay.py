"""A closed loop in simulated time: the device's own driver decides, and what it learns comes back from a made-up world.

The device starts a task when it has come, when the device is free and when the pipeline has room; while it waits for
room it looks now and then whether the link is down, as a run does. Times of stages are the plan's, those of the link
follow from the bytes and the trace (`simulated_pipeline`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from coachc.evaluate.bandwidth_trace import Trace
from coachc.evaluate.simulated_pipeline import SimulatedPipeline, outstanding
from coachc.evaluate.tasks import HalfKind, Tasks
from coachc.evaluate.yardsticks import Oracle, QuantPipe
from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.controller import Answer, Decision
from coachc.runtime.online.driver import LOOK_S, Driver
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import body_bytes

#: What decides: the policies of `runtime.online.policy`, QuantPipe's precision, and who knows the server's answer.
KINDS = ("none", "quantpipe", "paper", "default", "oracle")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One task.

    Attributes
    ----------
    task : int
        Among the samples.
    cut : str
    exit : str
        "" for a task that was offloaded; "score", "memory", "oracle" or "device".
    rung : int
        Precision it was sent at; -1 for an exit.
    label : int
    right, kept : bool
        The label is the truth; it is the whole model's answer.
    size_bytes : float
        On the wire, headers included; 0 for an exit.
    arrival_s, start_s, finish_s : float
    device_s, link_s, cloud_s : float
        Time each stage was busy with it.
    link_bound : bool
        Even the lowest precision the task may be sent at made the link the bottleneck.
    """

    task: int
    cut: str
    exit: str
    rung: int
    label: int
    right: bool
    kept: bool
    size_bytes: float
    arrival_s: float
    start_s: float
    finish_s: float
    device_s: float
    link_s: float
    cloud_s: float
    link_bound: bool = False


@dataclass(frozen=True)
class Setup:
    """The world of a replay.

    Attributes
    ----------
    trace : Trace
        Rates on the wire.
    rtt_s : float
    bandwidth_bytes_per_s : float
        What the device believes before the first transfer.
    interval_s : float
        Between arrivals; 0: tasks wait for the pipeline.
    workers : int
    prefer : str
        "accuracy" or "bytes".
    seed : int
        Of the draws for audits.
    halves : mapping of str to HalfKind
        By cut, where not all is possible.
    """

    trace: Trace
    rtt_s: float
    bandwidth_bytes_per_s: float
    interval_s: float = 0.0
    workers: int = 1
    prefer: str = "accuracy"
    seed: int = 0
    halves: Mapping[str, HalfKind] = field(default_factory=dict)


def replay(
    kind: str,
    tasks: Tasks,
    order: Sequence[int],
    policies: Mapping[str, Policy],
    cut: str,
    setup: Setup,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Outcome]:
    """Run samples through the pipeline under one policy.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    tasks : Tasks
    order : sequence of int
        Samples in the order of their arrival; one may come again.
    policies : mapping of str to Policy
        By cut; several only for a bundle that moves between cuts.
    cut : str
        Where to begin.
    setup : Setup
    """
    driver = _driver(kind, tasks, order, policies, cut, setup)
    loop = _Loop(driver, tasks, policies, setup)
    outcomes = []
    for number, sample in enumerate(order):
        outcomes.append(loop.run(number, sample))
        progress(number + 1)
    return outcomes


def _driver(
    kind: str, tasks: Tasks, order: Sequence[int], policies: Mapping[str, Policy], cut: str, setup: Setup
) -> Driver:
    # A bundle that can only run alone has no outage to go around.
    alone = next((name for name, policy in policies.items() if not policy.rungs and len(policies) > 1), None)
    draw = np.random.default_rng(setup.seed).random
    given = (policies, cut, alone, setup.bandwidth_bytes_per_s, setup.prefer, draw, setup.interval_s)
    if kind == "oracle":
        driver: Driver = Oracle(tasks, order, *given)
    else:
        driver = QuantPipe(*given) if kind == "quantpipe" else Driver(*given)
    driver.reached(setup.rtt_s)
    return driver


class _Coming(NamedTuple):
    """An answer on its way back, and what the driver is told with it."""

    answered_s: float
    number: int
    cut: str
    transfer: Transfer
    answer: Answer
    feature: np.ndarray | None
    decision: Decision


class _Loop:
    """The driver in its world; one task after the other."""

    def __init__(self, driver: Driver, tasks: Tasks, policies: Mapping[str, Policy], setup: Setup) -> None:
        self._driver, self._tasks, self._policies, self._setup = driver, tasks, policies, setup
        most = outstanding(policies.values(), setup.bandwidth_bytes_per_s, setup.rtt_s, setup.workers)
        self._pipeline = SimulatedPipeline(setup.trace, setup.rtt_s, setup.workers, most)
        self._coming: list[_Coming] = []

    def run(self, number: int, sample: int) -> Outcome:
        """One task, as `runtime.device.run_task` takes it through the device."""
        driver = self._driver
        arrival_s = number * self._setup.interval_s
        start_s = self._start(max(arrival_s, self._pipeline.device_free_s))
        name = driver.next_cut(start_s, False)
        policy, half = self._policies[name], self._setup.halves.get(name, HalfKind())
        times = (arrival_s, start_s)
        ready_s = self._pipeline.compute(start_s, policy.device_s)
        if not policy.rungs:
            driver.was_alone(name)
            return self._here(sample, name, "device", self._tasks.alone(sample), times, ready_s)
        rung = driver.rung_ahead(name, start_s, half.tunable, half.adjustable)
        self._hear(ready_s)
        feature = None if policy.name == "none" else self._tasks.feature(sample, name)
        decision = driver.decide(number, name, feature, ready_s, None if half.adjustable else rung)
        if decision.exit:
            return self._here(sample, name, decision.exit, decision.label, times, ready_s)
        return self._offload(number, sample, name, feature, decision, times, ready_s)

    def _start(self, free_s: float) -> float:
        """When the next task starts; one that waits for room does without where the link is taken for down."""
        start_s, room_s = free_s, self._pipeline.room_s()
        while start_s < room_s:
            self._hear(start_s)
            if self._driver.outage(start_s):
                return start_s
            start_s = min(start_s + LOOK_S, room_s)
        self._hear(start_s)
        return start_s

    def _offload(
        self,
        number: int,
        sample: int,
        name: str,
        feature: np.ndarray | None,
        decision: Decision,
        times: tuple[float, float],
        ready_s: float,
    ) -> Outcome:
        policy = self._policies[name]
        rung, sent = policy.rungs[decision.rung], self._tasks.sent(sample, name, decision.rung)
        size = body_bytes(rung, sent.size_bytes)
        self._driver.sending(number, ready_s)
        way = self._pipeline.send(ready_s, rung.coding_s, size, policy.cloud_s)
        transfer = Transfer(round(size), ready_s + rung.coding_s, way.answered_s, way.server_s)
        answer = Answer(sent.label, sent.confidence)
        heapq.heappush(self._coming, _Coming(way.answered_s, number, name, transfer, answer, feature, decision))
        return Outcome(
            sample, name, "", decision.rung, sent.label, *self._judged(sample, sent.label), size, *times,
            way.answered_s, policy.device_s, way.sent_s - way.begin_s, policy.cloud_s, decision.link_bound,
        )  # fmt: skip

    def _hear(self, now_s: float) -> None:
        """Tell the driver of the answers that have come."""
        while self._coming and self._coming[0].answered_s <= now_s:
            _, number, name, transfer, answer, feature, decision = heapq.heappop(self._coming)
            self._driver.answered(number, name, transfer, answer, feature, decision)

    def _here(
        self, sample: int, name: str, exit_: str, label: int, times: tuple[float, float], finish_s: float
    ) -> Outcome:
        """A task that ended on the device."""
        device_s = self._policies[name].device_s
        return Outcome(
            sample, name, exit_, -1, label, *self._judged(sample, label), 0.0, *times, finish_s, device_s, 0.0, 0.0
        )

    def _judged(self, sample: int, label: int) -> tuple[bool, bool]:
        """Whether a label is the truth, and whether it is the whole model's."""
        return label == self._tasks.truth(sample), label == self._tasks.alone(sample)
