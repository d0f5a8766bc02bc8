"""Flags and helpers of the commands that ship bundles: pack, unpack, verify, push, rollback."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from coachc.runtime.bundle.archive import Contents

Keys = Annotated[
    list[str] | None, typer.Option("--key", metavar="NAME.pub", help="A trusted public key; repeat for more.")
]
Trust = Annotated[str | None, typer.Option(metavar="DIR", help="A folder of trusted public keys, *.pub.")]
LimitMib = Annotated[int, typer.Option(help="Refuse bundles whose files are larger together, in MiB.", min=1)]
ForceRevision = Annotated[
    bool, typer.Option("--force", help="Replace another bundle of the same revision; a higher one is never replaced.")
]
Python = Annotated[str, typer.Option(help="ssh: the Python to run over there.")]
Runtime = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="ssh: the folder over there that holds runtime/. Default: where ssh arrives."),
]
DEFAULT_LIMIT_MIB = 2048


@contextlib.contextmanager
def packed(path: str, limit_mib: int) -> Iterator[tuple[str, str, Contents]]:
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
            contents = read_archive(stream, path, limit_bytes=limit_mib << 20)
        yield archive, title, contents
