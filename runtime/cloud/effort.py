"""What a request takes of this program's processor cores in all, which on few of them bounds how fast answers come."""

import time
from typing import Callable, Optional

from ..engines.cores import usable_cores

#: Requests that the mean is about.
KEPT = 32
#: Share of the time that the cores have to be busy: what little goes on between rare requests is no request's.
BUSY = 0.5


class Effort:
    """Processor time a request, over the cores that the program may use: parsing, sending and Python's own included.

    Parameters
    ----------
    cores : int, optional
    cpu, clock : callable
        Processor time of the process, and time; seconds.
    """

    def __init__(
        self,
        cores: Optional[int] = None,
        cpu: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cores = usable_cores() if cores is None else cores
        self._cpu, self._clock = cpu, clock
        self._last_cpu_s, self._last_s = cpu(), float("-inf")
        self._mean_s, self._count = 0.0, 0

    def answered(self) -> float:
        """One more request has been answered; seconds a request, 0 while the program has not been busy with them."""
        cpu_s, now_s = self._cpu(), self._clock()
        spent_s = (cpu_s - self._last_cpu_s) / self._cores
        if spent_s > BUSY * (now_s - self._last_s):
            self._count = min(self._count + 1, KEPT)
            self._mean_s += (spent_s - self._mean_s) / self._count
        self._last_cpu_s, self._last_s = cpu_s, now_s
        return self._mean_s
