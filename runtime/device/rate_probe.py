"""The link's rate where tasks do not show it: a body of the server's probe, which says how its end arrived.

Its beginning uses up what a shaper lets through at once before it counts, and neither a round trip nor the server's
work is part of what the end takes. The whole fits into what TCP sends before it hears anything. A proxy that collects
bodies hands them on at another rate than the link's, which shows by the time of the whole.
"""

import os
import statistics
import time
from collections import deque
from typing import Callable, Deque, List, NamedTuple, Optional, Tuple

from ..errors import CoachRuntimeError, ServerBusy, WrongBundleError
from ..link.connection import Connection
from ..link.probe import ANSWER_LIMIT_BYTES, PATH, ProbeAnswer, decode_answer
from ..online.driver import NEAR
from ..online.precision import GOODPUT

#: Within TCP's first window of 14,480 bytes, with the head.
BODY_BYTES = 14000
#: Of one body with its head, and of the question before it.
PROBE_BYTES = BODY_BYTES + 700
TIMEOUT_S = 1.0
#: An end that took less is the clock's and the scheduler's.
LEAST_S = 5e-5
#: Of so many questions before bodies, the fastest is the round trip.
ROUND_TRIPS = 16
#: Times faster than the whole: less may be what waited for tasks before it.
PROXY = 3.0


class Probed(NamedTuple):
    """What was found.

    Attributes
    ----------
    bytes_per_s : float or None
        On the wire; None where nothing can be told.
    spent_bytes : int
        Sent for it.
    """

    bytes_per_s: Optional[float]
    spent_bytes: int


class RateProbe:
    """Asks one server, now and then, on a connection of its own.

    Parameters
    ----------
    address : str
        As `Connection` takes it.
    sent_bytes : callable
        What tasks have sent so far on the same link.
    """

    def __init__(self, address: str, sent_bytes: Callable[[], float]) -> None:
        self._connection = Connection(address, TIMEOUT_S)
        self._sent_bytes = sent_bytes
        self._spent_bytes = 0
        self._rtts_s: Deque[float] = deque(maxlen=ROUND_TRIPS)
        self.possible = True

    def measure(self, believed_bytes_per_s: float) -> Probed:
        """One measurement.

        Of one body; of three, where that says another rate than what is believed, and the middle counts. Where tasks
        were sent meanwhile, which may have shared the link, of two at least, and the fastest counts.
        """
        self._spent_bytes = 0
        sent_bytes = self._sent_bytes()
        shared = False
        found: List[float] = []
        try:
            self._take(0)  # opens the connection, where it is not open
            self._rtts_s.append(self._take(0)[0])
            # One may have waited behind a task's body, and would make the whole seem to take nothing.
            rtt_s = min(self._rtts_s)
            found += self._rate(rtt_s)
            shared = self._sent_bytes() > sent_bytes
            near = found and believed_bytes_per_s / NEAR < found[0] < believed_bytes_per_s * NEAR
            for _ in range(0 if not found else 2 if not near else 1 if shared else 0):
                found += self._rate(rtt_s)
        except WrongBundleError:
            self.possible = False
        except ServerBusy:
            pass
        except CoachRuntimeError:
            self._connection.close()
        if not found:
            return Probed(None, self._spent_bytes)
        return Probed(max(found) if shared else statistics.median(found), self._spent_bytes)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rate(self, rtt_s: float) -> List[float]:
        """What one body says; nothing where its end arrived all at once."""
        taken_s, said = self._take(BODY_BYTES)
        tail_s = said.tail_us * 1e-6
        if tail_s < LEAST_S or not said.tail_bytes:
            return []
        found = said.tail_bytes / GOODPUT / tail_s
        # A round trip that was as long as the whole had waited for something.
        whole = BODY_BYTES / GOODPUT / (taken_s - rtt_s if taken_s - rtt_s > LEAST_S else taken_s)
        return [whole if found > PROXY * whole else found]

    def _take(self, size: int) -> Tuple[float, ProbeAnswer]:
        """Seconds of one request, and its answer."""
        # Random: what compresses on the way would be sent faster than codes are.
        body = os.urandom(size)
        start_s = time.perf_counter()
        if size:
            self._spent_bytes += PROBE_BYTES
            reply = self._connection.post(PATH, {}, body, ANSWER_LIMIT_BYTES)
        else:
            reply = self._connection.get(PATH, ANSWER_LIMIT_BYTES)
        taken_s = time.perf_counter() - start_s
        return taken_s, decode_answer(reply.body, self._connection.address, size)
