"""A task on its way to the server: what is sent, until when, and how often that was tried."""

import time
from typing import Optional

from .run_task import Work

#: Times that a task is sent which nobody else can answer.
TRIES = 3


class Flight:
    """One task that was handed over. Two are never equal.

    Parameters
    ----------
    work : Work
    due_s : float or None
        When an answer is late, by `time.perf_counter`.
    alone : bool
        Another answer is made then.
    give_up_s : float
        When nobody waits any more.

    Attributes
    ----------
    tries : int
        How often it was sent.
    error : Exception or None
        What went wrong the last time.
    """

    __slots__ = ("work", "due_s", "alone", "give_up_s", "tries", "error")

    def __init__(self, work: Work, due_s: Optional[float], alone: bool, give_up_s: float) -> None:
        self.work = work
        self.due_s = due_s
        self.alone = alone
        self.give_up_s = give_up_s
        self.tries = 0
        self.error: Optional[Exception] = None

    def left_s(self, now_s: Optional[float] = None) -> float:
        """Seconds until nobody waits for the server's answer any more; negative after that."""
        now_s = time.perf_counter() if now_s is None else now_s
        due_s = self.due_s if self.alone and self.due_s is not None else self.give_up_s
        return min(due_s, self.give_up_s) - now_s
