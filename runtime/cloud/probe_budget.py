"""How much the server's probe takes: requests and answers as values, like `service`, and the time from outside.

A probe makes anybody who reaches the server able to send it bytes that lead nowhere, so bodies have a limit and all
bodies together have one: a bucket of bytes that fills again slowly.
"""

import json
import math
import time
from typing import Callable, Optional, Tuple

from ..link.probe import BODY_LIMIT_BYTES, PATH, TAIL_FROM_BYTES, ProbeAnswer, encode_answer
from .service import Response

#: Sixteen of the largest bodies: one measurement of a fast link, whose repeats take them all.
BUCKET_BYTES = 16 * BODY_LIMIT_BYTES
#: What measuring and strangers together may take for ever: 54 Mbit/s, a twentieth of a gigabit port and a few per cent
#: of a core. A measurement of ten seconds at 100 Mbit/s fits into both.
REFILL_BYTES_PER_S = BUCKET_BYTES / 10


class ProbeBudget:
    """What the probe may still take. For one thread: the event loop's.

    Parameters
    ----------
    clock : callable
        Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_bytes = float(BUCKET_BYTES)
        self._filled_s = clock()

    def left_bytes(self) -> int:
        """What is left now."""
        now_s = self._clock()
        filled = self._left_bytes + max(0.0, now_s - self._filled_s) * REFILL_BYTES_PER_S
        self._left_bytes, self._filled_s = min(float(BUCKET_BYTES), filled), now_s
        return int(self._left_bytes)

    def take(self, size_bytes: int) -> bool:
        """Take so much of it; False where so much is not left, and nothing is taken."""
        if size_bytes > self.left_bytes():
            return False
        self._left_bytes -= size_bytes
        return True

    def wait_s(self, size_bytes: int) -> int:
        """Whole seconds until so much is left, if nobody else takes any; at least one."""
        return max(1, int(math.ceil((size_bytes - self.left_bytes()) / REFILL_BYTES_PER_S)))


class ProbeRequest:
    """One request to the probe, from its head to its answer.

    Parameters
    ----------
    budget : ProbeBudget
    method : str
    declared_bytes : int
        Of the body; 0 where it does not say. What it declares is taken at once, so that a body that has begun ends.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        budget: ProbeBudget,
        method: str,
        declared_bytes: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._budget = budget
        self._method = method
        self._clock = clock
        self._received_bytes = 0
        # Bytes and time when the tail began.
        self._tail: Optional[Tuple[int, float]] = None
        self._last_s = 0.0
        self._taken_bytes = 0
        self._refusal = self._refuse(declared_bytes)

    @property
    def refusal(self) -> Optional[Response]:
        """The answer, where the rest of the body need not be read."""
        return self._refusal

    def receive(self, piece: bytes) -> None:
        """Count the next piece of the body."""
        self._received_bytes += len(piece)
        self._last_s = self._clock()
        if self._tail is None and self._received_bytes >= TAIL_FROM_BYTES:
            self._tail = self._received_bytes, self._last_s
        self._refusal = self._refuse(self._received_bytes)

    def answer(self) -> Response:
        """What is answered when the body has arrived, or is refused."""
        if self._refusal is not None:
            return self._refusal
        tail_bytes, tail_us = 0, 0
        if self._tail is not None:
            tail_bytes = self._received_bytes - self._tail[0]
            tail_us = int(1e6 * (self._last_s - self._tail[1])) if tail_bytes else 0
        said = ProbeAnswer(self._received_bytes, BODY_LIMIT_BYTES, self._budget.left_bytes(), tail_bytes, tail_us)
        return Response(200, {"Content-Type": "application/json"}, encode_answer(said))

    def _refuse(self, size_bytes: int) -> Optional[Response]:
        if self._method not in ("GET", "POST"):
            return _error(405, f"{PATH} takes GET and POST", {"Allow": "GET, POST"})
        if size_bytes > BODY_LIMIT_BYTES:
            return _error(413, f"the probe takes bodies of at most {BODY_LIMIT_BYTES} bytes")
        more_bytes = size_bytes - self._taken_bytes
        if more_bytes > 0:
            if not self._budget.take(more_bytes):
                wait_s = self._budget.wait_s(more_bytes)
                return _error(
                    429,
                    f"the probe takes {BUCKET_BYTES >> 20} MiB at once and then {REFILL_BYTES_PER_S / 2**20:.1f} MiB/s "
                    f"of all devices together; there is room for this one in {wait_s} s",
                    {"Retry-After": str(wait_s)},
                )
            self._taken_bytes = size_bytes
        return None


def _error(status: int, message: str, headers: Optional[dict] = None) -> Response:
    body = json.dumps({"error": message}).encode("ascii")
    return Response(status, dict(headers or {}, **{"Content-Type": "application/json"}), body)
