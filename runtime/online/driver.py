"""The driver of the online controller: what the link, the cuts and the server's answers have taught in one run.

All of it behind one lock. The device thread asks where and how the next task goes, sender threads report what became
of it; `controller`, `cut_choice` and `bandwidth` decide. It has no clock of its own, so a simulation drives it with
simulated times and decides as a run does. Nothing is kept from one run to the next: another run is another driver, and
learns anew.
"""

import threading
from typing import Callable, Dict, Mapping, NamedTuple, Optional

import numpy as np

from . import bandwidth
from .bandwidth import Transfer
from .controller import Answer, Decision, Observation, State, decide, learn
from .cut_choice import CutState, after_task, choose_cut
from .policy import Policy
from .precision import GOODPUT, Rung, as_printed, body_bytes, link_s, without_bubble
from .scoring import NOTHING


#: How often whoever waits for room in the pipeline asks for an `outage`.
LOOK_S = 0.05


class Waiting(NamedTuple):
    """A task that was handed over for sending, and when sending it began; None before that."""

    rung: Rung
    sent_s: Optional[float] = None


class Driver:
    """What one run has learned so far. Safe to use from several threads; all times are on one clock.

    Parameters
    ----------
    policies : mapping of str to Policy
        Of the cuts that may be taken; with several of them tasks move between cuts.
    cut : str
        Where it begins.
    alone : str or None
        The cut that is taken while the link is down, sending nothing; None: there is no way around the link.
    bandwidth_bytes_per_s : float
        Believed before the first answer, on the wire.
    prefer : {"accuracy", "bytes"}
    draw : callable
        A number in [0, 1) for every decision; chooses the exits that are audited.
    interval_s : float
        Between the arrivals of tasks, which the link has for each of them; 0: they wait for the pipeline.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        cut: str,
        alone: Optional[str],
        bandwidth_bytes_per_s: float,
        prefer: str,
        draw: Callable[[], float],
        interval_s: float = 0.0,
    ) -> None:
        self._lock = threading.Lock()
        self._policies = dict(policies)
        self._states = {name: State(policy) for name, policy in policies.items()}
        self._alone = alone
        self._cut = CutState(cut)
        self._last = cut
        self._moves = 0
        self._link = bandwidth.initial(bandwidth_bytes_per_s)
        self._rtt_s = 0.0
        self._server_s: Dict[str, float] = {name: policy.cloud_s for name, policy in policies.items()}
        # By task, in the order they were handed over; never more than fit into the pipeline.
        self._waiting: Dict[int, Waiting] = {}
        self._prefer = prefer
        self._draw = draw
        self._interval_s = interval_s

    @property
    def moves(self) -> int:
        """How often a task took another cut than the one before it."""
        return self._moves

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Estimated, on the wire."""
        with self._lock:
            return bandwidth.estimate(self._link)

    # The device thread.

    def next_cut(self, now_s: float, down: bool) -> str:
        """The cut of the next task; `down`: the server is known to be out of reach."""
        with self._lock:
            outage = down or self._outage(now_s)
            if len(self._policies) > 1:
                self._cut = choose_cut(self._cut, self._policies, bandwidth.estimate(self._link), outage)
            name = self._alone if outage and self._alone is not None else self._cut.cut
            self._moves += name != self._last
            self._last = name
            return name

    def outage(self, now_s: float) -> bool:
        """Whether the link is taken for down, and there is a way around it."""
        with self._lock:
            return self._alone is not None and self._outage(now_s)

    def rung_ahead(self, name: str, now_s: float, tunable: bool, adjustable: bool) -> int:
        """The precision to run a device half at, before the task's score is known.

        What can be quantized again is tried at the last precision; what cannot gets what the link has time for, from
        the precision on that every task is admitted at.
        """
        with self._lock:
            policy, state = self._policies[name], self._states[name]
            if adjustable:
                return state.rung
            if not tunable or policy.name == "none" or (policy.name == "default" and self._prefer == "bytes"):
                return policy.base
            rate, rest_s = bandwidth.estimate(self._link), max(policy.rest_s, self._interval_s)
            if policy.name == "paper":
                return as_printed(policy.rungs, policy.base, rate, rest_s).rung
            return without_bubble(policy.rungs, policy.base, state.rung, rate, self._backlog_s(now_s), rest_s).rung

    def decide(
        self, task: int, name: str, feature: Optional[np.ndarray], now_s: float, rung: Optional[int] = None
    ) -> Decision:
        """Exit or offload a task after its device half, and at which precision.

        Parameters
        ----------
        task : int
            From an offloaded one on, `answered` or `lost` is awaited.
        name : str
            The cut it took.
        feature : ndarray of float32, shape (D,), or None
            None where nothing is decided.
        now_s : float
        rung : int, optional
            The precision it has, where that cannot be changed any more.
        """
        with self._lock:
            policy, state = self._policies[name], self._states[name]
            if feature is None:
                decision = Decision("", -1, policy.base, "", NOTHING, False)
            else:
                rate = bandwidth.estimate(self._link)
                observation = Observation(feature, rate, self._backlog_s(now_s), self._interval_s, self._draw())
                decision = decide(observation, state, policy, self._prefer)
            if rung is not None:
                decision = decision._replace(rung=rung)
                state.rung = state.rung if decision.exit else rung
            self._cut = after_task(self._cut, name, exited=bool(decision.exit), sent=not decision.exit)
            if not decision.exit:
                self._waiting[task] = Waiting(policy.rungs[decision.rung])
            elif feature is not None:
                learn(state, policy, feature, decision)
            return decision

    def was_alone(self, name: str, exited: bool = False) -> None:
        """A task needed no server: its cut sends nothing, or it `exited` without being asked about here."""
        with self._lock:
            self._cut = after_task(self._cut, name, exited, sent=False)

    # Sender threads.

    def reached(self, rtt_s: float) -> None:
        """The server answers again, or for the first time, and this is what a round trip takes."""
        with self._lock:
            self._rtt_s = rtt_s

    def sending(self, task: int, now_s: float) -> None:
        """A connection has taken a task."""
        with self._lock:
            if task in self._waiting:
                self._waiting[task] = self._waiting[task]._replace(sent_s=now_s)

    def answered(
        self,
        task: int,
        name: str,
        transfer: Transfer,
        answer: Optional[Answer] = None,
        feature: Optional[np.ndarray] = None,
        decision: Optional[Decision] = None,
    ) -> None:
        """The server has answered.

        Parameters
        ----------
        task : int
        name : str
            The cut it took.
        transfer : Transfer
            Bytes written to the socket; `server_s` is what the server says, negative where it says nothing: then the
            plan's time is taken. The round trip is added here.
        answer : Answer, optional
        feature : ndarray, optional
        decision : Decision, optional
            All three, where there is something to learn.
        """
        with self._lock:
            self._waiting.pop(task, None)
            server_s = transfer.server_s if transfer.server_s >= 0 else self._policies[name].cloud_s
            self._server_s[name] = server_s
            wire_bytes = int(round(transfer.size_bytes / GOODPUT))
            self._link = bandwidth.observe(
                self._link, transfer._replace(size_bytes=wire_bytes, server_s=server_s + self._rtt_s)
            )
            if answer is not None and feature is not None and decision is not None:
                learn(self._states[name], self._policies[name], feature, decision, answer)

    def lost(self, task: int) -> None:
        """There will be no answer."""
        with self._lock:
            self._waiting.pop(task, None)

    # With the lock held.

    def _backlog_s(self, now_s: float) -> float:
        """How long the link will still be busy with what was handed over before: one after the other, as planned."""
        rate = bandwidth.estimate(self._link)
        free_s = self._link.free_s
        for waiting in self._waiting.values():
            begin_s = now_s if waiting.sent_s is None else waiting.sent_s
            free_s = max(free_s, begin_s) + link_s(waiting.rung, rate)
        return max(0.0, free_s - now_s)

    def _outage(self, now_s: float) -> bool:
        sent = [waiting for waiting in self._waiting.values() if waiting.sent_s is not None]
        if not sent:
            return False
        oldest_s = min(waiting.sent_s for waiting in sent if waiting.sent_s is not None)
        size_bytes = sum(wire_bytes(waiting.rung) for waiting in sent)
        server_s = max(self._server_s.values()) + self._rtt_s
        return bandwidth.in_outage(self._link, now_s, oldest_s, size_bytes, server_s)


def wire_bytes(rung: Rung) -> float:
    """What one task takes on the wire, headers included."""
    return body_bytes(rung, rung.size_bytes) / GOODPUT
