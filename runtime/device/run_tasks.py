"""Device, link and server at work at the same time: the loop of the thread that starts tasks.

It computes device halves, `senders` send them and wait for answers, and a hand-off sits between. A task that ends on
the device never enters it; one that the server has not answered comes back, and is answered here, or ends with an
error where the device cannot do without the server. Whatever fails, fails for one task.
"""

import time
from typing import Callable, Iterable, Iterator, Mapping, NamedTuple, Optional

import numpy as np

from ..errors import LocalProtocolError
from ..online.driver import LOOK_S
from .flight import Flight
from .handoff import Lost
from .outcome import Done, Failed, Outcome, reason_of, remote_stage
from .run_task import DeviceStage, Work
from .senders import Uplink

#: Whoever waits for the next arrival looks so often whether anybody still wants it.
STOP_S = 0.2
#: Tasks between two looks at how many should be under way.
LOOK_TASKS = 8
Feed = Mapping[str, np.ndarray]


class Task(NamedTuple):
    """One task as it comes.

    Attributes
    ----------
    number : int
    feed : mapping of str to ndarray
        As the device half of the cut takes it.
    arrival_s : float or None
        When it comes, by `time.perf_counter`; None: when there is room for it.
    """

    number: int
    feed: Feed
    arrival_s: Optional[float] = None


class Loop:
    """The thread that starts tasks, and answers those that come back.

    Parameters
    ----------
    stage : DeviceStage
    uplink : Uplink or None
        None where no cut sends anything.
    ended : callable
        Gets the outcome of each task, from any thread, in the order they come.
    alone : bool
        The device can answer without the server.
    timeout_s : float
        How long anybody waits for the server's answer to a task.
    deadline_s : float, optional
        How long an answer may take from the task's arrival: after it the device makes one, or the server's is late.
    window : callable
        How many tasks should be under way.
    stopping : callable
        True from when on nobody waits for another arrival.
    """

    def __init__(
        self,
        stage: DeviceStage,
        uplink: Optional[Uplink],
        ended: Callable[[Outcome], None],
        alone: bool,
        timeout_s: float,
        deadline_s: Optional[float] = None,
        window: Callable[[], int] = lambda: 2,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stage = stage
        self._uplink = uplink
        self._ended = ended
        self._alone = alone
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._window = window
        self._stopping = stopping
        self._turn = 0

    def run(self, tasks: Iterable[Task], started: Callable[[int], None] = lambda number: None) -> None:
        """Every task to its outcome.

        Parameters
        ----------
        tasks : iterable of Task
            Read in the calling thread. Reading is not part of a task's latency, unless it is late for its arrival.
        started : callable
            Gets the number of each task that has been through the device half.

        Raises
        ------
        BaseException
            What reading raises, once all tasks that were read have their outcome; and at once what goes wrong in a
            thread that is not one task's, and a second Ctrl-C.
        """
        try:
            for task in tasks:
                self._wait(task.arrival_s)
                self._start(task)
                started(task.number)
                if self._uplink is not None and self._uplink.handoff.error is not None:
                    break
        except Exception:
            self._drain()
            raise
        self._drain()

    def _start(self, task: Task) -> None:
        """One task through its device half."""
        uplink = self._uplink
        arrival_s = time.perf_counter() if task.arrival_s is None else task.arrival_s
        try:
            item = self._stage.run(task.number, task.feed, uplink is not None and uplink.handoff.down, task.arrival_s)
        except Exception as exc:  # this task's: the next may be another one
            self._recover(task.number, task.feed, arrival_s, exc, "device")
            return
        if isinstance(item, Done):
            self._ended(self._judged(item))
            return
        assert uplink is not None
        due_s = None if self._deadline_s is None else item.arrival_s + self._deadline_s
        uplink.handoff.put(Flight(item, due_s, self._alone, time.perf_counter() + self._timeout_s))

    def _wait(self, arrival_s: Optional[float]) -> None:
        """Until the task comes and there is room for it, or the link is down and it will do without.

        What comes back meanwhile does not wait for it.
        """
        handoff = None if self._uplink is None else self._uplink.handoff
        while arrival_s is not None and time.perf_counter() < arrival_s and not self._stopping():
            if handoff is None:
                time.sleep(max(0.0, min(STOP_S, arrival_s - time.perf_counter())))
            elif not handoff.wait_until(min(arrival_s, time.perf_counter() + STOP_S)):
                self._answer(handoff.returned())
                if handoff.error is not None:
                    return
        if handoff is None or self._uplink is None:
            return
        if self._turn % LOOK_TASKS == 0:
            self._uplink.widen(self._window())
        self._turn += 1
        while not handoff.wait_for_room(LOOK_S) or handoff.has_returned:
            self._answer(handoff.returned())
            if handoff.error is not None or self._stage.outage():
                return
        self._answer(handoff.returned())

    def _drain(self) -> None:
        """Wait for what is under way."""
        if self._uplink is None:
            return
        handoff = self._uplink.handoff
        handoff.finish()
        while handoff.under_way(LOOK_S):
            self._answer(handoff.returned())
        if handoff.error is not None:
            raise handoff.error

    def _answer(self, lost: Iterator[Lost]) -> None:
        """What the server has not answered: on the device, where it can."""
        for flight, error in lost:
            work: Work = flight.work
            stage = "device" if isinstance(error, LocalProtocolError) else remote_stage(error)
            self._recover(work.task, work.feed, work.arrival_s, error, stage, work)

    def _recover(
        self,
        number: int,
        feed: Optional[Feed],
        arrival_s: float,
        error: Exception,
        stage: str,
        work: Optional[Work] = None,
    ) -> None:
        """The device's answer to a task that has none, or its error."""
        self._stage.lost(number)
        if self._alone and feed is not None:
            try:
                done = self._stage.answer_alone(number, feed, arrival_s, work.device_s if work is not None else 0.0)
            except Exception as exc:  # this task's, like the first one
                error, stage = exc, "device"
            else:
                self._ended(self._judged(done))
                return
        cut = "" if work is None else str(work.cut)
        self._ended(Failed(number, stage, reason_of(error), time.perf_counter() - arrival_s, cut))

    def _judged(self, done: Done) -> Done:
        """Whether an answer of the device came in time."""
        return done._replace(late=self._deadline_s is not None and done.latency_s > self._deadline_s)
