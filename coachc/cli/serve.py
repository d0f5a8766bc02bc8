"""`coachc serve`: the cloud halves of a bundle over the Open Inference Protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.engine_flags import EngineFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.shipping import Trust


@takes_groups
def serve(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Bundle written by `coachc compile`.")],
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on; port 0 takes a free one.")] = "127.0.0.1:8700",
    cut: Annotated[str | None, typer.Option(help="Only this cut of the bundle. Default: all of them.")] = None,
    *,
    engines: EngineFlags,
    threads: Annotated[int, typer.Option(help="Threads of the engine; 0 lets ONNX Runtime choose.", min=0)] = 0,
    trust: Trust = None,
) -> None:
    """Serve the cloud halves of all cuts of BUNDLE, or of one, until interrupted.

    Each cut is a model of its own; requests larger than its cut are refused.
    """
    from coachc.runtime.cloud.server import serve as serve_bundle

    serve_bundle(
        bundle,
        listen,
        cut,
        providers=engines.providers,
        threads=threads,
        trust=trust,
        engine=engines.engine,
        engine_cache=engines.engine_cache,
    )
