"""What passes between the thread that starts tasks and those that send them: a table of states, and a queue that obeys.

UP              connections take what is put
DOWN            the server is out of reach: what was put and what is put now comes back
FINISHING       nothing more will be put; what was put is still under way
FINISHING_DOWN  the same, and the server is out of reach
FAILED          an error that ends the run: everyone stops at their next step

The table says what may happen in each state and what follows. An event that is not there is a mistake of ours, not of
the network's. As h11 does it (h11/_state.py): no flags whose combinations nobody has thought of.
"""

import threading
import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, Optional

from ..errors import LocalProtocolError

UP, DOWN, FINISHING, FINISHING_DOWN, FAILED = "UP", "DOWN", "FINISHING", "FINISHING_DOWN", "FAILED"
STATES = (UP, DOWN, FINISHING, FINISHING_DOWN, FAILED)
#: The producer puts an item and finishes; a consumer takes an item, settles or loses it, and restores the link; any
#: thread fails.
PUT, FINISH, TAKE, SETTLE, LOSE, RESTORE, FAIL = "PUT", "FINISH", "TAKE", "SETTLE", "LOSE", "RESTORE", "FAIL"
EVENTS = (PUT, FINISH, TAKE, SETTLE, LOSE, RESTORE, FAIL)

TABLE: Dict[str, Dict[str, str]] = {
    UP: {PUT: UP, TAKE: UP, SETTLE: UP, LOSE: DOWN, FINISH: FINISHING, FAIL: FAILED},
    # Nothing waits here, so nothing is taken; items taken before are still settled, or lost as well.
    DOWN: {PUT: DOWN, SETTLE: DOWN, LOSE: DOWN, RESTORE: UP, FINISH: FINISHING_DOWN, FAIL: FAILED},
    FINISHING: {TAKE: FINISHING, SETTLE: FINISHING, LOSE: FINISHING_DOWN, FAIL: FAILED},
    # Whoever was asking for the server when the producer finished may still find it.
    FINISHING_DOWN: {SETTLE: FINISHING_DOWN, LOSE: FINISHING_DOWN, RESTORE: FINISHING, FAIL: FAILED},
    # What was under way ends as it likes. The first error counts.
    FAILED: {PUT: FAILED, SETTLE: FAILED, LOSE: FAILED, RESTORE: FAILED, FINISH: FAILED, FAIL: FAILED},
}


def after(state: str, event: str) -> str:
    """The state that follows.

    Raises
    ------
    LocalProtocolError
        If the event cannot happen in that state.
    """
    if event not in TABLE[state]:
        raise LocalProtocolError(f"the hand-off to the senders is {state}: {event} cannot happen there")
    return TABLE[state][event]


class Handoff:
    """Passes items from one producer to several consumers, and back. All of it sits behind one lock.

    Parameters
    ----------
    size : int
        Items that may wait for a consumer.
    down : bool
        Begin in DOWN.

    Attributes
    ----------
    error : BaseException or None
        The first failure; set in FAILED.
    """

    def __init__(self, size: int, down: bool = False) -> None:
        self._size = size
        self._state = DOWN if down else UP
        self._items: Deque[Any] = deque()
        self._returned: Deque[Any] = deque()
        self._taken = 0
        self._changed = threading.Condition()
        self.error: Optional[BaseException] = None

    @property
    def down(self) -> bool:
        """Whether consumers cannot work."""
        with self._changed:
            return self._state in (DOWN, FINISHING_DOWN)

    # The producer.

    def put(self, item: Any) -> bool:
        """Wait for room and add `item`; False if the run has failed."""
        with self._changed:
            while self._state == UP and len(self._items) >= self._size:
                self._changed.wait()
            self._move(PUT)
            (self._items if self._state == UP else self._returned).append(item)
            return self._state != FAILED

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether the next `put` will not have to wait, or something else wants the producer; waits for it so long."""
        with self._changed:
            if len(self._items) >= self._size and not self._wanted():
                self._changed.wait(timeout_s)
            return len(self._items) < self._size or self._wanted()

    def wait_until(self, time_s: float) -> bool:
        """Wait until that time by `time.perf_counter`; False as soon as something else wants the producer before."""
        with self._changed:
            while not self._wanted() and time.perf_counter() < time_s:
                self._changed.wait(max(0.0, time_s - time.perf_counter()))
            return not self._wanted()

    def returned(self, wait: bool = False) -> Iterator[Any]:
        """Items that came back; with `wait` until none can any more, or the run has failed."""
        while True:
            with self._changed:
                while wait and (self._items or self._taken) and not self._wanted():
                    self._changed.wait()
                if not self._returned or self._state == FAILED:
                    return
                item = self._returned.popleft()
            yield item

    def finish(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._move(FINISH)

    # Consumers.

    def __iter__(self) -> Iterator[Any]:
        """Items until the producer has finished and the queue is empty, or the run has failed.

        Each has to be settled, or lost.
        """
        while True:
            with self._changed:
                while not self._items and self._state in (UP, DOWN):
                    self._changed.wait()
                if self._state == FAILED or not self._items:
                    return
                self._move(TAKE)
                item = self._items.popleft()
                self._taken += 1
            yield item

    def settle(self) -> None:
        """An item was taken care of."""
        with self._changed:
            self._move(SETTLE)
            self._taken -= 1

    def lose(self, item: Any) -> bool:
        """Give an item back with all that wait, and whatever is put from now on; True for the first to say so."""
        with self._changed:
            first = self._state in (UP, FINISHING)
            self._move(LOSE)
            self._taken -= 1
            self._returned.append(item)
            self._returned.extend(self._items)
            self._items.clear()
            return first

    def restore(self) -> None:
        """Consumers can work again."""
        with self._changed:
            self._move(RESTORE)

    def pause(self, seconds: float) -> bool:
        """Wait; False, and at once, where there will be nothing more to do."""
        end_s = time.monotonic() + seconds
        with self._changed:
            while self._state in (UP, DOWN) and time.monotonic() < end_s:
                self._changed.wait(max(0.0, end_s - time.monotonic()))
            return self._state in (UP, DOWN)

    def fail(self, error: BaseException) -> None:
        """Stop everyone; the first error is kept."""
        with self._changed:
            if self.error is None:
                self.error = error
            self._move(FAIL)

    # With the lock held.

    def _move(self, event: str) -> None:
        """The one place where the state changes; whoever waits looks again once the lock is free."""
        self._state = after(self._state, event)
        self._changed.notify_all()

    def _wanted(self) -> bool:
        return bool(self._returned) or self._state == FAILED
