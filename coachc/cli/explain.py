"""`coachc explain`: why this cut, what the next best ones are bound by, and when the answer changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.flags.assumption_flags import AssumptionFlags
from coachc.cli.flags.calibration_flags import CalibrationFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.link_flags import LinkFlags
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.search_flags import SearchFlags
from coachc.cli.flags.target_flags import TargetFlagsOfAsking
from coachc.cli.options import Json
from coachc.core.operations import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping


@takes_groups
def explain(
    path: Annotated[str, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle folder, or an ONNX file.")],
    *,
    targets: TargetFlagsOfAsking,
    link: LinkFlags,
    assumed: AssumptionFlags,
    data: CalibrationFlags,
    search: SearchFlags,
    shapes: ModelFlags,
    json: Json = False,
) -> None:
    """Explain the plan of a BUNDLE as it was compiled, or the plan that MODEL would get.

    Shows the five runners-up with what binds each (a stage, accuracy, memory, latency), which stage binds where in the
    model, the bandwidths at which the cut moves, and what was rejected and why.
    """
    import json as json_module
    import os

    from coachc.cli.data_echo import data_json, data_lines
    from coachc.errors import UsageError

    if os.path.isdir(path):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(data.given - {"path", "json"}))
        if flags:
            raise UsageError(
                f"{flags} with a bundle: it explains the plan it was compiled with",
                hint="give the ONNX model to ask about another setting",
            )
        result = _of_bundle(path)
        report = None
    else:
        from coachc.passes.partition import Limits
        from coachc.planning.explain import explain as explain_plan
        from coachc.planning.make_plan import make_plan
        from coachc.planning.problem import load_problem
        from coachc.planning.summary import planned_json, setting_json

        setting = assumed.setting_of(path, targets, link.link, shapes)
        limits = Limits(search.max_latency_s, setting.device.memory_bytes or None)
        problem = load_problem(setting)
        calibration = assumed.calibration_of(problem, data.with_recipe())
        report = calibration.data
        planned = make_plan(problem, calibration, limits, objective=search.known_objective, method=search.method)
        masks = planned.candidates.masks
        explanation = explain_plan(
            problem, planned.plan, masks, precision=calibration.precision, limits=limits, measure=True
        )
        result = {
            **setting_json(setting, problem),
            **planned_json(problem, planned, calibration.kind, explanation),
            "calibration_data": data_json(report, data.preview),
        }
    if json:
        print(json_module.dumps(result, indent=1))
        return
    for line in data_lines(report, data.preview):
        print(line)
    _print(result)


def _of_bundle(path: str) -> dict[str, Any]:
    from coachc.runtime.bundle.store import open_bundle
    from coachc.runtime.errors import BundleError

    manifest = open_bundle(path).manifest
    if "explanation" not in manifest.plan:
        raise BundleError(
            f"{path} was compiled by {manifest.producer}, which kept no explanation", hint="compile it again"
        )
    return dict(manifest.plan)


def _print(result: Mapping[str, Any]) -> None:
    from rich.console import Console

    from coachc.cli import gantt

    console = Console(width=None if Console().is_terminal else 130, highlight=False)
    plan, why, link = result["plan"], result["explanation"], result["link"]
    mbit = link["bandwidth_bytes_per_s"] * 8 / 1e6
    device, cloud = result["device"], result["cloud"]
    console.print(
        f"{result['model']['name']}: {device['target']} ({device['precision']}) -> {mbit:g} Mbit/s, "
        f"{link['rtt_s'] * 1e3:g} ms -> {cloud['target']} ({cloud['precision']}), "
        f"{result['workers']} worker(s), {result['devices']} device(s); times estimated: device {device['kind']}, "
        f"cloud {cloud['kind']}",
        soft_wrap=True,
    )
    cut = _option_text(plan["mode"], [value["value"] for value in plan["cut"]])
    console.print(
        f"plan: {cut}, period {plan['period_s'] * 1e3:.2f} ms, latency {plan['latency_s'] * 1e3:.2f} ms "
        f"({plan['scheduled_latency_s'] * 1e3:.2f} ms if operators overlapped), "
        f"{plan['search']} search, {plan['candidates']} partitions, "
        + ("proven optimal" if plan["gap"] == 0 else f"at most {plan['gap']:.1%} above the optimum"),
        soft_wrap=True,
    )
    for line in gantt.lines(plan, link["rtt_s"], workers=result["workers"]):
        console.print("  " + line)
    console.print("\nrunners-up, and what binds them")
    console.print(_runners(why["runners_up"], plan["period_s"]))
    console.print("\nwhich stage binds where in the model")
    console.print(_regions(why["regions"], plan["period_s"]))
    unsure = any(not move["bits_known"] for move in why["moves"])
    console.print("\nleast period by bandwidth" + (" (* precision not measured: at best)" if unsure else ""))
    console.print(_moves(why["moves"], link["bandwidth_bytes_per_s"]))
    if result["rejected"]:
        console.print(f"\nrejected: {len(result['rejected'])} cuts")
        for rejected in result["rejected"][:8]:
            console.print(f"  {rejected['what']}: {rejected['reason']}", soft_wrap=True)
        if len(result["rejected"]) > 8:
            console.print(f"  and {len(result['rejected']) - 8} more: --json lists them all")


def _option_text(mode: str, cut: list[str]) -> str:
    return (
        " + ".join(cut) if mode == "split" else {"cloud-raw": "cloud only, raw input"}.get(mode, mode.replace("-", " "))
    )


def _bits_text(option: Mapping[str, Any]) -> str:
    if option["bits"] is None:
        return "-"
    return f"{option['bits']}" if option["bits_known"] else f">= {option['bits']}"


def _table(*titles: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=True)
    for title in titles:
        text = title in ("cut", "binds", "why", "from", "to", "best plan")
        table.add_column(title, justify="left" if text else "right", overflow="fold")
    return table


def _runners(runners: list[Mapping[str, Any]], period_s: float) -> Any:
    table = _table("cut", "bits", "bytes", "device ms", "link ms", "cloud ms", "period ms", "vs plan", "binds", "why")
    for option in runners:
        table.add_row(
            _option_text(option["mode"], option["cut"]),
            _bits_text(option),
            f"{option['bytes']:,}",
            *(f"{option[name] * 1e3:.2f}" for name in ("device_s", "link_s", "cloud_s", "period_s")),
            f"{option['period_s'] / period_s - 1:+.1%}",
            option["binds"],
            "" if option["binds"] in STAGES else option["reason"],
        )
    return table


def _regions(regions: list[Mapping[str, Any]], period_s: float) -> Any:
    table = _table("from", "to", "cuts", "binds", "least period ms", "vs plan")
    for region in regions:
        table.add_row(
            region["first"],
            region["last"],
            str(region["partitions"]),
            region["binds"],
            f"{region['least_period_s'] * 1e3:.2f}",
            f"{region['least_period_s'] / period_s - 1:+.1%}",
        )
    return table


def _moves(moves: list[Mapping[str, Any]], bandwidth_bytes_per_s: float) -> Any:
    table = _table("", "Mbit/s", "best plan", "bits")
    for move in moves:
        low, high = move["low_bytes_per_s"], move["high_bytes_per_s"]
        here = low <= bandwidth_bytes_per_s and (high is None or bandwidth_bytes_per_s < high)
        span = f"above {low * 8 / 1e6:.3g}" if high is None else f"{low * 8 / 1e6:.3g} to {high * 8 / 1e6:.3g}"
        table.add_row(
            ">" if here else "",
            span,
            _option_text(move["mode"], move["cut"]) + ("" if move["bits_known"] else " *"),
            _bits_text(move),
            style="bold" if here else "",
        )
    return table
