"""Device, link and server at work at the same time: the loop of the thread that starts tasks.

It computes device halves, `senders` send them and wait for answers, and a bounded hand-off sits between. A task that
ends on the device never enters it; one that the server has not answered comes back, and is answered here.
"""

import time
from typing import Callable, Iterable, Iterator, Mapping, Optional, Tuple

import numpy as np

from ..online.driver import LOOK_S
from .handoff import Handoff
from .run_task import DeviceStage, Done, Work
from .senders import Uplink

Feed = Mapping[str, np.ndarray]
Ended = Callable[[Done], None]
Started = Callable[[int], None]


def run_tasks(
    feeds: Iterable[Feed],
    stage: DeviceStage,
    uplink: Optional[Uplink],
    ended: Ended,
    started: Started = lambda task: None,
    interval_s: float = 0.0,
) -> None:
    """Every task to its answer.

    Parameters
    ----------
    feeds : iterable of mapping
        Read in the calling thread, which computes device halves too. Reading is not part of a task's latency, unless
        it is late for the task's arrival.
    stage : DeviceStage
    uplink : Uplink or None
        None where no cut sends anything.
    ended : callable
        Gets each answer, from any thread, in the order they come.
    started : callable
        Gets the number of each task that has been through the device half.
    interval_s : float
        Between arrivals, as a camera gives them; 0: tasks wait for the pipeline.

    Raises
    ------
    BaseException
        The first failure of either side, as itself.
    """
    arrivals = _arrivals(feeds, interval_s)
    if uplink is None:
        _run_alone(arrivals, stage, ended, started)
        return
    handoff = uplink.handoff
    senders = uplink.start(ended)
    try:
        _start_tasks(arrivals, stage, uplink, ended, started)
        handoff.finish()
        _answer(handoff.returned(wait=True), stage, ended)
        for sender in senders:
            sender.join()
    except BaseException as exc:
        uplink.fail(exc)
        for sender in senders:
            sender.join()
        raise
    if handoff.error is not None:
        raise handoff.error


def _arrivals(feeds: Iterable[Feed], interval_s: float) -> Iterator[Tuple[int, Feed, Optional[float]]]:
    """Tasks with their number and the time at which each comes, the first now; None: when there is room for it."""
    first_s = None
    for task, feed in enumerate(feeds):
        first_s = time.perf_counter() if first_s is None else first_s
        yield task, feed, first_s + task * interval_s if interval_s > 0 else None


def _run_alone(
    arrivals: Iterator[Tuple[int, Feed, Optional[float]]], stage: DeviceStage, ended: Ended, started: Started
) -> None:
    for task, feed, arrival_s in arrivals:
        if arrival_s is not None:
            time.sleep(max(0.0, arrival_s - time.perf_counter()))
        item = stage.run(task, feed, arrival_s=arrival_s)
        assert isinstance(item, Done)
        ended(item)
        started(task)


def _start_tasks(
    arrivals: Iterator[Tuple[int, Feed, Optional[float]]],
    stage: DeviceStage,
    uplink: Uplink,
    ended: Ended,
    started: Started,
) -> None:
    """Every task through its device half; stops early where a sender has failed."""
    handoff = uplink.handoff
    for task, feed, arrival_s in arrivals:
        if arrival_s is not None:
            _wait_for_arrival(handoff, arrival_s, stage, ended)
        _wait_for_room(uplink)
        _answer(handoff.returned(), stage, ended)
        item = stage.run(task, feed, handoff.down, arrival_s)
        if isinstance(item, Done):
            ended(item)
        handed_over = isinstance(item, Done) or handoff.put(item)
        if not handed_over or handoff.error is not None:
            return
        started(task)


def _wait_for_arrival(handoff: Handoff, arrival_s: float, stage: DeviceStage, ended: Ended) -> None:
    """Until the task comes; what was lost meanwhile does not wait for it."""
    while not handoff.wait_until(arrival_s) and handoff.error is None:
        _answer(handoff.returned(), stage, ended)


def _wait_for_room(uplink: Uplink) -> None:
    """Until the next task can start: there is room for it, or the link is down and it will do without."""
    while not uplink.handoff.wait_for_room(LOOK_S):
        if uplink.driver.outage(time.perf_counter()):
            return


def _answer(lost: Iterable[Work], stage: DeviceStage, ended: Ended) -> None:
    """On the device, what the server has not answered."""
    for work in lost:
        ended(stage.answer_alone(work))
