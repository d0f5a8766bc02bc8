"""What commands that take bundles share: whom they trust, and a bundle as a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from coachc.runtime.bundle.archive import Contents

Trust = Annotated[str | None, typer.Option(metavar="DIR", help="A folder of trusted public keys, *.pub.")]


@contextlib.contextmanager
def packed(path: str, limit_bytes: int) -> Iterator[tuple[str, str, Contents]]:
    """The archive at `path`, or one made of the bundle there for as long as the block runs; its name and contents.

    Raises
    ------
    runtime.errors.BundleError
        It is damaged, or neither.
    """
    import tempfile
    from pathlib import Path

    from coachc.runtime.bundle.archive import SUFFIX, open_archive, read_archive
    from coachc.runtime.bundle.pack import pack_bundle
    from coachc.runtime.bundle.store import open_bundle

    with contextlib.ExitStack() as stack:
        archive, title = path, os.path.basename(path)
        if os.path.isdir(path):
            title = Path(os.path.abspath(path)).stem + SUFFIX
            archive = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), title)
            pack_bundle(open_bundle(path), archive)
        with open_archive(archive) as stream:
            contents = read_archive(stream, path, limit_bytes=limit_bytes)
        yield archive, title, contents
