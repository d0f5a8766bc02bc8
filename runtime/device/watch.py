"""The thread that watches the requests under way, and asks for a lost server until it is back.

It finds what no answer says: that answers are overdue, so that the link must be down, and that a sender is stuck where
no time limit reaches, as in a name that nobody resolves.
"""

import threading
import time
from typing import Callable

from ..errors import CoachRuntimeError, ConnectionFailed
from ..online.driver import LOOK_S
from .flight import Flight
from .rate_probe import RateProbe
from .run_log import log_event
from .senders import Uplink

#: What a sender may be late with its own time limit.
GRACE_S = 0.25
#: A question whether the server is there that takes longer has failed.
PROBE_TIMEOUT_S = 1.0


class Watch:
    """Watches an uplink in a thread of its own, until nothing is under way any more.

    Parameters
    ----------
    uplink : Uplink
    probe : callable
        Asks whether the server is there, checks that it is the right one, and gives the round trip in seconds.
    rate : RateProbe
        Asked where tasks are too small to show the link's rate.
    """

    def __init__(self, uplink: Uplink, probe: Callable[[], float], rate: RateProbe) -> None:
        self._uplink = uplink
        self._probe = probe
        self._rate = rate
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Ask for the link's rate, before tasks share it, and begin."""
        if not self._uplink.handoff.down:
            self._measure()
        self._thread.start()

    def _run(self) -> None:
        handoff = self._uplink.handoff
        try:
            while True:
                down = handoff.down
                if not handoff.pause(self._uplink.breaker.pause_s() if down else LOOK_S):
                    return
                if handoff.down == down:  # else it has only just changed
                    self._ask() if down else self._look()
        except BaseException as exc:  # carried to the calling thread, which raises it
            handoff.fail(exc)
        finally:
            self._rate.close()

    def _ask(self) -> None:
        self._give_up(0.0)
        try:
            rtt_s = self._probe()
        except CoachRuntimeError:
            return  # not there, not ready, or another one
        self._uplink.driver.reached(rtt_s)
        self._uplink.handoff.restore()
        log_event("server found", round_trip_s=rtt_s)

    def _look(self) -> None:
        if self._uplink.driver.outage(time.perf_counter()):
            self._uplink.lose(ConnectionFailed("answers are overdue: the link must be down"))
        self._give_up(GRACE_S)
        self._measure()

    def _measure(self) -> None:
        driver = self._uplink.driver
        if self._rate.possible and driver.wants_rate(time.perf_counter()):
            driver.asking_rate()
            found = self._rate.measure(driver.bandwidth_bytes_per_s)
            driver.asked_rate(time.perf_counter(), found.bytes_per_s, found.spent_bytes)

    def _give_up(self, grace_s: float) -> None:
        """Take back what nobody waits for any more."""
        now_s = time.perf_counter() - grace_s

        def expired(flight: Flight) -> bool:
            return flight.left_s(now_s) < 0

        self._uplink.handoff.take_back(expired, self._uplink.why)
