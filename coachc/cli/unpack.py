"""`coachc unpack`: the bundle in a file."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.key_flags import KeyFlags


@takes_groups
def unpack(
    archive: Annotated[str, typer.Argument(metavar="FILE.coachz", help="File written by `coachc pack`.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Bundle to write (a folder). Default: FILE's name with .coach."),
    ] = None,
    *,
    trusted: KeyFlags,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle if it exists.")] = False,
) -> None:
    """Unpack FILE.coachz into a bundle, checking every byte; with --key or --trust, its signature first."""
    from pathlib import Path

    from coachc.runtime.bundle.unpack import unpack_archive

    path = output or f"{Path(archive).stem}.coach"
    bundle = unpack_archive(archive, path, trusted.keys, trusted.size.limit_bytes, force)
    print(f"{path}  bundle {bundle.bundle_id[:12]}, revision {bundle.manifest.revision}")
