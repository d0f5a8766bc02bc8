"""`coachc compare`: coachc's plans beside the systems the paper compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.flags.assumption_flags import UNMEASURED_BITS, AssumptionFlags
from coachc.cli.flags.calibration_flags import CalibrationFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.link_flags import LinksFlags, announce_bytes
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.target_flags import TargetFlagsOfAsking
from coachc.cli.options import Json
from coachc.cli.table_layout import Column
from coachc.cli.table_layout import Row as Cells
from coachc.cli.wording import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coachc.cli.screen import Screen
    from coachc.cost.link import Link
    from coachc.planning.compare import Comparison, Row


@takes_groups
def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file.")],
    *,
    targets: TargetFlagsOfAsking,
    link: LinksFlags,
    assumed: AssumptionFlags,
    data: CalibrationFlags,
    fps: Annotated[float, typer.Option(help="Arrivals a second at each device, for the latencies.", min=0.001)] = 20.0,
    published: Annotated[
        bool, typer.Option("--published", help="Also solve DADS' graph as published, and show what is wrong with it.")
    ] = False,
    shapes: ModelFlags,
    json: Json = False,
) -> None:
    """Compare every system's cut for MODEL: period, latency under arrivals, bytes, busy share of each stage, gap.

    All rows use the same profiles, the same link and the same simulator. Systems that do not quantize send tensors as
    they are; the others get --bits, or with --calib the lowest precision that keeps the accuracy budget.
    """
    import dataclasses
    import json as json_module

    from coachc.cli.data_echo import data_json, data_lines
    from coachc.cli.screen import Screen
    from coachc.planning.compare import compare as compare_all
    from coachc.planning.compare import published_dads_error
    from coachc.planning.problem import limits_of, load_problem
    from coachc.planning.summary import setting_json

    announce_bytes(link.bandwidth)
    links = link.links
    setting = assumed.setting_of(model, targets, links[0], shapes)
    problem = load_problem(setting)
    limits = limits_of(setting, problem)
    data = data.with_recipe()
    calibration = assumed.calibration_of(problem, data)
    points: list[tuple[Link, Comparison]] = []
    errors: list[tuple[str, ...]] = []
    for each in links:
        costs = dataclasses.replace(problem.costs, link=each)
        compared = compare_all(
            problem.graph,
            costs,
            calibration.precision,
            blocks=problem.blocks,
            jpeg=calibration.jpeg,
            limits=limits,
            interval_s=1.0 / fps,
        )
        points.append((each, compared))
        errors.append(published_dads_error(problem.graph, costs) if published else ())
    result: dict[str, Any] = {
        **setting_json(setting, problem),
        "arrivals_per_s": fps,
        "calibration": calibration.kind,
        "calibration_data": data_json(calibration.data, data.preview),
        "bits": None if data.calib else assumed.bits or UNMEASURED_BITS,
        "points": [
            {
                "bandwidth_bytes_per_s": each.bandwidth_bytes_per_s,
                "method": compared.candidates.method,
                "partitions": compared.candidates.seen,
                "proven": compared.proven,
                "verdict": {**_verdict_json(compared), "text": _verdict_text(compared)},
                "rows": [_row_json(row) for row in compared.rows],
                **({"published_dads_backward_operators": list(wrong)} if published else {}),
            }
            for (each, compared), wrong in zip(points, errors, strict=True)
        ],
    }
    del result["link"]["bandwidth_bytes_per_s"]
    if json:
        print(json_module.dumps(result, indent=1))
        return
    known = data.calib is not None
    precision = (
        f"precision measured on {data.calib}" if known else f"{result['bits']} bits assumed (--calib measures it)"
    )
    title = (
        f"{problem.model.name}: {setting.device.name} ({problem.costs.device.precision}) -> "
        f"{links[0].rtt_s * 1e3:.4g}ms -> {setting.cloud.name} ({problem.costs.cloud.precision}), "
        f"{setting.workers} worker(s), {setting.devices} device(s), {fps:g} arrivals/s, {precision}"
    )
    screen = Screen()
    screen.facts(data_lines(calibration.data, data.preview))
    print_comparison(screen, title, points, len(problem.graph.nodes))
    for (each, _), wrong in zip(points, errors, strict=True):
        if published:
            screen.line(f"{_mbit(each)}: DADS' graph as published {_published_text(wrong)}")
    kinds = problem.costs.device.provenance.kind, problem.costs.cloud.provenance.kind
    screen.line(f"times: device {KINDS[kinds[0]]}; cloud {KINDS[kinds[1]]}; link {links[0].source}")


def _mbit(link: Any) -> str:
    return f"{link.bandwidth_bytes_per_s * 8 / 1e6:g} Mbit/s"


def _published_text(wrong: tuple[str, ...]) -> str:
    if not wrong:
        return "gives a partition that can be run here"
    return f"cannot be run: {len(wrong)} operators on the device read what the cloud makes ({', '.join(wrong[:3])}" + (
        ", ...)" if len(wrong) > 3 else ")"
    )


def _verdict_json(compared: Comparison) -> dict[str, Any]:
    verdict = compared.verdict
    return {
        "split_pays": verdict.pays,
        "split_period_s": verdict.split_s if verdict.split_s < float("inf") else None,
        "whole_period_s": verdict.whole_s,
        "instead": verdict.instead,
        "jpeg_period_s": verdict.jpeg_s,
    }


def _verdict_text(compared: Comparison) -> str:
    verdict = compared.verdict
    gain = 1 - verdict.split_s / verdict.whole_s
    if verdict.pays:
        text = f"splitting pays: {gain:.1%} less time between results than {verdict.instead}"
    else:
        text = f"splitting does not pay: {verdict.instead} is faster, or less than 1 % slower"
    if verdict.jpeg_s is not None and verdict.jpeg_s < min(verdict.split_s, verdict.whole_s):
        text += f"; a JPEG to the cloud would be faster ({verdict.jpeg_s * 1e3:.2f} ms) if its accuracy is enough"
    return text


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.strategy.name,
        "period_s": row.period_s,
        "latency_mean_s": row.latency_mean_s,
        "latency_p95_s": row.latency_p95_s,
        "payload_bytes": row.payload_bytes,
        "busy": dict(zip(("device", "link", "cloud"), row.busy, strict=True)),
        "gap": row.gap,
        "parts": [
            {
                "share": one.share,
                "cut": [{"value": q.name, "bits": q.bits} for q in one.way.bits.quantizers],
                "device_operators": one.way.mask.bit_count(),
            }
            for one in row.strategy.parts
        ],
        "note": row.strategy.note,
    }


def print_comparison(screen: Screen, title: str, points: Sequence[tuple[Any, Comparison]], operators: int) -> None:
    """One bandwidth with all its figures, or the periods at several."""
    screen.line(title)
    if len(points) == 1:
        screen.table(_COLUMNS, _rows(points[0][1].rows, operators))
    else:
        _print_sweep(screen, points)
    for link, compared in points:
        proof = "proven optimal" if compared.proven else "not proven optimal"
        screen.line(
            f"{_mbit(link)}: {_verdict_text(compared)}. coachc, exact: {compared.candidates.seen} ways to cut the "
            f"model compared ({compared.candidates.method}), {proof}"
        )


_COLUMNS = (
    Column("system", "text"),
    Column("operators on device"),
    *map(Column, ("bits", "period ms", "mean ms", "p95 ms", "bytes", "device", "link", "cloud", "vs best")),
)


def _rows(rows: Sequence[Row], operators: int) -> list[Cells]:
    return [
        Cells(
            (
                row.strategy.name,
                "\n".join(
                    f"{one.way.mask.bit_count()}/{operators}" + (f" ({one.share:.0%})" if one.share < 1 else "")
                    for one in row.strategy.parts
                ),
                "\n".join(
                    str(max((q.bits for q in one.way.bits.quantizers), default="-")) for one in row.strategy.parts
                ),
                f"{row.period_s * 1e3:.2f}",
                f"{row.latency_mean_s * 1e3:.1f}",
                f"{row.latency_p95_s * 1e3:.1f}",
                f"{row.payload_bytes:,.0f}",
                *(f"{share:.0%}" for share in row.busy),
                f"{row.gap:+.1%}",
            ),
            bold=row.strategy.name.startswith("coachc"),
        )
        for row in rows
    ]


def _print_sweep(screen: Screen, points: Sequence[tuple[Any, Comparison]]) -> None:
    """Periods of every system over bandwidths; a star where splitting does not pay."""
    titles = [_mbit(link) + ("" if compared.verdict.pays else " *") for link, compared in points]
    rows = []
    for name in [row.strategy.name for row in points[0][1].rows]:
        found = [next((r for r in c.rows if r.strategy.name == name), None) for _, c in points]
        periods = (f"{row.period_s * 1e3:.2f}" if row is not None else "-" for row in found)
        rows.append(Cells((name, *periods), bold=name.startswith("coachc")))
    screen.table((Column("system", "text"), *map(Column, titles)), rows, "period in ms")
    if not all(compared.verdict.pays for _, compared in points):
        screen.line("* splitting does not pay")
