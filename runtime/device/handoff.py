"""What passes between the thread that starts tasks, those that send them and the one that watches, and who has each.

UP              senders take what is put
DOWN            the server is out of reach: nothing is taken
FINISHING       nothing more will be put; what was put is still under way
FINISHING_DOWN  the same, and the server is out of reach
FAILED          a fault of ours: everyone stops at their next step

The table says what may happen in each state and what follows. An event that is not there is a mistake of ours, not of
the network's. As h11 does it (h11/_state.py): no flags whose combinations nobody has thought of.

An item that was put waits, flies (a sender has it), or has come back to the thread that starts tasks; it moves under
one lock, so that exactly one of them answers for it: a sender whose item was taken back hears so and lets it go.
"""

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional

from ..errors import LocalProtocolError

UP, DOWN, FINISHING, FINISHING_DOWN, FAILED = "UP", "DOWN", "FINISHING", "FINISHING_DOWN", "FAILED"
STATES = (UP, DOWN, FINISHING, FINISHING_DOWN, FAILED)
#: The producer puts an item and finishes; a sender takes an item, settles or loses it; whoever finds out breaks or
#: restores the link; any thread fails.
PUT, FINISH, TAKE, SETTLE, LOSE = "PUT", "FINISH", "TAKE", "SETTLE", "LOSE"
BREAK, RESTORE, FAIL = "BREAK", "RESTORE", "FAIL"
EVENTS = (PUT, FINISH, TAKE, SETTLE, LOSE, BREAK, RESTORE, FAIL)

TABLE: Dict[str, Dict[str, str]] = {
    UP: {PUT: UP, TAKE: UP, SETTLE: UP, LOSE: UP, BREAK: DOWN, RESTORE: UP, FINISH: FINISHING, FAIL: FAILED},
    # Items taken before are still settled, or lost as well.
    DOWN: {PUT: DOWN, SETTLE: DOWN, LOSE: DOWN, BREAK: DOWN, RESTORE: UP, FINISH: FINISHING_DOWN, FAIL: FAILED},
    FINISHING: {
        TAKE: FINISHING,
        SETTLE: FINISHING,
        LOSE: FINISHING,
        BREAK: FINISHING_DOWN,
        RESTORE: FINISHING,
        FAIL: FAILED,
    },
    # Whoever was asking for the server when the producer finished may still find it.
    FINISHING_DOWN: {
        SETTLE: FINISHING_DOWN,
        LOSE: FINISHING_DOWN,
        BREAK: FINISHING_DOWN,
        RESTORE: FINISHING,
        FAIL: FAILED,
    },
    # What was under way ends as it likes. The first error counts.
    FAILED: dict.fromkeys((PUT, SETTLE, LOSE, BREAK, RESTORE, FINISH, FAIL), FAILED),
}


class Lost(NamedTuple):
    """An item that came back, and the error that says why."""

    item: Any
    error: Exception


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
    """Passes items from one producer to several senders, and back. All of it sits behind one lock.

    Parameters
    ----------
    size : int
        Items that may wait for a sender.
    down : bool
        Begin in DOWN.
    keeps : bool
        While the link is down items wait for it, since nobody else can do anything for them; else they come back.

    Attributes
    ----------
    error : BaseException or None
        The first failure; set in FAILED.
    """

    def __init__(self, size: int, down: bool = False, keeps: bool = False) -> None:
        self._size = size
        self._state = DOWN if down else UP
        self._keeps = keeps
        self._waiting: Deque[Any] = deque()
        self._flying: List[Any] = []
        self._telling = 0
        self._returned: Deque[Lost] = deque()
        self._why: Exception = LocalProtocolError("nobody has said why the link is down")
        lock = threading.Lock()
        self._lock = lock
        # Each wakes those only who have something to do.
        self._for_senders = threading.Condition(lock)
        self._for_producer = threading.Condition(lock)
        self._for_watcher = threading.Condition(lock)
        self.error: Optional[BaseException] = None

    @property
    def down(self) -> bool:
        """Whether senders cannot work."""
        with self._lock:
            return self._state in (DOWN, FINISHING_DOWN)

    # The producer.

    def put(self, item: Any) -> None:
        """Add `item`, whether there is room or not; in DOWN it comes back at once, if there is another way for it."""
        with self._lock:
            self._move(PUT)
            if self._state == DOWN and not self._keeps:
                self._returned.append(Lost(item, self._why))
            else:
                self._waiting.append(item)
                self._for_senders.notify()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether there is room for one more, or something else wants the producer; waits for it so long."""
        with self._lock:
            if not self._ready():
                self._for_producer.wait(timeout_s)
            return self._ready()

    def wait_until(self, time_s: float) -> bool:
        """Wait until that time by `time.perf_counter`; False as soon as something else wants the producer before."""
        with self._lock:
            while not self._wanted() and time.perf_counter() < time_s:
                self._for_producer.wait(max(0.0, time_s - time.perf_counter()))
            return not self._wanted()

    @property
    def has_returned(self) -> bool:
        """Whether items came back that nobody has taken care of."""
        with self._lock:
            return bool(self._returned)

    def returned(self) -> Iterator[Lost]:
        """Items that came back."""
        while True:
            with self._lock:
                if not self._returned or self._state == FAILED:
                    return
                lost = self._returned.popleft()
            yield lost

    def under_way(self, timeout_s: float) -> bool:
        """Whether items wait, fly, are being told or have come back.

        Waits so long for one that comes back, or for the last to end.
        """
        with self._lock:
            if (self._waiting or self._flying or self._telling) and not self._wanted():
                self._for_producer.wait(timeout_s)
            left = self._waiting or self._flying or self._telling or self._returned
            return bool(left) and self._state != FAILED

    def finish(self) -> None:
        """Nothing more will be put."""
        with self._lock:
            self._move(FINISH)
            self._wake_all()

    # Senders.

    def __iter__(self) -> Iterator[Any]:
        """Items until the producer has finished and none is under way, or the run has failed.

        Each has to be settled, or lost.
        """
        while True:
            with self._lock:
                while not self._can_take():
                    if self._state == FAILED or (self._state in (FINISHING, FINISHING_DOWN) and self._none_left()):
                        return
                    self._for_senders.wait()
                self._move(TAKE)
                item = self._waiting.popleft()
                self._flying.append(item)
                self._for_producer.notify()
            yield item

    def settle(self, item: Any, tell: Callable[[], None] = lambda: None) -> bool:
        """An item has its answer, and `tell` passes it on: it is under way until that is done.

        False, and nothing is told, where it was taken back meanwhile, so that another answers for it.
        """
        with self._lock:
            self._move(SETTLE)
            mine = self._landed(item)
            self._telling += mine
        if mine:
            try:
                tell()
            finally:
                with self._lock:
                    self._telling -= 1
                    self._ended()
        return mine

    def has(self, item: Any) -> bool:
        """Whether an item flies: nobody has taken it back."""
        with self._lock:
            return _among(item, self._flying)

    def lose(self, item: Any, why: Exception) -> bool:
        """Give an item back to the producer; False where it was taken back before."""
        with self._lock:
            self._move(LOSE)
            mine = self._landed(item)
            if mine:
                self._return(item, why)
            return mine

    def again(self, item: Any) -> bool:
        """Let an item wait once more, before all others; False where it was taken back before."""
        with self._lock:
            self._move(LOSE)
            mine = self._landed(item)
            if mine:
                self._waiting.appendleft(item)
                self._for_senders.notify()
            return mine

    # Whoever finds out that the link is down, and the watcher.

    def take_back(self, which: Callable[[Any], bool], why: Callable[[Any], Exception]) -> int:
        """Give items back to the producer that wait or fly, each with its reason; how many."""
        with self._lock:
            chosen = [item for item in self._flying if which(item)] + [item for item in self._waiting if which(item)]
            self._flying = [item for item in self._flying if not _among(item, chosen)]
            self._waiting = deque(item for item in self._waiting if not _among(item, chosen))
            for item in chosen:
                self._return(item, why(item))
            return len(chosen)

    def break_link(self, why: Exception) -> bool:
        """The server is out of reach; True for the first to say so.

        All that wait or fly come back, or wait for the link, where nobody else can do anything for them.
        """
        with self._lock:
            first = self._state in (UP, FINISHING)
            self._why = why
            self._move(BREAK)
            if self._state != FAILED:
                self._waiting.extendleft(reversed(self._flying))
                self._flying.clear()
                while self._waiting and not self._keeps:
                    self._return(self._waiting.popleft(), why)
                self._wake_all()
            return first

    def restore(self) -> None:
        """Senders can work again."""
        with self._lock:
            self._move(RESTORE)
            self._wake_all()

    def pause(self, seconds: float) -> bool:
        """Wait; False, and at once, where there will be nothing more to do. `break_link` ends the wait."""
        with self._lock:
            before = self._state
            end_s = time.monotonic() + seconds
            while self._goes_on() and self._state == before and time.monotonic() < end_s:
                self._for_watcher.wait(max(0.0, end_s - time.monotonic()))
            return self._goes_on()

    def fail(self, error: BaseException) -> None:
        """Stop everyone; the first error is kept."""
        with self._lock:
            if self.error is None:
                self.error = error
            self._move(FAIL)
            self._wake_all()

    def stop(self) -> None:
        """Nobody goes on where the producer has not finished."""
        with self._lock:
            going = self._state in (UP, DOWN)
        if going:
            self.fail(LocalProtocolError("the run has ended before its tasks"))

    # With the lock held.

    def _move(self, event: str) -> None:
        """The one place where the state changes."""
        self._state = after(self._state, event)

    def _can_take(self) -> bool:
        return bool(self._waiting) and self._state in (UP, FINISHING)

    def _none_left(self) -> bool:
        return not self._waiting and not self._flying

    def _goes_on(self) -> bool:
        if self._state in (FINISHING, FINISHING_DOWN):
            return not self._none_left()
        return self._state != FAILED

    def _ready(self) -> bool:
        """Room, or something better to do than to wait for it."""
        return len(self._waiting) < self._size or self._wanted()

    def _wanted(self) -> bool:
        return bool(self._returned) or self._state == FAILED

    def _landed(self, item: Any) -> bool:
        """Whether it was still in the air."""
        left = [other for other in self._flying if other is not item]
        mine = len(left) < len(self._flying)
        self._flying = left
        if mine:
            self._ended()
        return mine

    def _return(self, item: Any, why: Exception) -> None:
        self._returned.append(Lost(item, why))
        self._for_producer.notify()
        self._ended()

    def _ended(self) -> None:
        if self._state in (FINISHING, FINISHING_DOWN, FAILED):
            self._wake_all()

    def _wake_all(self) -> None:
        for condition in (self._for_senders, self._for_producer, self._for_watcher):
            condition.notify_all()


def _among(item: Any, items: List[Any]) -> bool:
    """By identity: what arrays are equal to is another array."""
    return any(item is other for other in items)
