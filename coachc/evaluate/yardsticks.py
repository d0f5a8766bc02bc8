"""Drivers that policies are measured against: QuantPipe's precision, and an oracle that knows the server's answers.

Each is the device's own driver, and takes another decision where it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from coachc.evaluate.tasks import Tasks
from coachc.runtime.online.bandwidth import Transfer
from coachc.runtime.online.controller import Answer, Decision
from coachc.runtime.online.driver import Driver
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import throughput
from coachc.runtime.online.scoring import NOTHING, score

#: Precisions below the base that the oracle tries.
ORACLE_RUNGS = 2


class QuantPipe(Driver):
    """Sends every task at the highest precision the link has time for, whatever accuracy says."""

    def decide(
        self, task: int, name: str, feature: np.ndarray | None, now_s: float, rung: int | None = None
    ) -> Decision:
        policy = self._policies[name]
        found = throughput(policy.rungs, self.bandwidth_bytes_per_s, max(policy.rest_s, self._interval_s))
        return super().decide(task, name, None, now_s, found.rung)


class Oracle(Driver):
    """Knows, of each task, what its score's label is worth and which precision changes nothing; learns nothing.

    Parameters
    ----------
    tasks : Tasks
    order : sequence of int
        The sample of each task.
    """

    def __init__(
        self,
        tasks: Tasks,
        order: Sequence[int],
        policies: Mapping[str, Policy],
        cut: str,
        alone: str | None,
        bandwidth_bytes_per_s: float,
        prefer: str,
        draw: Callable[[], float],
        interval_s: float,
    ) -> None:
        self._tasks, self._order = tasks, order
        never = {name: _without_exits(policy) for name, policy in policies.items()}
        super().__init__(never, cut, alone, bandwidth_bytes_per_s, prefer, draw, interval_s)

    def decide(
        self, task: int, name: str, feature: np.ndarray | None, now_s: float, rung: int | None = None
    ) -> Decision:
        policy, sample = self._policies[name], self._order[task]
        answer = self._tasks.sent(sample, name, policy.base).label
        if _scored_label(policy, feature) == answer:
            self.was_alone(name, exited=True)
            return Decision("oracle", answer, policy.base, "", NOTHING, False)
        tried = range(max(policy.base - ORACLE_RUNGS, 0), policy.base + 1)
        lowest = next(each for each in tried if self._tasks.sent(sample, name, each).label == answer)
        return super().decide(task, name, feature, now_s, lowest)

    def answered(
        self,
        task: int,
        name: str,
        transfer: Transfer,
        answer: Answer | None = None,
        feature: np.ndarray | None = None,
        decision: Decision | None = None,
    ) -> None:
        super().answered(task, name, transfer)


def _without_exits(policy: Policy) -> Policy:
    """The same scores, no threshold that one could exceed, and no memory."""
    exits = policy.exits._replace(thresholds=()) if policy.exits is not None else None
    return policy._replace(exits=exits, memory=None)


def _scored_label(policy: Policy, feature: np.ndarray | None) -> int:
    """The class that a task's score stands for; -1 without one."""
    if policy.exits is None or feature is None:
        return -1
    best = score(policy.exits.scorer, feature, policy.exits.scorer.weights).best
    return policy.exits.scorer.labels[best] if best >= 0 else -1
