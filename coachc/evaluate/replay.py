"""A closed loop in simulated time: device, link and server work, the controller decides, what it learns comes back.

Stages serve tasks in their order. The device starts a task when it has come, when it is free, and when no more than
`IN_FLIGHT` tasks wait for the link or are on it and no more have no answer than hide a round trip; `passes.simulate`
gives the same times where nothing is decided.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.evaluate.bandwidth_trace import Trace
from coachc.evaluate.tasks import Tasks
from coachc.runtime.online import bandwidth
from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.controller import Answer, Decision, Observation, State, decide, learn
from coachc.runtime.online.cut_choice import CutState, after_task, choose_cut
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import GOODPUT, body_bytes, link_s, period_s, throughput
from coachc.runtime.online.scoring import NOTHING

#: Tasks that may wait for the link, or be on it.
IN_FLIGHT = 2
#: Precisions below the base that the oracle tries.
ORACLE_RUNGS = 2
#: How often a device that waits for the link looks whether it is down.
LOOK_S = 0.05
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
    """

    trace: Trace
    rtt_s: float
    bandwidth_bytes_per_s: float
    interval_s: float = 0.0
    workers: int = 1
    prefer: str = "accuracy"
    seed: int = 0


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
    return _Replay(kind, tasks, policies, cut, setup).run(order, progress)


class _Replay:
    """State of one replay; times in seconds since its start."""

    def __init__(self, kind: str, tasks: Tasks, policies: Mapping[str, Policy], cut: str, setup: Setup) -> None:
        self.kind, self.tasks, self.policies, self.setup = kind, tasks, policies, setup
        self.cut = CutState(cut)
        self.states = {name: State(policy) for name, policy in policies.items()}
        self.band = bandwidth.initial(setup.bandwidth_bytes_per_s)
        self.rng = np.random.default_rng(setup.seed)
        self.device_free_s = self.link_free_s = 0.0
        self.workers_s = [0.0] * setup.workers
        self.left_s: list[float] = []
        self.answered_s: list[float] = []
        self.outstanding = max(_outstanding(policy, setup) for policy in policies.values())
        # Answers on their way: (when, number, what the device learns).
        self.coming: list[tuple[float, int, Transfer, str, np.ndarray | None, Decision, Answer]] = []

    def run(self, order: Sequence[int], progress: Callable[[int], None]) -> list[Outcome]:
        outcomes = []
        for number, task in enumerate(order):
            outcomes.append(self._one(number, task))
            progress(number + 1)
        return outcomes

    def _one(self, number: int, task: int) -> Outcome:
        arrival_s = number * self.setup.interval_s
        room_s = self.left_s[-IN_FLIGHT] if len(self.left_s) >= IN_FLIGHT else 0.0
        if len(self.answered_s) >= self.outstanding:
            room_s = max(room_s, self.answered_s[-self.outstanding])
        start_s, outage = self._start(max(arrival_s, self.device_free_s), room_s)
        if len(self.policies) > 1:
            self.cut = choose_cut(self.cut, self.policies, bandwidth.estimate(self.band), outage)
        name = self.cut.cut
        policy = self.policies[name]
        ready_s = start_s + policy.device_s
        self.device_free_s = ready_s
        if not policy.rungs:
            self.cut = after_task(self.cut, name, exited=False, sent=False)
            return self._done(task, name, "device", -1, self.tasks.alone(task), arrival_s, start_s, ready_s)
        self._hear(ready_s)
        feature = None if self.kind in ("none", "quantpipe") else self.tasks.feature(task, name)
        decision = self._decide(task, name, policy, feature, ready_s)
        exited = bool(decision.exit)
        self.cut = after_task(self.cut, name, exited, sent=not exited)
        if exited:
            if feature is not None:
                learn(self.states[name], policy, feature, decision)
            return self._done(task, name, decision.exit, -1, decision.label, arrival_s, start_s, ready_s)
        return self._offload(number, task, name, policy, feature, decision, arrival_s, start_s, ready_s)

    def _start(self, free_s: float, room_s: float) -> tuple[float, bool]:
        """When the next task starts, and whether the link is taken for down then.

        A device that waits for room looks at the link now and then, if the bundle can do without it.
        """
        alone = any(not policy.rungs for policy in self.policies.values()) and len(self.policies) > 1
        start_s = free_s
        while start_s < room_s:
            self._hear(start_s)
            if alone and self._outage(start_s):
                return start_s, True
            start_s = min(start_s + LOOK_S, room_s) if alone else room_s
        self._hear(start_s)
        return start_s, self._outage(start_s)

    def _decide(self, task: int, name: str, policy: Policy, feature: np.ndarray | None, now_s: float) -> Decision:
        rate = bandwidth.estimate(self.band)
        if feature is None:
            rung = policy.base
            if self.kind == "quantpipe":
                rung = throughput(policy.rungs, rate, max(policy.rest_s, self.setup.interval_s)).rung
            return Decision("", -1, rung, "", NOTHING, False)
        observation = Observation(
            feature, rate, max(0.0, self.link_free_s - now_s), self.setup.interval_s, float(self.rng.random())
        )
        decision = decide(observation, self.states[name], policy, self.setup.prefer)
        if self.kind == "oracle":
            answer = self.tasks.sent(task, name, policy.base).label
            # It knows: what the score's label is worth on each task, and which precision changes nothing.
            label = (
                policy.exits.scorer.labels[decision.scored.best] if policy.exits and decision.scored.best >= 0 else -1
            )
            if label == answer:
                return decision._replace(exit="oracle", label=label, audit="")
            lowest = max(policy.base - ORACLE_RUNGS, 0)
            same = [r for r in range(lowest, policy.base + 1) if self.tasks.sent(task, name, r).label == answer]
            return decision._replace(exit="", audit="", rung=same[0])
        return decision

    def _offload(
        self,
        number: int,
        task: int,
        name: str,
        policy: Policy,
        feature: np.ndarray | None,
        decision: Decision,
        arrival_s: float,
        start_s: float,
        ready_s: float,
    ) -> Outcome:
        setup, rung = self.setup, policy.rungs[decision.rung]
        sent = self.tasks.sent(task, name, decision.rung)
        size = body_bytes(rung, sent.size_bytes)
        begin_s = max(ready_s, self.link_free_s)
        end_s = setup.trace.end_s(begin_s + rung.coding_s, size / GOODPUT)
        self.link_free_s = end_s
        self.left_s.append(end_s)
        worker = int(np.argmin(self.workers_s))
        cloud_s = max(end_s + setup.rtt_s / 2, self.workers_s[worker])
        self.workers_s[worker] = cloud_s + policy.cloud_s
        answered_s = cloud_s + policy.cloud_s + setup.rtt_s / 2
        self.answered_s.append(answered_s)
        # The wire's bytes, as a device counts them that knows what headers cost; the server says how long it had it.
        transfer = Transfer(round(size / GOODPUT), ready_s + rung.coding_s, answered_s, answered_s - end_s)
        answer = Answer(sent.label, sent.confidence)
        heapq.heappush(self.coming, (answered_s, number, transfer, name, feature, decision, answer))
        return self._done(
            task, name, "", decision.rung, sent.label, arrival_s, start_s, answered_s,
            size=size, link_s=end_s - begin_s, cloud_s=policy.cloud_s, link_bound=decision.link_bound,
        )  # fmt: skip

    def _hear(self, now_s: float) -> None:
        """Take in the answers that have come."""
        while self.coming and self.coming[0][0] <= now_s:
            _, _, transfer, name, feature, decision, answer = heapq.heappop(self.coming)
            self.band = bandwidth.observe(self.band, transfer)
            if feature is not None and self.kind != "oracle":
                learn(self.states[name], self.policies[name], feature, decision, answer)

    def _outage(self, now_s: float) -> bool:
        if not self.coming:
            return False
        oldest_s = min(entry[2].start_s for entry in self.coming)
        waiting = sum(entry[2].size_bytes for entry in self.coming)
        return bandwidth.in_outage(self.band, now_s, oldest_s, waiting, self.coming[0][2].server_s)

    def _done(
        self,
        task: int,
        name: str,
        exit_: str,
        rung: int,
        label: int,
        arrival_s: float,
        start_s: float,
        finish_s: float,
        *,
        size: float = 0.0,
        link_s: float = 0.0,
        cloud_s: float = 0.0,
        link_bound: bool = False,
    ) -> Outcome:
        return Outcome(
            task, name, exit_, rung, label, label == self.tasks.truth(task), label == self.tasks.alone(task), size,
            arrival_s, start_s, finish_s, self.policies[name].device_s, link_s, cloud_s, link_bound,
        )  # fmt: skip


def _outstanding(policy: Policy, setup: Setup) -> int:
    """Tasks that may be without an answer: enough to hide a round trip, too few for a long queue at a slow server."""
    if not policy.rungs:
        return IN_FLIGHT
    time_s = link_s(policy.rungs[policy.base], setup.bandwidth_bytes_per_s)
    latency_s = policy.device_s + time_s + policy.cloud_s + setup.rtt_s
    return (
        math.ceil(latency_s / max(period_s(policy.device_s, time_s, policy.cloud_s, setup.workers), 1e-9)) + IN_FLIGHT
    )
