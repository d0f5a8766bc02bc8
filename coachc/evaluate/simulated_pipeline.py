"""Device, link and server in simulated time: how long each works on a task, and when there is room for the next.

Stages serve tasks in their order. There is room for a task when no more than `IN_FLIGHT` tasks wait for the link or are
on it, and no more are without an answer than hide a round trip. What a task is and where it goes is decided elsewhere;
`passes.simulate` gives the same times where nothing is decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from coachc.evaluate.bandwidth_trace import Trace
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import GOODPUT, link_s, period_s

#: Tasks that may wait for the link, or be on it.
IN_FLIGHT = 2


class Journey(NamedTuple):
    """When the link began with a task and had sent it, and when its answer was back.

    Attributes
    ----------
    begin_s, sent_s, answered_s : float
    server_s : float
        How long the server had it, waiting for a worker included.
    """

    begin_s: float
    sent_s: float
    answered_s: float
    server_s: float


class SimulatedPipeline:
    """Three stages; times in seconds since the start.

    Parameters
    ----------
    trace : Trace
        Rates on the wire.
    rtt_s : float
    workers : int
        Engines on the server that work at once.
    outstanding : int
        Tasks that may be without an answer.

    Attributes
    ----------
    device_free_s : float
        When the device has finished its latest task.
    """

    def __init__(self, trace: Trace, rtt_s: float, workers: int, outstanding: int) -> None:
        self._trace, self._rtt_s, self._outstanding = trace, rtt_s, outstanding
        self.device_free_s = self._link_free_s = 0.0
        self._workers_free_s = [0.0] * workers
        self._sent_s: list[float] = []
        self._answered_s: list[float] = []

    def room_s(self) -> float:
        """When there is room for one more task."""
        room_s = self._sent_s[-IN_FLIGHT] if len(self._sent_s) >= IN_FLIGHT else 0.0
        if len(self._answered_s) >= self._outstanding:
            room_s = max(room_s, self._answered_s[-self._outstanding])
        return room_s

    def compute(self, start_s: float, device_s: float) -> float:
        """The device works on a task that long; when it has finished."""
        self.device_free_s = start_s + device_s
        return self.device_free_s

    def send(self, ready_s: float, coding_s: float, socket_bytes: float, cloud_s: float) -> Journey:
        """A task to the server and its answer back."""
        begin_s = max(ready_s, self._link_free_s)
        sent_s = self._trace.end_s(begin_s + coding_s, socket_bytes / GOODPUT)
        self._link_free_s = sent_s
        self._sent_s.append(sent_s)
        worker = int(np.argmin(self._workers_free_s))
        arrived_s = sent_s + self._rtt_s / 2
        done_s = max(arrived_s, self._workers_free_s[worker]) + cloud_s
        self._workers_free_s[worker] = done_s
        self._answered_s.append(done_s + self._rtt_s / 2)
        return Journey(begin_s, sent_s, self._answered_s[-1], done_s - arrived_s)


def outstanding(policies: Iterable[Policy], bandwidth_bytes_per_s: float, rtt_s: float, workers: int) -> int:
    """Tasks that may be without an answer: enough to hide a round trip, too few for a long queue at a slow server."""
    return max(_outstanding(policy, bandwidth_bytes_per_s, rtt_s, workers) for policy in policies)


def _outstanding(policy: Policy, bandwidth_bytes_per_s: float, rtt_s: float, workers: int) -> int:
    if not policy.rungs:
        return IN_FLIGHT
    time_s = link_s(policy.rungs[policy.base], bandwidth_bytes_per_s)
    latency_s = policy.device_s + time_s + policy.cloud_s + rtt_s
    return math.ceil(latency_s / max(period_s(policy.device_s, time_s, policy.cloud_s, workers), 1e-9)) + IN_FLIGHT
