"""`coachc link`: the link to a server, measured as this machine sees it."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.options import Json


def link(
    server: Annotated[str, typer.Argument(metavar="HOST:PORT", help="A `coachc serve`.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE.json", help="Write what --link of other commands reads."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="What it may take, about.", min=1.0, max=600.0)] = 10.0,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.", min=0.1)] = 10.0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Measure the link to a server: uplink rate, round trip, jitter, loss, bytes of headers.

    It is the link of the machine that asks, so ask from the device; where coachc is not installed, the same is
    python3 -m runtime.link_probe HOST:PORT. It fills the uplink meanwhile, with 220 MB at most, which a `coachc serve`
    counts and forgets.
    """
    import json as json_module
    import sys

    from coachc import __version__
    from coachc.cli.progress import reporting
    from coachc.runtime.link_probe import probe, text
    from coachc.runtime.paragraphs import columns_of

    with reporting() as progress:
        found = probe(server, output, seconds, timeout, force, progress, __version__)
    print(json_module.dumps(found.to_json(), indent=1) if json else text(found, output, columns_of(sys.stdout)))
