"""`coachc run`: the device half of a bundle, against a server."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.options import Json


def run(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Bundle written by `coachc compile`.")],
    source: Annotated[
        str, typer.Option(help="A folder of images, or a .npz of preprocessed arrays named after the model's inputs.")
    ],
    server: Annotated[
        str | None, typer.Option(help="HOST:PORT of `coachc serve`; not needed where the device runs everything.")
    ] = None,
    cut: Annotated[str | None, typer.Option(help="Another cut of the bundle, such as device-only.")] = None,
    bits: Annotated[
        int | None,
        typer.Option(help="Precision of the link, if not the compiled one.", min=2, max=8),
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="ONNX Runtime execution provider; repeat for several. Default: CPU.")
    ] = None,
    in_flight: Annotated[int, typer.Option(help="Requests under way at once.", min=1)] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server.", min=0.001)] = 10.0,
    limit: Annotated[int | None, typer.Option(help="Stop after this many tasks.", min=1)] = None,
    json: Json = False,
) -> None:
    """Run BUNDLE over a source and report accuracy, bytes on the socket, latency and throughput."""
    import json as json_module
    import sys

    from runtime.device import run_bundle, show_progress
    from runtime.engines.ort_engine import CPU

    report = run_bundle(
        bundle,
        server,
        source,
        providers=tuple(provider or (CPU,)),
        in_flight=in_flight,
        timeout_s=timeout,
        limit=limit,
        cut=cut,
        bits=bits,
        progress=show_progress if sys.stderr.isatty() else lambda done, total: None,
    )
    print(json_module.dumps(report.to_json()) if json else report.table())
