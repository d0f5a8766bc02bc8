"""What happens in a run besides tasks, as events of Python's logging: for people on stderr, for programs as JSON."""

import json
import logging
import logging.handlers
import time
from typing import Any, Dict, List, Optional, TextIO

LOGGER = logging.getLogger("coachc.device")
#: Of a log file, and as much again of the one before it.
LOG_LIMIT_BYTES = 16 << 20
#: People are told of the same kind of event once in so many seconds.
REPEAT_S = 5.0

_SENTENCES = {
    "server lost": "the server is out of reach: {reason}",
    "server found": "the server answers again",
    "task failed": "task {task} has no answer ({stage}): {reason}",
    "file failed": "the file of {flag} cannot be written: {reason}; the run goes on without it",
    "record ended": "the record ends here: {reason}",
    "state ignored": "the state that was kept is not used: {reason}",
    "state not kept": "the state cannot be kept: {reason}",
    "stopping": "{signal}: no more tasks are taken; those under way are finished",
}


def log_event(what: str, **facts: Any) -> None:
    """Say that something happened; `what` is a key of the sentences above."""
    LOGGER.info(_SENTENCES[what].format(**facts), extra={"event": what, "facts": facts})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: Dict[str, Any] = {"time_s": round(record.created, 3), "event": getattr(record, "event", "")}
        line.update(getattr(record, "facts", {}))
        return json.dumps(line, default=str)


class _Sparing(logging.Filter):
    """Lets one event of a kind through in `REPEAT_S`."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s: Dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now_s = getattr(record, "event", ""), time.monotonic()
        if now_s - self._told_s.get(kind, -REPEAT_S) < REPEAT_S:
            return False
        self._told_s[kind] = now_s
        return True


class Logging:
    """Where events go while it is entered.

    Parameters
    ----------
    stream : file, optional
        For people, a line each.
    path : str, optional
        For programs, a JSON object a line, at most two files of `LOG_LIMIT_BYTES`. A file that takes no more, as on a
        full disk, loses lines.
    """

    def __init__(self, stream: Optional[TextIO] = None, path: Optional[str] = None) -> None:
        self._handlers: List[logging.Handler] = []
        if stream is not None:
            told = logging.StreamHandler(stream)
            told.setFormatter(logging.Formatter("note: %(message)s"))
            told.addFilter(_Sparing())
            self._handlers.append(told)
        if path is not None:
            kept = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_LIMIT_BYTES, backupCount=1, encoding="ascii")
            kept.setFormatter(_JsonLines())
            kept.handleError = lambda record: None  # type: ignore[method-assign]
            self._handlers.append(kept)

    def __enter__(self) -> "Logging":
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
        for handler in self._handlers:
            LOGGER.addHandler(handler)
        return self

    def __exit__(self, *exc: Any) -> None:
        for handler in self._handlers:
            LOGGER.removeHandler(handler)
            handler.close()
