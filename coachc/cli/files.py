"""Files that commands write beside their bundle."""

from __future__ import annotations

import contextlib
import os

from coachc.errors import FileError


def check_place(path: str, flag: str) -> None:
    """Raise FileError if no file can be written at `path`, before the work is done that it would hold."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileError(f"{flag} {path}: there is no folder {folder}", hint="name a file in a folder that exists")
    if os.path.isdir(path):
        raise FileError(f"{flag} {path} is a folder", hint="name a file")


def write_file(path: str, data: bytes) -> None:
    """Write a file under another name, then rename it: whoever has it open never sees half of it.

    Raises
    ------
    FileError
        It cannot be written.
    """
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as stream:
            stream.write(data)
        os.replace(partial, path)
    except OSError as exc:
        raise FileError(f"cannot write {path}: {exc.strerror}", hint="name a file in a folder that exists") from exc
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
