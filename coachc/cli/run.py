"""`coachc run`: the device half of a bundle, against a server."""

from __future__ import annotations

from collections.abc import Callable
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
    threads: Annotated[
        int | None, typer.Option(help="Threads of ONNX Runtime. Default: as many as pay on this machine.", min=1)
    ] = None,
    in_flight: Annotated[
        int | None, typer.Option(help="Requests under way at once. Default: as many as keep all stages busy.", min=1)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server.", min=0.001)] = 10.0,
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Of each answer, such as 100ms: then the device answers, where it can; else it counts as late.",
        ),
    ] = None,
    log: Annotated[
        str | None, typer.Option(metavar="FILE", help="A JSON object for each event: server lost, found, task failed.")
    ] = None,
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
    state: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep what was learned of link and stages for the next start."),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write all the controller sees and says, for `coachc eval --replay`."),
    ] = None,
    profile_out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what the run took, for `coachc compile --from-run FILE`."),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write what is found, in the pictures' pixels: boxes as .jsonl, masks as .npz."
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json|DIR", help="Annotations of the pictures, to tell mAP or mIoU: a COCO file, or PNG masks."
        ),
    ] = None,
    trust: Trust = None,
    allow_offline: Annotated[
        bool, typer.Option("--allow-offline", help="Begin without the server too, on the device alone.")
    ] = False,
    json: Json = False,
) -> None:
    """Run BUNDLE over a source and report accuracy, bytes on the socket, latency and throughput."""
    import os
    import sys

    # Before numpy is there: as `python3 -m runtime.device` does it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from coachc.cost.units import parse_duration
    from coachc.errors import UsageError
    from coachc.runtime.device.program import run_and_report
    from coachc.runtime.device.report import Report, progress_of
    from coachc.runtime.device.run_bundle import run_bundle
    from coachc.runtime.online.policy import POLICIES, PREFERENCES

    for flag, value, known in (("--policy", policy, POLICIES), ("--prefer", prefer, PREFERENCES)):
        if value is not None and value not in known:
            raise UsageError(f"{flag} '{value}': no such choice", hint="one of " + ", ".join(known))

    against = None
    if truth is not None:
        from coachc.evaluate.found_against_truth import AgainstTruth
        from coachc.runtime.bundle.signature import trusted_keys
        from coachc.runtime.bundle.store import open_bundle

        against = AgainstTruth(open_bundle(bundle, trusted_keys(trust)).manifest, source, truth)
    deadline_s = None if deadline is None else parse_duration(deadline, "--deadline")

    def run(stopping: Callable[[], bool]) -> Report:
        report = run_bundle(
            bundle,
            server,
            source,
            providers=engines.providers,
            in_flight=in_flight,
            timeout_s=timeout,
            deadline_s=deadline_s,
            limit=limit,
            strict=strict,
            cut=cut,
            bits=bits,
            policy=policy,
            prefer=prefer,
            interval_s=1 / fps if fps else 0.0,
            stats=stats,
            state=state,
            record=record,
            profile_out=profile_out,
            allow_offline=allow_offline,
            engine=engines.engine,
            engine_cache=engines.engine_cache,
            threads=threads or 0,
            trust=trust,
            answers=answers,
            sinks=[] if against is None else [against],
            least_score=None if against is None else against.least_score,
            progress=progress_of(sys.stderr),
            stopping=stopping,
        )
        return report if against is None else report._replace(figures=against.figures())

    code = run_and_report(run, json, log)
    if code:
        raise typer.Exit(code)
