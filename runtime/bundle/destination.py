"""Where a bundle may be written, and how it gets there: whole, or not at all, and an old one stays until then."""

import contextlib
import errno
import os
import shutil
import uuid
from typing import Union

from ..errors import BundleError

#: What makes a folder a bundle.
MANIFEST = "manifest.json"
#: What renaming a folder onto something else says.
_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def check_destination(destination: Union[str, "os.PathLike[str]"], force: bool) -> None:
    """Whether a bundle may be written there; asked before long work too.

    Raises
    ------
    BundleError
        If something is in the way, or the folder to write into does not exist or takes no files.
    """
    target = os.path.abspath(os.fspath(destination))
    check_folder(os.path.dirname(target), target)
    if not os.path.lexists(target):
        return
    if os.path.islink(target) or not os.path.isfile(os.path.join(target, MANIFEST)):
        raise BundleError(f"{target} is not a bundle and will not be replaced", hint="give another path")
    if not force:
        raise BundleError(f"{target} exists already", hint="--force replaces a bundle")


def check_folder(folder: str, target: str) -> None:
    """Raise BundleError unless a folder is there and takes something new: tried, as permissions do not say it all."""
    if not os.path.isdir(folder):
        there = folder
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there):
            raise BundleError(f"cannot write {target}: {there} is not a folder", hint="give another path")
        raise BundleError(f"cannot write {target}: its folder does not exist", hint=f"mkdir -p {folder}")
    probe = os.path.join(folder, f".{uuid.uuid4().hex}.partial")
    try:
        os.mkdir(probe)
        os.rmdir(probe)
    except OSError as exc:
        raise BundleError(
            f"cannot write {target}: {exc.strerror or exc}", hint="name a place in a folder that you may write to"
        ) from exc


def place_bundle(partial: str, target: str, force: bool, keep: bool = False) -> None:
    """Put the folder `partial` in the place of `target`.

    Parameters
    ----------
    partial, target : str
        On one file system.
    force : bool
        Replace what is there; it comes back if that fails.
    keep : bool
        Where something came there meanwhile and `force` is not given: keep the bundle beside it.

    Raises
    ------
    BundleError
        Something is there and `force` is not given. It stays as it is.
    OSError
        The bundle cannot be moved.
    """
    if force and os.path.lexists(target):
        _replace(partial, target)
        return
    try:
        os.rename(partial, target)  # refuses a folder that is there and has something in it
    except OSError as exc:
        if exc.errno not in _IN_THE_WAY:
            raise
        if not keep:
            raise BundleError(f"{target} exists already", hint="--force replaces a bundle") from exc
        kept = _free_name(target)
        os.rename(partial, kept)
        raise BundleError(
            f"{target} was written by another program in the meantime, and stays",
            [f"kept      {kept}, the bundle that was made here"],
            "compare them, and move the one you want to its place",
        ) from exc


def _replace(partial: str, target: str) -> None:
    old = partial + ".old"
    os.rename(target, old)
    try:
        os.rename(partial, target)
    except BaseException:  # an interruption too must not leave nothing
        with contextlib.suppress(OSError):
            os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _free_name(target: str) -> str:
    """ "x.coach" -> "x-2.coach", or the next that is free."""
    stem, suffix = os.path.splitext(target)
    number = 2
    while os.path.lexists(f"{stem}-{number}{suffix}"):
        number += 1
    return f"{stem}-{number}{suffix}"
