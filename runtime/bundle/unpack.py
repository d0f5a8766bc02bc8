"""Unpack an archive: write its files into a folder, checked while they are written, and all of it to the disk."""

import contextlib
import os
import shutil
import uuid
from typing import BinaryIO, Iterator, Optional

from ..errors import BundleError
from .archive import LIMIT_BYTES, Contents, open_archive, read_archive
from .signature import TrustedKeys
from .destination import check_destination, place_bundle
from .store import Bundle, open_bundle


def unpack_archive(
    path: str,
    destination: str,
    keys: Optional[TrustedKeys] = None,
    limit_bytes: int = LIMIT_BYTES,
    force: bool = False,
) -> Bundle:
    """Make a bundle of an archive, under a temporary name beside `destination` first.

    Raises
    ------
    BundleError
        The archive is not exactly what `pack_bundle` writes, or larger than `limit_bytes`; the destination is in the
        way or cannot be written.
    SignatureError
        Keys are given and none of them signed it; nothing is written then.
    """
    target = os.path.abspath(destination)
    check_destination(target, force)
    parent, name = os.path.split(target)
    partial = os.path.join(parent, f".{name}.{uuid.uuid4().hex}.partial")
    try:
        with open_archive(path) as stream:
            extract(stream, path, partial, keys, limit_bytes)
        open_bundle(partial, keys)
        place_bundle(partial, target, force)
    except OSError as exc:
        raise BundleError(f"cannot write {target}: {exc.strerror or exc}", hint="give another path") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_bundle(target, keys)


def extract(
    stream: BinaryIO, shown: str, folder: str, keys: Optional[TrustedKeys], limit_bytes: int = LIMIT_BYTES
) -> Contents:
    """Write the files of an archive into a folder that does not exist yet, and all of it to the disk.

    Raises
    ------
    BundleError, SignatureError
        As `read_archive`. What was written until then stays: the caller removes it.
    OSError
        The folder cannot be written.
    """
    os.mkdir(folder)

    @contextlib.contextmanager
    def sink(path: str) -> Iterator[BinaryIO]:
        target = os.path.join(folder, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())

    contents = read_archive(stream, shown, sink, keys, limit_bytes)
    for parent, _, _ in os.walk(folder):
        sync_folder(parent)
    return contents


def sync_folder(path: str) -> None:
    """Have what a folder says about its files on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
