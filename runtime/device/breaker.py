"""When requests that fail mean that the server is out of reach, rather than that one of them went wrong."""

import threading

from ..errors import AnswerOverdue, ConnectionFailed, ServerBusy

#: Failures in a row that a server which answers may have: after them nothing is sent until it has been asked.
TOLERATED = 3
#: Pauses between two questions whether a lost server is back: the first, each twice the one before, the longest.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 0.8


class Breaker:
    """Counts what goes wrong on the way to a server, from any thread.

    A server that answers the question whether it is there and then fails at every task is asked less and less often:
    the pause starts anew only with an answer to a task.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S

    def failed(self, error: Exception) -> bool:
        """One more request without an answer; whether the server is to be taken for lost."""
        with self._lock:
            self._failures += 1
            # Nobody there is nobody there. What is late, busy or wrong may be one task's bad luck.
            silent = isinstance(error, ConnectionFailed) and not isinstance(error, (ServerBusy, AnswerOverdue))
            lost = silent or self._failures >= TOLERATED
            if lost:
                self._failures = 0
            return lost

    def answered(self) -> None:
        """One more request with an answer."""
        with self._lock:
            self._failures = 0
            self._pause_s = FIRST_PAUSE_S

    def pause_s(self) -> float:
        """How long to wait before the next question."""
        with self._lock:
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LAST_PAUSE_S)
            return pause_s
