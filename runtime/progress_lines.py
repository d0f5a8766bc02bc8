"""Progress where nothing can be drawn: a line now and then, for whoever reads the log of a job later."""

import time
from typing import Any, Callable

#: Work that is done by then says nothing.
QUIET_S = 3.0
#: Between lines about one step, and between lines about different ones.
SAME_STEP_S, OTHER_STEP_S = 10.0, 1.0


class ProgressLines:
    """Writes a line when another step begins and every ten seconds of a long one; never a carriage return.

    Parameters
    ----------
    stream : text file
        stderr, so that it is never in the way of a result.
    clock : callable
        Seconds.
    """

    def __init__(self, stream: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._start_s = clock()
        self._written_s = self._start_s
        self._step = ""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take note of where the work is; total 0 where it is unknown."""
        now_s = self._clock()
        wait_s = SAME_STEP_S if step == self._step else OTHER_STEP_S
        if now_s - self._start_s < QUIET_S or now_s - self._written_s < wait_s:
            return
        count = " {}{}".format(done, "/{}".format(total) if total else "") if done else ""
        self._step, self._written_s = step, now_s
        print("{}{} ({:.0f} s)".format(step, count, now_s - self._start_s), file=self._stream, flush=True)


def can_redraw(stream: Any, term: str) -> bool:
    """Whether a line that was written can be written over.

    Parameters
    ----------
    stream : text file
    term : str
        The variable TERM.
    """
    return bool(stream.isatty()) and term != "dumb"
