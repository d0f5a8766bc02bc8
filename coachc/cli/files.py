"""Files that commands write beside their bundle."""

from __future__ import annotations

import contextlib
import os
import shutil

from coachc.errors import FileError
from coachc.runtime.bundle.destination import check_destination, check_folder
from coachc.runtime.bundle.store import is_packed, not_a_bundle

#: A bundle holds the model and its halves.
_MODELS_IN_A_BUNDLE = 2


def check_place(path: str, flag: str) -> None:
    """Raise an error if no file can be written at `path`, before the work is done that it would hold.

    Raises
    ------
    FileError
        There is no such folder, or `path` is one.
    runtime.errors.BundleError
        The folder takes no files.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileError(f"{flag} {path}: there is no folder {folder}", hint="name a file in a folder that exists")
    if os.path.isdir(path):
        raise FileError(f"{flag} {path} is a folder", hint="name a file")
    check_folder(folder, path)


def check_new_file(path: str, flag: str, force: bool) -> None:
    """As `check_place`, and nothing may be there unless it is to be replaced.

    Raises
    ------
    FileError
        A file is there, too.
    """
    check_place(path, flag)
    if os.path.exists(path) and not force:
        raise FileError(f"{flag} {path} exists already", hint="--force replaces it, or name another file")


def check_bundle_place(model: str, output: str, force: bool) -> None:
    """Raise an error if no bundle can be written at `output`, or not of so large a model.

    Raises
    ------
    runtime.errors.BundleError
        Something is in the way, or the folder takes no files.
    FileError
        The disk is too full.
    """
    check_destination(output, force)
    try:
        needed = _MODELS_IN_A_BUNDLE * os.path.getsize(model)
        free = shutil.disk_usage(os.path.dirname(os.path.abspath(output))).free
    except OSError:
        return  # whoever reads the model or writes the bundle says why
    if free < needed:
        raise FileError(
            f"too little space for {output}",
            context=[
                f"expected  {needed / 1e6:,.0f} MB for the model and its halves",
                f"found     {free / 1e6:,.0f} MB",
            ],
            hint="make room there, or give another --output",
        )


def refuse_packed(path: str) -> None:
    """Raise BundleError for a packed bundle, where a bundle's folder or a model is expected."""
    if is_packed(path):
        raise not_a_bundle(path)


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
