"""What a run has learned of link, stages and drift, kept for the next run of the same bundle.

A device that starts again begins where it was, instead of with what was planned. What is short-lived, as a memory of
the latest frames, is not kept; what was found to be unsafe is.
"""

import json
import os
import time
from typing import Any, Dict, Optional

from ..online.driver import Driver
from .run_log import log_event

VERSION = 1
#: Between two times that the file is written.
EVERY_S = 60.0
#: A file is small; a larger one is none of ours.
LIMIT_BYTES = 1 << 20


class StateFile:
    """Reads what was kept into a driver, and keeps it now and then.

    Parameters
    ----------
    path : str
    bundle_id : str
        Of the bundle; the state of another one is not used.
    driver : Driver
    """

    def __init__(self, path: str, bundle_id: str, driver: Driver) -> None:
        self._path = path
        self._bundle_id = bundle_id
        self._driver = driver
        self._next_s = time.monotonic() + EVERY_S
        self._restore()

    def keep_now_and_then(self) -> None:
        """Write the file, if that was long ago."""
        if time.monotonic() >= self._next_s:
            self.keep()

    def keep(self) -> None:
        """Write the file; what the disk does ends nothing."""
        self._next_s = time.monotonic() + EVERY_S
        record = {"coachc_state": VERSION, "bundle_id": self._bundle_id, "driver": self._driver.snapshot()}
        beside = self._path + ".new"
        try:
            with open(beside, "w", encoding="ascii") as stream:
                json.dump(record, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, self._path)
        except OSError as exc:
            log_event("state not kept", reason=exc.strerror or str(exc))

    def _restore(self) -> None:
        try:
            found = self._read()
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            log_event("state ignored", reason=f"{self._path} is damaged: {exc}")
            return
        if found is None:
            log_event("state ignored", reason=f"{self._path} is of another bundle")
            return
        self._driver.restore(found)

    def _read(self) -> Optional[Dict[str, Any]]:
        """The driver's part; None where it is another bundle's."""
        with open(self._path, "rb") as stream:
            record = json.loads(stream.read(LIMIT_BYTES).decode("ascii"))
        if record["coachc_state"] != VERSION or record["bundle_id"] != self._bundle_id:
            return None
        return Driver.checked(record["driver"])
