"""Device, link and server at work at the same time.

The calling thread computes device halves, one thread per connection sends them and waits for answers, and a bounded
queue sits between. A task that ends on the device never enters it. Where the device can do without the server, a lost
connection is no error: what was under way comes back to the calling thread, nothing is sent while the server is out of
reach, and the sender that noticed asks now and then whether it is there again. Any other error stops both sides.
"""

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterable, Iterator, List, Mapping, Optional, Sequence

import numpy as np

from ..errors import CoachRuntimeError, ConnectionFailed, WrongBundleError
from ..link.cloud_half import CloudHalf
from ..online.bandwidth import Transfer
from ..online.controller import Answer
from ..online.driver import LOOK_S, Driver
from .predictions import Predict, confidence_of
from .run_task import DeviceStage, Done, Work

#: Pauses between two questions whether a lost server is back: the first, each twice the one before, the longest.
FIRST_PROBE_S, LAST_PROBE_S = 0.2, 5.0
#: A probe that takes longer has failed; a run that ends waits that long at most for one under way.
PROBE_TIMEOUT_S = 1.0


class Handoff:
    """Passes items from one producer to several consumers, and back.

    All state sits behind one lock. After `fail`, producer and consumers stop at their next step, whatever they wait
    for, and `error` holds the first failure.

    Parameters
    ----------
    size : int
        Items that may wait for a consumer.
    down : bool
        Consumers cannot work: whatever is put comes back at once.
    """

    def __init__(self, size: int, down: bool = False) -> None:
        self._size = size
        self._items: Deque[Any] = deque()
        self._returned: Deque[Any] = deque()
        self._taken = 0
        self._finished = False
        self._down = down
        self._changed = threading.Condition()
        self.error: Optional[BaseException] = None

    @property
    def down(self) -> bool:
        """Whether consumers cannot work."""
        with self._changed:
            return self._down

    # The producer.

    def put(self, item: Any) -> bool:
        """Wait for room and add `item`; False if the pipeline has failed."""
        with self._changed:
            while len(self._items) >= self._size and self.error is None and not self._down:
                self._changed.wait()
            (self._returned if self._down else self._items).append(item)
            self._changed.notify_all()
            return self.error is None

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether the next `put` will not have to wait, or something else wants the producer; waits for it so long."""
        with self._changed:
            if len(self._items) >= self._size and not self._returned and self.error is None:
                self._changed.wait(timeout_s)
            return len(self._items) < self._size or bool(self._returned) or self.error is not None

    def returned(self, wait: bool = False) -> Iterator[Any]:
        """Items that came back; with `wait` until none can any more, or the pipeline has failed."""
        while True:
            with self._changed:
                while wait and not self._returned and (self._items or self._taken) and self.error is None:
                    self._changed.wait()
                if not self._returned or self.error is not None:
                    return
                item = self._returned.popleft()
            yield item

    def finish(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    # Consumers.

    def __iter__(self) -> Iterator[Any]:
        """Items until the producer has finished and the queue is empty, or the pipeline has failed.

        Each has to be settled, or lost.
        """
        while True:
            with self._changed:
                while not self._items and not self._finished and self.error is None:
                    self._changed.wait()
                if self.error is not None or not self._items:
                    return
                item = self._items.popleft()
                self._taken += 1
                self._changed.notify_all()
            yield item

    def settle(self) -> None:
        """An item was taken care of."""
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def lose(self, item: Any) -> bool:
        """Give an item back with all that wait, and whatever is put from now on; True for the first to say so."""
        with self._changed:
            first = not self._down
            self._down = True
            self._taken -= 1
            self._returned.append(item)
            self._returned.extend(self._items)
            self._items.clear()
            self._changed.notify_all()
            return first

    def restore(self) -> None:
        """Consumers can work again."""
        with self._changed:
            self._down = False
            self._changed.notify_all()

    def pause(self, seconds: float) -> bool:
        """Wait; False, and at once, where there will be nothing more to do."""
        end_s = time.monotonic() + seconds
        with self._changed:
            while not self._finished and self.error is None and time.monotonic() < end_s:
                self._changed.wait(max(0.0, end_s - time.monotonic()))
            return not self._finished and self.error is None

    def fail(self, error: BaseException) -> None:
        """Stop everyone; the first error is kept."""
        with self._changed:
            if self.error is None:
                self.error = error
            self._changed.notify_all()


class Uplink:
    """The connections to a server, and what sender threads need beside them.

    Parameters
    ----------
    clouds : sequence of CloudHalf
        One sender thread each; each takes a task of any cut.
    predict : callable
        All model outputs of a task -> classes of its rows.
    driver : Driver
    output : str
        The model output whose probability is taken.
    probe : callable, optional
        Makes a connection that asks whether the server is there, checks that it is the right one, and gives the round
        trip in seconds. None: a lost connection is an error.
    down : bool
        The server was out of reach at the start.
    """

    def __init__(
        self,
        clouds: Sequence[CloudHalf],
        predict: Predict,
        driver: Driver,
        output: str,
        probe: Optional[Callable[[], float]] = None,
        down: bool = False,
    ) -> None:
        self.clouds = list(clouds)
        self.handoff = Handoff(len(self.clouds), down)
        self.driver = driver
        self._predict = predict
        self._output = output
        self._probe = probe

    def start(self, ended: Callable[[Done], None]) -> List[threading.Thread]:
        """One thread for each connection, started."""
        senders = []
        for number, cloud in enumerate(self.clouds):
            senders.append(threading.Thread(target=self._serve, args=(cloud, ended, number == 0), daemon=True))
        for sender in senders:
            sender.start()
        return senders

    def fail(self, error: BaseException) -> None:
        """Stop both sides; requests under way fail now."""
        self.handoff.fail(error)
        for cloud in self.clouds:
            cloud.connection.abort()

    def _serve(self, cloud: CloudHalf, ended: Callable[[Done], None], first: bool) -> None:
        try:
            if first and self.handoff.down:
                self._find_again()
            for work in self.handoff:
                try:
                    done = self._send(cloud, work)
                except ConnectionFailed as exc:
                    if self._probe is None or isinstance(exc, WrongBundleError) or self.handoff.error is not None:
                        raise
                    if self.handoff.lose(work):
                        self._find_again()
                else:
                    ended(done)
                    self.handoff.settle()
        except BaseException as exc:  # carried to the calling thread, which raises it
            self.fail(exc)

    def _send(self, cloud: CloudHalf, work: Work) -> Done:
        start_s = time.perf_counter()
        self.driver.sending(work.task, start_s)
        answer = cloud.infer(work.outputs, work.cut, work.bits)
        end_s = time.perf_counter()
        outputs = dict(work.outputs, **answer.outputs)
        predictions = self._predict(outputs)
        decision = work.decision
        transfer = Transfer(
            answer.sent_bytes, answer.start_s, answer.end_s, -1.0 if answer.server_s is None else answer.server_s
        )
        said = None
        if work.feature is not None and len(predictions) == 1:
            said = Answer(predictions[0], confidence_of(outputs[self._output]))
        self.driver.answered(work.task, str(work.cut), transfer, said, work.feature, decision)
        return Done(
            work.task,
            predictions,
            end_s - work.start_s,
            work.device_s,
            end_s - start_s,
            answer.sent_bytes,
            answer.payload_bytes,
            answer.packed_bytes,
            str(work.cut),
            "",
            work.bits,
            decision.audit if decision is not None else "",
            decision is None or not decision.audit or (decision.label,) == predictions,
        )

    def _find_again(self) -> None:
        """Ask now and then until the server answers, or there is nothing more to send."""
        assert self._probe is not None
        pause_s = FIRST_PROBE_S
        while self.handoff.pause(pause_s):
            pause_s = min(2 * pause_s, LAST_PROBE_S)
            try:
                rtt_s = self._probe()
            except WrongBundleError:
                raise
            except CoachRuntimeError:
                continue  # not there, or not ready
            self.driver.reached(rtt_s)
            self.handoff.restore()
            return


def run_tasks(
    feeds: Iterable[Mapping[str, np.ndarray]],
    stage: DeviceStage,
    uplink: Optional[Uplink],
    ended: Callable[[Done], None],
    started: Callable[[int], None] = lambda task: None,
) -> None:
    """Every task to its answer.

    Parameters
    ----------
    feeds : iterable of mapping
        Read in the calling thread, which computes device halves too. Reading is not part of a task's latency.
    stage : DeviceStage
    uplink : Uplink or None
        None where no cut sends anything.
    ended : callable
        Gets each answer, from any thread, in the order they come.
    started : callable
        Gets the number of each task that has been through the device half.

    Raises
    ------
    BaseException
        The first failure of either side, as itself.
    """
    if uplink is None:
        for task, feed in enumerate(feeds):
            item = stage.run(task, feed)
            assert isinstance(item, Done)
            ended(item)
            started(task)
        return
    handoff = uplink.handoff
    senders = uplink.start(ended)
    try:
        for task, feed in enumerate(feeds):
            _wait(uplink)
            for lost in handoff.returned():
                ended(stage.answer_alone(lost))
            item = stage.run(task, feed, handoff.down)
            if isinstance(item, Done):
                ended(item)
            handed_over = isinstance(item, Done) or handoff.put(item)
            if not handed_over or handoff.error is not None:
                break
            started(task)
        handoff.finish()
        for lost in handoff.returned(wait=True):
            ended(stage.answer_alone(lost))
        for sender in senders:
            sender.join()
    except BaseException as exc:
        uplink.fail(exc)
        for sender in senders:
            sender.join()
        raise
    if handoff.error is not None:
        raise handoff.error


def _wait(uplink: Uplink) -> None:
    """Until the next task can start: there is room for it, or the link is down and it will do without."""
    while not uplink.handoff.wait_for_room(LOOK_S):
        if uplink.driver.outage(time.perf_counter()):
            return
