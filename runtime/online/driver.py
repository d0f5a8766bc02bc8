"""The driver of the online controller: what the link, the cuts and the server's answers have taught in one run.

All of it behind one lock. The device thread asks where and how the next task goes, sender threads report what became
of it; `controller`, `cut_choice` and `bandwidth` decide. It has no clock of its own, so a simulation drives it with
simulated times and decides as a run does. Another run is another driver, which may begin with a snapshot of this one.
"""

import math
import threading
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

import numpy as np

from . import bandwidth
from .bandwidth import Transfer
from .believed_stages import BelievedStages
from .controller import Answer, Decision, Observation, State, decide, learn
from .cut_choice import CutState, after_task, choose_cut, expected_period_s, periods_of
from .policy import Policy
from .precision import GOODPUT, Rung, as_printed, body_bytes, link_s, without_bubble
from .scoring import NOTHING
from .small_transfers import SmallTransfers


#: Of requests under way: more threads take the program longer than they save.
MOST_REQUESTS = 32
#: No task takes the program less.
LEAST_PERIOD_S = 2e-4
#: Share of the link's rate that probes of it may take: regularly, and where answers begin to take another time.
PROBE_SHARE, SHIFT_SHARE = 0.05, 0.1
#: Between two of them.
LEAST_PROBE_S = 0.2
#: The same where the rate decides nothing and answers take as long as they did.
IDLE_PROBE_S = 10.0
MOST_FALSE_ALARMS = 10
#: So long one waits for a moment when nothing is under way.
PROBE_LATE_S = 0.1
#: So long a probe is believed rather than small transfers.
PROBED_KEPT_S = 10.0
#: Within this of what was believed, a probe says the same again, less or more its own error.
NEAR = 1.3
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
        self._stages = BelievedStages(policies)
        self._began_s: Optional[float] = None
        # When the last task was given its cut, where the one before it took the same.
        self._chosen_s: Optional[float] = None
        self._states = {name: State(policy) for name, policy in policies.items()}
        self._alone = alone
        self._cut = CutState(cut)
        self._last = cut
        self._moves = 0
        self._link = bandwidth.initial(bandwidth_bytes_per_s)
        self._rtt_s = 0.0
        self._small = SmallTransfers()
        self._probed_s = self._known_s = float("-inf")
        self._probed_bytes = 0.0
        self._false_alarms = 0
        self._asking = False
        self._sent_bytes = 0.0
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
    def rtt_s(self) -> float:
        """A round trip without content, as last measured; 0 where none was."""
        with self._lock:
            return self._rtt_s

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Estimated, on the wire."""
        with self._lock:
            return bandwidth.estimate(self._link)

    # Between runs.

    def snapshot(self) -> Dict[str, Any]:
        """What the next run of the same bundle should know, as JSON has it."""
        with self._lock:
            return {
                "bandwidth_bytes_per_s": bandwidth.estimate(self._link),
                "rtt_s": self._rtt_s,
                "cut": self._cut.cut,
                "stages": self._stages.snapshot(),
                "climbed": {name: state.climbed for name, state in self._states.items()},
            }

    @staticmethod
    def checked(record: Mapping[str, Any]) -> Dict[str, Any]:
        """A snapshot as it was read.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is none.
        """
        stages = {
            str(cut): {side: [_time(seconds) for seconds in times[side]] for side in ("device", "cloud")}
            for cut, times in record["stages"].items()
        }
        climbed = {str(cut): int(count) for cut, count in record["climbed"].items()}
        if any(count < 0 for count in climbed.values()):
            raise ValueError("a count below 0")
        return {
            "bandwidth_bytes_per_s": _time(record["bandwidth_bytes_per_s"]),
            "rtt_s": _time(record["rtt_s"]),
            "cut": str(record["cut"]),
            "stages": stages,
            "climbed": climbed,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Begin with what another run has learned; `snapshot` has been checked."""
        with self._lock:
            self._link = bandwidth.initial(snapshot["bandwidth_bytes_per_s"])
            self._rtt_s = snapshot["rtt_s"]
            self._stages.restore(snapshot["stages"])
            if len(self._policies) > 1 and snapshot["cut"] in self._policies:
                self._cut = self._cut._replace(cut=snapshot["cut"])
            for name, count in snapshot["climbed"].items():
                if name in self._states:
                    self._states[name].climbed = count

    # The device thread.

    def next_cut(self, now_s: float, down: bool) -> str:
        """The cut of the next task; `down`: the server is known to be out of reach."""
        with self._lock:
            outage = down or self._outage(now_s)
            self._began_s = now_s
            looked_at = None
            if len(self._policies) > 1:
                looked_at = self._choose(now_s, outage)
            name = self._alone if outage and self._alone is not None else looked_at or self._cut.cut
            self._moves += name != self._last
            self._last = name
            return name

    def window(self) -> int:
        """Requests that should be under way at once to keep the slowest stage busy: what one takes, by the period."""
        with self._lock:
            policy = self._stages.policies.get(self._last)
            if policy is None or not policy.rungs:
                return 1
            sent_s = link_s(policy.rungs[policy.base], bandwidth.estimate(self._link))
            cloud_s = policy.cloud_s
            period = max(policy.device_s, sent_s, cloud_s / policy.server_share, self._interval_s, LEAST_PERIOD_S)
            return min(MOST_REQUESTS, 1 + int(math.ceil((sent_s + self._rtt_s + cloud_s) / period)))

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
            policy, state = self._stages.policies[name], self._states[name]
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
            self._computed(name, now_s)
            policy, state = self._stages.policies[name], self._states[name]
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

    def was_alone(self, name: str, exited: bool = False, now_s: Optional[float] = None) -> None:
        """A task needed no server: its cut sends nothing, or it `exited` without being asked about here.

        `now_s`: when its device half had ended, where that is known.
        """
        with self._lock:
            if now_s is not None:
                self._computed(name, now_s)
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
                self._sent_bytes += wire_bytes(self._waiting[task].rung)

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
            if transfer.work_s >= 0:
                self._stages.saw_cloud(name, transfer.work_s)
            on_the_wire = int(round(transfer.size_bytes / GOODPUT))
            # What went beside a probe waited for it; so does what follows, for about as long as it took.
            after_s = self._probed_bytes / bandwidth.estimate(self._link)
            beside = self._asking or transfer.start_s < self._probed_s + after_s
            shows = self._small.saw(on_the_wire, transfer, bandwidth.estimate(self._link), beside)
            seen = transfer._replace(size_bytes=on_the_wire, server_s=server_s + self._rtt_s)
            # Where the rate is probed, transfers that do not show it would contradict it.
            probed = not shows and transfer.end_s - self._known_s < PROBED_KEPT_S
            self._link = (bandwidth.ended if probed or beside else bandwidth.observe)(self._link, seen)
            if answer is not None and feature is not None and decision is not None:
                learn(self._states[name], self._policies[name], feature, decision, answer)

    def wants_rate(self, now_s: float) -> bool:
        """Whether tasks do not show the link's rate, or not yet, and a probe is worth what it sends now.

        Probes may take a twentieth of what the link is believed to carry, or a tenth as soon as answers begin to take
        another time than they did. Where nothing is decided by the rate they are rare: each delays what is sent then.
        """
        with self._lock:
            if self._probed_s == float("-inf"):
                return True  # before anything is known
            if not self._small.few(now_s):
                return False
            every_s = self._probed_bytes / (PROBE_SHARE * bandwidth.estimate(self._link))
            if not self._decides:
                every_s = max(every_s, IDLE_PROBE_S)
            if self._small.shifted:
                # Each alarm that a probe has found to be none makes the next one wait longer.
                soon_s = self._probed_bytes / (SHIFT_SHARE * bandwidth.estimate(self._link))
                every_s = min(every_s, soon_s * 2**self._false_alarms)
            due_s = self._probed_s + max(every_s, LEAST_PROBE_S)
            # What is under way shares the link with it.
            return now_s >= (due_s + PROBE_LATE_S if self._waiting else due_s)

    def asking_rate(self) -> None:
        """A probe begins, which `asked_rate` ends."""
        with self._lock:
            self._asking = True

    def asked_rate(self, now_s: float, bytes_per_s: Optional[float], spent_bytes: float) -> None:
        """A probe has found this rate on the wire, or nothing, and has sent so much for it."""
        with self._lock:
            self._asking = False
            self._probed_s, self._probed_bytes = now_s, spent_bytes
            shifted = self._small.shifted
            self._small.settle()
            if bytes_per_s is not None:
                before = bandwidth.estimate(self._link)
                same = before / NEAR < bytes_per_s < before * NEAR
                self._false_alarms = min(self._false_alarms + shifted, MOST_FALSE_ALARMS) if same else 0
                if now_s - self._known_s < PROBED_KEPT_S and same:
                    bytes_per_s = (before + bytes_per_s) / 2  # one probe is up to a fifth off
                self._known_s = now_s
                self._link = bandwidth.measured(self._link, bytes_per_s)

    @property
    def sent_bytes(self) -> float:
        """What tasks have sent so far, on the wire."""
        return self._sent_bytes

    def lost(self, task: int) -> None:
        """There will be no answer."""
        with self._lock:
            self._waiting.pop(task, None)

    # With the lock held.

    def _choose(self, now_s: float, outage: bool) -> Optional[str]:
        """The cut of the tasks from now on; another one that the next task should take to learn of it, if any."""
        rate = bandwidth.estimate(self._link)
        stages, last = self._stages, self._last
        if self._chosen_s is not None and self._interval_s == 0 and not outage and last == self._cut.cut:
            shares = dict(self._cut.exit_shares)
            expected_s = expected_period_s(stages.policies[last], rate, shares.get(last, 0.0))
            if expected_s > 0:
                stages.saw_period(last, (now_s - self._chosen_s) / expected_s, now_s)
        self._chosen_s = None if outage else now_s

        def excess(cut: str) -> float:
            return stages.excess(cut, now_s)

        self._cut = choose_cut(self._cut, stages.policies, rate, outage, excess)
        if outage or not self._moves_freely:
            return None
        looked_at = stages.worth_a_look(now_s, periods_of(self._cut, stages.policies, rate, excess))
        if looked_at is not None or self._cut.cut != last:
            self._chosen_s = None
        return looked_at

    @property
    def _moves_freely(self) -> bool:
        """Whether there are several cuts that send to choose among."""
        return sum(bool(policy.rungs) for policy in self._policies.values()) > 1

    @property
    def _decides(self) -> bool:
        """Whether the rate changes anything: there are several cuts, or a policy that chooses the precision."""
        return len(self._policies) > 1 or any(policy.name != "none" for policy in self._policies.values())

    def _computed(self, name: str, now_s: float) -> None:
        """The device half of the task that began last has ended."""
        if self._began_s is not None:
            self._stages.saw_device(name, now_s - self._began_s, now_s)
            self._began_s = None

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


def _time(value: Any) -> float:
    """A number that a rate or a duration can be."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise ValueError(f"{value!r} is no time or rate")
    return float(value)


def wire_bytes(rung: Rung) -> float:
    """What one task takes on the wire, headers included."""
    return body_bytes(rung, rung.size_bytes) / GOODPUT
