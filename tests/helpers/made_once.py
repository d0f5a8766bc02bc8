"""What is dear to make and only read: made once for all processes that run the tests."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path


def made_once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled: whichever process comes first does it, the others wait.

    Tests must not change what is in it.
    """
    base = tmp_path_factory.getbasetemp()
    # The folders of several processes lie beside each other.
    shared = base.parent if base.name.startswith("popen-") else base
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
