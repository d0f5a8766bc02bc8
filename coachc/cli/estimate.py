"""`coachc estimate`: the best plan on many targets and links, or all that one of them offers, without the hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.flags.assumption_flags import UNMEASURED_BITS, AssumptionFlags
from coachc.cli.flags.calibration_flags import CalibrationFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.link_flags import MatrixLinkFlags, announce_bytes
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.target_flags import MatrixTargetFlags
from coachc.cli.options import Json
from coachc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coachc.planning.calibration import Calibration
    from coachc.planning.problem import Problem, Setting


@takes_groups
def estimate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file.")],
    *,
    targets: MatrixTargetFlags,
    link: MatrixLinkFlags,
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto",
            help="For one device, cloud and bandwidth: every way of which no other has both a shorter period and a "
            "lower latency.",
        ),
    ] = False,
    draw: Annotated[
        str | None, typer.Option(metavar="FILE.svg", help="With --pareto: also draw period against latency.")
    ] = None,
    assumed: AssumptionFlags,
    data: CalibrationFlags,
    shapes: ModelFlags,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout: a header with units, a line a row.")] = False,
) -> None:
    """Estimate the plan that MODEL would get on each device, with each cloud, at each bandwidth, without any of them.

    Each is what `coachc compile` would choose there at --bits, or with --calib at the lowest precision that keeps the
    accuracy budget, before that is refined. Targets named `local` are measured on this machine, which takes longer.
    """
    import json as json_module

    from coachc.cli import estimate_report as report
    from coachc.cli.data_echo import data_lines
    from coachc.cli.files import check_place, write_file
    from coachc.cli.progress import reporting
    from coachc.cli.screen import Screen
    from coachc.draw.front_svg import front_svg
    from coachc.planning.estimate import estimate_cells, front_of
    from coachc.planning.make_plan import make_plan
    from coachc.planning.problem import limits_of, load_problems

    if json and csv:
        raise UsageError("--json and --csv exclude each other", hint="leave one out")
    if draw is not None:
        if not pareto:
            raise UsageError("--draw draws the front that --pareto asks for", hint="add --pareto, or leave --draw out")
        if not draw.lower().endswith(".svg"):
            raise UsageError(f"--draw '{draw}' is not the name of an .svg file", hint="for example --draw front.svg")
        check_place(draw, "--draw")
    settings = assumed.settings_of(model, targets, link, shapes)
    if pareto and len(settings) > 1:
        raise UsageError(
            f"--pareto is about one setting, and these are {len(settings)}: {_counted(settings)}",
            hint="give one device, one cloud and one bandwidth, or leave --pareto out",
        )
    announce_bytes(link.bandwidths, "--bandwidths")
    with reporting() as progress:
        problems = load_problems(settings, progress)
    data = data.with_recipe()
    calibration = assumed.calibration_of(problems[0], data)
    setting, problem = settings[0], problems[0]
    bits = None if data.calib else assumed.bits or UNMEASURED_BITS
    head = _head_json(problem, settings, assumed.family, bits, calibration, data.preview)
    precision = f"{bits} bits assumed (--calib measures it)" if bits else f"precision measured on {data.calib}"
    screen = Screen()
    if pareto:
        limits = limits_of(setting, problem)
        with reporting() as progress:
            progress("plan", 0, 0)
            plan = make_plan(problem, calibration, limits).plan.way
            front = front_of(problem, calibration, limits, progress)
        if draw is not None:
            write_file(draw, front_svg(report.front_dots(front, plan)).encode())
        found = {**head, **report.front_json(setting, problem, front, plan)}
        if json or csv:
            print(json_module.dumps(found, indent=1) if json else report.front_csv(found), end="\n" if json else "")
            return
        screen.facts(data_lines(calibration.data, data.preview))
        screen.line(f"{problem.model.name}: {_setting_text(setting, problem)}, {precision}")
        report.print_front(screen, front, plan, problem.costs)
        if draw is not None:
            screen.line(f"drawn in {draw}")
        return
    with reporting() as progress:
        cells = estimate_cells(settings, problems, calibration, progress)
    found = {**head, "cells": [report.cell_json(cell, problem.graph) for cell in cells]}
    if json or csv:
        print(
            json_module.dumps(found, indent=1) if json else report.cells_csv(found["cells"]), end="\n" if json else ""
        )
        return
    screen.facts(data_lines(calibration.data, data.preview))
    screen.line(f"{problem.model.name}: {_counted(settings)}, round trip {setting.link.rtt_s * 1e3:g} ms, {precision}")
    report.print_cells(screen, cells)


def _counted(settings: Sequence[Setting]) -> str:
    counts = {
        "device": len({setting.device.name for setting in settings}),
        "cloud": len({setting.cloud.name for setting in settings}),
        "bandwidth": len({setting.link.bandwidth_bytes_per_s for setting in settings}),
    }
    return " x ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items())


def _setting_text(setting: Setting, problem: Problem) -> str:
    from coachc.cli.wording import mbit_text

    costs, link = problem.costs, setting.link
    return (
        f"{setting.device.name} ({costs.device.precision}) -> {mbit_text(link.bandwidth_bytes_per_s)} Mbit/s, "
        f"{link.rtt_s * 1e3:g} ms -> {setting.cloud.name} ({costs.cloud.precision})"
    )


def _head_json(
    problem: Problem,
    settings: Sequence[Setting],
    family: str,
    bits: int | None,
    calibration: Calibration,
    preview: str | None,
) -> dict[str, Any]:
    from coachc.cli.data_echo import data_json

    model = problem.model
    return {
        "model": {
            "name": model.name, "sha256": model.sha256, "opset": model.opset, "operators": len(problem.graph.nodes)
        },
        "setting": {
            "devices": list(dict.fromkeys(setting.device.name for setting in settings)),
            "clouds": list(dict.fromkeys(setting.cloud.name for setting in settings)),
            "bandwidths_bytes_per_s": list(dict.fromkeys(one.link.bandwidth_bytes_per_s for one in settings)),
            "rtt_s": settings[0].link.rtt_s,
            "family": family,
            "bits": bits,
            "calibration": calibration.kind,
            "calibration_data": data_json(calibration.data, preview),
        },
    }  # fmt: skip
