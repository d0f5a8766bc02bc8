"""What a program around `run_bundle` does besides: signals, events on stderr, the report, the exit code."""

import json
import signal
import sys
import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional

from ..errors import FINDING, INTERRUPTED
from ..paragraphs import columns_of
from .report import Report
from .run_log import Logging, log_event

Stopping = Callable[[], bool]


def run_and_report(run: Callable[[Stopping], Report], as_json: bool = False, log: Optional[str] = None) -> int:
    """Run, print the report and say how it ended.

    Parameters
    ----------
    run : callable
        Gets a function that is True once a signal asked to stop.
    as_json : bool
    log : str, optional
        A file that gets every event as a line of JSON.

    Returns
    -------
    int
        0; 3 where tasks ended in errors; 130 after Ctrl-C.

    Raises
    ------
    CoachRuntimeError
        What ended the source early, after the report.
    """
    with Logging(sys.stderr, log), stopped_by_signals() as signals:
        report = run(lambda: bool(signals))
    print(json.dumps(report.to_json()) if as_json else report.table(columns_of(sys.stdout)))
    if report.ended_by is not None:
        raise report.ended_by
    if signal.SIGINT in signals:
        return INTERRUPTED
    # Pictures that cannot be read are left out, and named.
    return FINDING if set(report.errors) - {"input"} else 0


@contextmanager
def stopped_by_signals() -> Iterator[List[int]]:
    """The signals that asked to stop so far; a second one of a kind ends the program as it always does."""
    asked: List[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before: Dict[int, Any] = {}

    def stop(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(number, before[number])
        log_event("stopping", signal=signal.Signals(number).name)

    for number in map(int, (signal.SIGINT, signal.SIGTERM)):
        before[number] = signal.getsignal(number)
    # An ignored one, as a shell has it for what it starts in the background, stays ignored.
    ours = [number for number in before if before[number] is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield asked
    finally:
        for number in ours:
            signal.signal(number, before[number])
