"""`coachc eval`: replay data and a bandwidth trace through a bundle's online policies, in simulated time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.eval_outputs import eval_outputs
from coachc.cli.flags.link_flags import MeasuredFile, announce_bytes, measured_link
from coachc.cli.options import Json
from coachc.cli.replay_recorded import replay_recorded
from coachc.cli.table_layout import Column, Row

if TYPE_CHECKING:
    from coachc.cli.screen import Screen
    from coachc.evaluate.replay_figures import Measured

Data = Annotated[
    str | None,
    typer.Option(
        "--data", help="Test samples, other ones than --calib's: a .npz, a folder of images or videos, a video."
    ),
]
Truth = Annotated[
    str | None,
    typer.Option("--truth", metavar="FILE.json|DIR", help="Annotations of pictures: a COCO file, or PNG masks."),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", metavar="FILE.py:FUNCTION", help="The function of yours that the bundle was judged by."),
]
Stream = Annotated[
    bool, typer.Option("--stream", help="Keep the samples in their order, as a camera gives them; else shuffled.")
]
TraceFile = Annotated[
    str | None,
    typer.Option("--trace", metavar="FILE[:NAME]", help='Bandwidth trace, JSON: {"dur_ms": [...], "mbps": [...]}.'),
]
Rate = Annotated[str | None, typer.Option("--bandwidth", help="A constant link: 20Mbit. Default: the bundle's.")]
Fps = Annotated[
    float | None, typer.Option("--fps", help="Tasks that arrive each second. Default: as fast as they go.", min=0.001)
]
Frames = Annotated[
    float | None, typer.Option("--frames-per-second", help="Videos: frames taken of each second.", min=0.001)
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="At most that many samples, labelled ones spread over their classes; with --stream the first.", min=1
    ),
]
Kinds = Annotated[
    list[str] | None, typer.Option("--policy", help="none, quantpipe, paper, default or oracle; repeat for several.")
]
Prefer = Annotated[
    str, typer.Option(help="Spare time on the link goes into accuracy (higher precision) or into nothing (bytes).")
]
Seed = Annotated[int, typer.Option(help="Of the shuffle and of the audits.")]
Record = Annotated[
    str | None,
    typer.Option(
        "--replay",
        metavar="FILE",
        help="Instead of samples and a link: a file of `coachc run --record`, whose decisions have to come out again.",
    ),
]
OneCut = Annotated[bool, typer.Option("--one-cut", help="Stay at the chosen cut of a bundle with several.")]


def eval_(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE")],
    data: Data = None,
    truth: Truth = None,
    metric: Metric = None,
    stream: Stream = False,
    trace: TraceFile = None,
    bandwidth: Rate = None,
    link: MeasuredFile = None,
    fps: Fps = None,
    frames_per_second: Frames = None,
    limit: Limit = None,
    policy: Kinds = None,
    prefer: Prefer = "accuracy",
    one_cut: OneCut = False,
    seed: Seed = 0,
    replay: Record = None,
    json: Json = False,
) -> None:
    """Accuracy, early exits, bytes, latency and load of each online policy on real data, in simulated time.

    Features, codes and answers are computed by the bundle's own halves; stage times are the compiler's estimates, and
    the link's times follow from the bytes and the trace. Of a bundle whose outputs are judged it is what each of them
    loses at the chosen cut, which no policy changes. With --replay, a run that was recorded instead; exit code 3
    when a decision differs.
    """
    import json as json_module
    import sys

    from coachc.cli.options import one_of
    from coachc.cli.progress import reporting
    from coachc.cli.screen import Screen
    from coachc.cost.units import parse_bandwidth
    from coachc.errors import UsageError
    from coachc.evaluate.bandwidth_trace import constant, load_trace
    from coachc.evaluate.evaluate_bundle import EvalOptions, evaluate
    from coachc.evaluate.replay import KINDS
    from coachc.runtime.bundle.skipped import Skipped, skipped_text
    from coachc.runtime.bundle.store import open_bundle
    from coachc.runtime.online.policy import PREFERENCES

    if replay is not None:
        given = {
            "--data": data, "--truth": truth, "--metric": metric, "--stream": stream, "--trace": trace,
            "--bandwidth": bandwidth,
            "--link": link, "--fps": fps, "--frames-per-second": frames_per_second, "--limit": limit,
            "--policy": policy, "--one-cut": one_cut, "--prefer": prefer != "accuracy", "--seed": seed,
        }  # fmt: skip
        replay_recorded(bundle, replay, [flag for flag, value in given.items() if value], json)
        return
    if data is None:
        raise UsageError("no samples to evaluate on", hint="--data DIR, or --replay FILE of a recorded run")
    opened = open_bundle(bundle)
    if opened.manifest.task != "classify":
        given = {
            "--trace": trace, "--bandwidth": bandwidth, "--link": link, "--fps": fps, "--policy": policy,
            "--one-cut": one_cut,
        }  # fmt: skip
        unused = [flag for flag, value in given.items() if value]
        eval_outputs(opened, data, frames_per_second, limit, truth, metric, unused, json)
        return
    if truth is not None or metric is not None:
        said = f"--truth {truth}" if truth is not None else f"--metric {metric}"
        raise UsageError(f"{said} is for bundles that are not judged by classes; labels come with --data")
    planned = opened.manifest.link
    rate_bytes_per_s, rtt_s = float(planned["bandwidth_bytes_per_s"]), float(planned["rtt_s"])
    if link is not None:
        others = {"--bandwidth": bandwidth, "--trace": trace}
        measured = measured_link(link, [flag for flag, value in others.items() if value])
        rate_bytes_per_s, rtt_s = measured.bandwidth_bytes_per_s, measured.rtt_s
    if trace is not None:
        path, _, name = trace.partition(":") if ".json:" in trace else (trace, "", "")
        rates = load_trace(path, name)
    else:
        announce_bytes(bandwidth or "")
        rates = constant(parse_bandwidth(bandwidth) if bandwidth else rate_bytes_per_s)
    options = EvalOptions(
        data=data,
        trace=rates,
        rtt_s=rtt_s,
        kinds=tuple(one_of(kind, "--policy", KINDS) for kind in policy or ("none", "paper", "default", "oracle")),
        stream=stream,
        interval_s=1 / fps if fps else 0.0,
        frames_per_second=frames_per_second,
        limit=limit,
        cuts=not one_cut,
        prefer=one_of(prefer, "--prefer", PREFERENCES),
        seed=seed,
    )
    skipped: list[Skipped] = []
    with reporting() as progress:
        results = evaluate(opened, options, progress, skipped.extend)
    if skipped:
        print(f"skipped {skipped_text(skipped)}", file=sys.stderr)
    if json:
        print(json_module.dumps({kind: dataclasses.asdict(measured) for kind, measured in results.items()}, indent=1))
        return
    print_policies(Screen(), opened.manifest.model.name, rates.name, results)


def print_policies(screen: Screen, model: str, link: str, results: dict[str, Measured]) -> None:
    """One row a policy."""
    tasks = next(iter(results.values())).tasks
    rows = []
    for kind, m in results.items():
        rows.append(
            Row(
                (
                    kind,
                    f"{m.accuracy.value:.2%}",
                    f"{m.loss:+.2%}",
                    f"{m.loss_bound:.2%}",
                    f"{m.exits.value:.1%}",
                    f"{m.exits.low:.1%}-{m.exits.high:.1%}",
                    f"{m.exit_agreement.value:.1%}" if m.exits.value else "-",
                    f"{m.bytes_per_task.value:,.0f}",
                    f"{m.latency_s.value * 1e3:.2f}",
                    *(f"{seconds * 1e3:.2f}" for seconds in (m.latency_p50_s, m.latency_p95_s, m.latency_p99_s)),
                    f"{m.throughput_per_s:.1f}",
                    *(f"{m.busy[stage]:.0%}" for stage in ("device", "link", "cloud")),
                )
            )
        )
    screen.line(f"{model}, link {link}: {tasks} tasks; simulated with the stage times the plan was made with")
    screen.table(_COLUMNS, rows)
    screen.line(
        "lost: accuracy below the whole model's, and what that is at most (95 % confidence). exits: tasks answered on "
        "the device alone, and their 95 % interval. right: exits with the whole model's answer. device, link, cloud: "
        "share of the time that each works."
    )
    bound = [f"{kind} {m.link_bound:.0%}" for kind, m in results.items() if m.link_bound > 0]
    if bound:
        screen.line(
            f"the link is the bottleneck even at the lowest precision that accuracy allows, of these tasks: "
            f"{', '.join(bound)}; a bundle for a range of bandwidths (compile --bandwidth 2Mbit..100Mbit) moves to "
            "another cut instead"
        )


_COLUMNS = (
    Column("policy", "text"),
    *map(Column, ("accuracy", "lost", "at most", "exits", "between", "right", "bytes")),
    *map(Column, ("mean ms", "p50", "p95", "p99", "tasks/s", "device", "link", "cloud")),
)
