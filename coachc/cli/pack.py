"""`coachc pack`: a bundle as one file."""

from __future__ import annotations

from typing import Annotated

import typer


def pack(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Bundle written by `coachc compile`.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="File to write. Default: BUNDLE's name with .coachz, in this folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Pack BUNDLE, with its signature if it has one, into one file.

    The same bundle gives the same bytes, whenever and wherever it is packed. It is a zip without compression: unzip and
    other tools can read it.
    """
    import os
    from pathlib import Path

    from coachc.runtime.bundle.archive import SUFFIX
    from coachc.runtime.bundle.pack import pack_bundle
    from coachc.runtime.bundle.store import open_bundle

    path = output or Path(os.path.abspath(bundle)).stem + SUFFIX
    opened = open_bundle(bundle)
    size = pack_bundle(opened, path, force)
    print(f"{path}  {size:,} bytes, bundle {opened.bundle_id[:12]}, revision {opened.manifest.revision}")
