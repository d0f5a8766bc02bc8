"""Lines of JSON in a file that stays small and that no full disk can stop a run with."""

import json
import os
import threading
import time
from typing import Any, Dict

from ..errors import CoachRuntimeError
from .run_log import log_event

#: Of the file, and as much again of the one before it, whose name ends in ".1": two days at 30 tasks a second.
LIMIT_BYTES = 500 << 20
#: Before a file that took no more is tried again.
RETRY_S = 1.0


class StatsFile:
    """Writes lines, from any thread; those that cannot be written are counted.

    Parameters
    ----------
    path : str
    limit_bytes : int
        Past it the file is renamed and a new one begun.
    flag : str
        That asked for it, for what is said of it.

    Attributes
    ----------
    dropped : int
        Lines that could not be written.

    Raises
    ------
    CoachRuntimeError
        If it cannot be opened at the start.
    """

    def __init__(self, path: str, limit_bytes: int = LIMIT_BYTES, flag: str = "--stats") -> None:
        self.dropped = 0
        self._path = path
        self._flag = flag
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._again_s = 0.0
        self._file: Any = None
        try:
            self._open("w")
        except OSError as exc:
            raise CoachRuntimeError(f"cannot write {flag} {path}: {exc.strerror or exc}") from exc

    def write(self, record: Dict[str, Any]) -> None:
        """One line; never raises for what the disk does."""
        line = json.dumps(record) + "\n"
        with self._lock:
            try:
                if self._file is None:
                    if time.monotonic() < self._again_s:
                        self.dropped += 1
                        return
                    self._open("a")
                self._file.write(line)
                self._file.flush()
                self._size += len(line)
                if self._size >= self._limit_bytes:
                    self._file.close()
                    os.replace(self._path, self._path + ".1")
                    self._open("w")
            except OSError as exc:
                self.dropped += 1
                self._again_s = time.monotonic() + RETRY_S
                self._give_up()
                log_event("file failed", flag=self._flag, reason=exc.strerror or str(exc))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._give_up()

    def _open(self, mode: str) -> None:
        self._file = open(self._path, mode, encoding="ascii")
        # What a full disk cut off is a line of its own.
        self._size = os.fstat(self._file.fileno()).st_size
        if self._size and mode == "a":
            self._size += self._file.write("\n")

    def _give_up(self) -> None:
        opened, self._file = self._file, None
        if opened is not None:
            try:
                opened.close()
            except OSError:
                pass  # what was in its buffer is lost, and counted
