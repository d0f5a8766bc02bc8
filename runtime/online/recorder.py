"""A driver that writes down what it is asked and what it says, as `recording` states the format."""

import threading
from typing import Any, Callable, Mapping, Optional

import numpy as np

from ..errors import RecordError
from . import recording
from .bandwidth import Transfer
from .controller import Answer, Decision
from .driver import Driver
from .policy import Policy


class Recorder(Driver):
    """A driver whose calls are written in the order in which it sees them; decides as one that writes nothing.

    Parameters
    ----------
    file : file
        Open for writing text; gets the header at once.
    header : recording.Header
        What the driver is made of, too.
    policies : mapping of str to Policy
    draw : callable
    ended : callable
        Gets the reason where the file takes no more; the record ends there, the run does not.

    Raises
    ------
    RecordError
        The file does not even take the header.
    """

    def __init__(
        self,
        file: Any,
        header: recording.Header,
        policies: Mapping[str, Policy],
        draw: Callable[[], float],
        ended: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._file = file
        self._ended = ended
        # Around the driver's own lock, so that no other call comes between what one does and its line.
        self._order = threading.Lock()
        self._drawn: Optional[float] = None
        self._draw_next = draw
        try:
            self._write(recording.header_line(header))
        except OSError as exc:
            raise RecordError(f"cannot write the record: {exc.strerror or exc}") from exc
        super().__init__(
            policies,
            header.cut,
            header.alone,
            header.bandwidth_bytes_per_s,
            header.prefer,
            self._draw_and_keep,
            header.interval_s,
        )

    def next_cut(self, now_s: float, down: bool) -> str:
        with self._order:
            cut = super().next_cut(now_s, down)
            self._say(recording.NextCut(now_s, down, cut))
            return cut

    def outage(self, now_s: float) -> bool:
        with self._order:
            found = super().outage(now_s)
            self._say(recording.Outage(now_s, found))
            return found

    def rung_ahead(self, name: str, now_s: float, tunable: bool, adjustable: bool) -> int:
        with self._order:
            rung = super().rung_ahead(name, now_s, tunable, adjustable)
            self._say(recording.RungAhead(name, now_s, tunable, adjustable, rung))
            return rung

    def decide(
        self, task: int, name: str, feature: Optional[np.ndarray], now_s: float, rung: Optional[int] = None
    ) -> Decision:
        with self._order:
            self._drawn = None
            decision = super().decide(task, name, feature, now_s, rung)
            self._say(recording.Decide(task, name, feature, now_s, rung, self._drawn, decision))
            return decision

    def was_alone(self, name: str, exited: bool = False, now_s: Optional[float] = None) -> None:
        with self._order:
            super().was_alone(name, exited, now_s)
            self._say(recording.WasAlone(name, exited, now_s))

    def reached(self, rtt_s: float) -> None:
        with self._order:
            super().reached(rtt_s)
            self._say(recording.Reached(rtt_s))

    def sending(self, task: int, now_s: float) -> None:
        with self._order:
            super().sending(task, now_s)
            self._say(recording.Sending(task, now_s))

    def answered(
        self,
        task: int,
        name: str,
        transfer: Transfer,
        answer: Optional[Answer] = None,
        feature: Optional[np.ndarray] = None,
        decision: Optional[Decision] = None,
    ) -> None:
        with self._order:
            super().answered(task, name, transfer, answer, feature, decision)
            self._say(recording.Answered(task, name, transfer, answer))

    def asking_rate(self) -> None:
        with self._order:
            super().asking_rate()
            self._say(recording.AskingRate())

    def asked_rate(self, now_s: float, bytes_per_s: Optional[float], spent_bytes: float) -> None:
        with self._order:
            super().asked_rate(now_s, bytes_per_s, spent_bytes)
            self._say(recording.AskedRate(now_s, bytes_per_s, spent_bytes))

    def lost(self, task: int) -> None:
        with self._order:
            super().lost(task)
            self._say(recording.Lost(task))

    def _draw_and_keep(self) -> float:
        self._drawn = float(self._draw_next())
        return self._drawn

    def _say(self, event: Any) -> None:
        if self._file is None:
            return
        try:
            self._write(recording.event_line(event))
        except OSError as exc:
            self._file = None
            self._ended(exc.strerror or str(exc))

    def _write(self, line: str) -> None:
        self._file.write(line)
        self._file.flush()
