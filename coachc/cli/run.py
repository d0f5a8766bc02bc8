"""`coachc run`: the device half of a bundle, against a server."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.engine_flags import EngineFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.options import Json
from coachc.cli.shipping import Trust


@takes_groups
def run(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Bundle written by `coachc compile`.")],
    source: Annotated[
        str, typer.Option(help="A folder of images, or a .npz of preprocessed arrays named after the model's inputs.")
    ],
    server: Annotated[
        str | None, typer.Option(help="HOST:PORT of `coachc serve`; not needed where the device runs everything.")
    ] = None,
    cut: Annotated[str | None, typer.Option(help="Stay at this cut of the bundle, such as device-only.")] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="What decides about exits and precision: none, paper or default. Default: default where the cut has a "
            "policy, else none."
        ),
    ] = None,
    prefer: Annotated[
        str, typer.Option(help="What policy default does with spare time on the link: accuracy or bytes.")
    ] = "accuracy",
    bits: Annotated[
        int | None,
        typer.Option(help="Precision of the link, if not the compiled one.", min=2, max=8),
    ] = None,
    *,
    engines: EngineFlags,
    in_flight: Annotated[int, typer.Option(help="Requests under way at once.", min=1)] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server.", min=0.001)] = 10.0,
    limit: Annotated[
        int | None,
        typer.Option(help="At most this many tasks: labelled images spread over their classes, else the first.", min=1),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End at the first picture that cannot be read, instead of leaving it out."),
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(help="Tasks that come each second, as from a camera. Default: as fast as they go.", min=0.001),
    ] = None,
    stats: Annotated[
        str | None, typer.Option(help="FILE.jsonl: a JSON object for each task, in the order of the answers.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write all the controller sees and says, for `coachc eval --replay`."),
    ] = None,
    trust: Trust = None,
    allow_offline: Annotated[
        bool, typer.Option("--allow-offline", help="Begin without the server too, on the device alone.")
    ] = False,
    json: Json = False,
) -> None:
    """Run BUNDLE over a source and report accuracy, bytes on the socket, latency and throughput."""
    import json as json_module
    import os
    import sys

    # Before numpy is there: as `python3 -m runtime.device` does it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from coachc.errors import UsageError
    from coachc.runtime.device.report import progress_of
    from coachc.runtime.device.run_bundle import run_bundle
    from coachc.runtime.online.policy import POLICIES, PREFERENCES
    from coachc.runtime.paragraphs import columns_of

    for flag, value, known in (("--policy", policy, POLICIES), ("--prefer", prefer, PREFERENCES)):
        if value is not None and value not in known:
            raise UsageError(f"{flag} '{value}': no such choice", hint="one of " + ", ".join(known))

    report = run_bundle(
        bundle,
        server,
        source,
        providers=engines.providers,
        in_flight=in_flight,
        timeout_s=timeout,
        limit=limit,
        strict=strict,
        cut=cut,
        bits=bits,
        policy=policy,
        prefer=prefer,
        interval_s=1 / fps if fps else 0.0,
        stats=stats,
        record=record,
        allow_offline=allow_offline,
        engine=engines.engine,
        engine_cache=engines.engine_cache,
        trust=trust,
        progress=progress_of(sys.stderr),
    )
    print(json_module.dumps(report.to_json()) if json else report.table(columns_of(sys.stdout)))
