"""Device, link and server at work at the same time.

The calling thread computes device halves, one thread per connection sends them and waits for answers, and a bounded
queue sits between. An error on either side stops both.
"""

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from runtime.offload import CloudHalf

Arrays = Dict[str, np.ndarray]
Predict = Callable[[Arrays], Tuple[int, ...]]


class Work(NamedTuple):
    """One task after its device half."""

    task: int
    start_s: float
    device_s: float
    outputs: Arrays


class Done(NamedTuple):
    """One task after its answer: what came out, and what it took. Holds no arrays, since every task leaves one."""

    task: int
    predictions: Tuple[int, ...]
    latency_s: float
    device_s: float
    round_trip_s: float
    sent_bytes: int
    payload_bytes: int
    packed_bytes: int


class Handoff:
    """Passes items from one producer to several consumers.

    All state sits behind one lock. After `fail`, producer and consumers stop at their next step, whatever they wait
    for, and `error` holds the first failure.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: Deque[Any] = deque()
        self._finished = False
        self._changed = threading.Condition()
        self.error: Optional[BaseException] = None

    def put(self, item: Any) -> bool:
        """Wait for room and add `item`; False if the pipeline has failed."""
        with self._changed:
            while len(self._items) >= self._size and self.error is None:
                self._changed.wait()
            self._items.append(item)
            self._changed.notify_all()
            return self.error is None

    def __iter__(self) -> Iterator[Any]:
        """Items until the producer has finished and the queue is empty, or the pipeline has failed."""
        while True:
            with self._changed:
                while not self._items and not self._finished and self.error is None:
                    self._changed.wait()
                if self.error is not None or not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def finish(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Stop everyone; the first error is kept."""
        with self._changed:
            if self.error is None:
                self.error = error
            self._changed.notify_all()


def offload(works: Iterator[Work], clouds: Sequence[CloudHalf], predict: Predict) -> List[Done]:
    """Answers to all works, in the works' order whatever order they came in.

    Parameters
    ----------
    works : iterator of Work
        Advanced in the calling thread.
    clouds : sequence of CloudHalf
        One sender thread each.
    predict : callable
        All model outputs of a task -> classes of its rows.

    Raises
    ------
    BaseException
        The first failure of either side, as itself.
    """
    handoff = Handoff(len(clouds))
    done: List[Done] = []

    def fail(error: BaseException) -> None:
        handoff.fail(error)
        for cloud in clouds:
            cloud.connection.abort()

    def send(cloud: CloudHalf) -> None:
        try:
            for work in handoff:
                start_s = time.perf_counter()
                answer = cloud.infer(work.outputs)
                end_s = time.perf_counter()
                predictions = predict(dict(work.outputs, **answer.outputs))
                latency_s, round_trip_s = end_s - work.start_s, end_s - start_s
                sizes = answer.sent_bytes, answer.payload_bytes, answer.packed_bytes
                done.append(Done(work.task, predictions, latency_s, work.device_s, round_trip_s, *sizes))
        except BaseException as exc:  # carried to the calling thread, which raises it
            fail(exc)

    senders = [threading.Thread(target=send, args=(cloud,), daemon=True) for cloud in clouds]
    for sender in senders:
        sender.start()
    try:
        for work in works:
            if not handoff.put(work):
                break
        handoff.finish()
        for sender in senders:
            sender.join()
    except BaseException as exc:
        fail(exc)
        for sender in senders:
            sender.join()
        raise
    if handoff.error is not None:
        raise handoff.error
    return sorted(done, key=lambda item: item.task)
