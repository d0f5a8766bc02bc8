"""`coachc explain`: why this cut, what the next best ones are bound by, and when the answer changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.flags.assumption_flags import AssumptionFlags
from coachc.cli.flags.calibration_flags import CalibrationFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.link_flags import LinkFlags, announce_bytes
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.search_flags import SearchFlags
from coachc.cli.flags.target_flags import TargetFlagsOfAsking
from coachc.cli.options import Json
from coachc.cli.table_layout import Column, Row
from coachc.cli.wording import KINDS, energy_text, mbit_text, proof_text
from coachc.core.operations import STAGES
from coachc.cost.link import GIVEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coachc.cli.screen import Screen


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

    Shows the five next best plans with the bottleneck of each (a stage, accuracy, memory, latency), the bottleneck by
    where the model is cut, the best plan by bandwidth, and what was rejected and why.
    """
    import json as json_module
    import os

    from coachc.cli.data_echo import data_json, data_lines
    from coachc.cli.files import refuse_packed
    from coachc.cli.screen import Screen
    from coachc.errors import UsageError

    refuse_packed(path)
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
        from coachc.planning.explain import explain as explain_plan
        from coachc.planning.make_plan import make_plan
        from coachc.planning.problem import limits_of, load_problem
        from coachc.planning.summary import planned_json, setting_json

        announce_bytes(link.bandwidth)
        known = targets.link_of(link.known_link, bool(link.given & {"bandwidth", "rtt", "link"}))
        setting = assumed.setting_of(path, targets, known, shapes)
        problem = load_problem(setting)
        limits = limits_of(setting, problem, search.max_latency_s, search.max_joules)
        calibration = assumed.calibration_of(problem, data.with_recipe())
        report = calibration.data
        planned = make_plan(problem, calibration, limits, objective=search.known_objective, method=search.method)
        masks = planned.candidates.masks
        explanation = explain_plan(
            problem, planned.plan, masks, precision=calibration.precision, limits=limits, measure=True
        )
        result = {
            **setting_json(setting, problem),
            **planned_json(problem, planned, calibration, explanation, power=setting.power),
            "calibration_data": data_json(report, data.preview),
        }
    if json:
        print(json_module.dumps(result, indent=1))
        return
    screen = Screen()
    screen.facts(data_lines(report, data.preview))
    print_explanation(screen, result)


def _of_bundle(path: str) -> dict[str, Any]:
    from coachc.runtime.bundle.store import open_bundle
    from coachc.runtime.errors import BundleError

    manifest = open_bundle(path).manifest
    if "explanation" not in manifest.plan:
        raise BundleError(
            f"{path} was compiled by {manifest.producer}, which kept no explanation", hint="compile it again"
        )
    return dict(manifest.plan)


def print_explanation(screen: Screen, result: Mapping[str, Any]) -> None:
    """A plan, what comes next, where the bottleneck is, and where the plan would be another one."""
    from coachc.cli import gantt

    plan, why, link = result["plan"], result["explanation"], result["link"]
    mbit = link["bandwidth_bytes_per_s"] * 8 / 1e6
    device, cloud = result["device"], result["cloud"]
    screen.line(
        f"{result['model']['name']}: {device['target']} ({device['precision']}) -> {mbit:.4g} Mbit/s, "
        f"{link['rtt_s'] * 1e3:.4g} ms -> {cloud['target']} ({cloud['precision']}), "
        f"{result['workers']} worker(s), {result['devices']} device(s); times: device {KINDS[device['kind']]}; "
        f"cloud {KINDS[cloud['kind']]}; link {link.get('source', GIVEN)}"
    )
    cut = _option_text(plan["mode"], [value["value"] for value in plan["cut"]]).replace("\n", " ")
    screen.line(
        f"plan: {cut}, period {plan['period_s'] * 1e3:.2f} ms, latency {plan['latency_s'] * 1e3:.2f} ms "
        f"({plan['scheduled_latency_s'] * 1e3:.2f} ms if sending began before the device is done), "
        f"{plan['search']} search of {plan['candidates']} ways to cut the model, " + proof_text(plan["gap"])
    )
    for line in gantt.lines(plan, link["rtt_s"], min(gantt.WIDTH, screen.width - 10), workers=result["workers"]):
        screen.line("  " + line)
    screen.line()
    if "costs" in result:
        screen.table(_COSTS, _cost_rows(result["costs"]), "what the times are made of")
        for side, half in result["memory"].items():
            weights, activations = (half[name] / 2**20 for name in ("weights_bytes", "activations_bytes"))
            screen.line(f"memory of the {side}'s half: {weights:.1f} MiB of weights, {activations:.1f} of activations")
        if result["energy"] is not None:
            screen.line(f"energy of the device: {energy_text(result['energy'])}")
        screen.line()
    screen.table(_RUNNERS, _runners(why["runners_up"], plan["period_s"]), "next best, and the bottleneck of each")
    for option in why["runners_up"]:
        if option["binds"] not in STAGES:
            cut = _option_text(option["mode"], option["cut"]).replace("\n", " ")
            screen.line(f"{option['binds']} of {cut}: {option['reason']}")
    screen.line()
    screen.table(_REGIONS, _regions(why["regions"], plan["period_s"]), "bottleneck by where the model is cut")
    screen.line()
    unsure = any(not move["bits_known"] for move in why["moves"])
    screen.table(
        _MOVES,
        _moves(why["moves"], link["bandwidth_bytes_per_s"]),
        "best plan by bandwidth" + (" (* precision not measured: as good as it can be)" if unsure else ""),
    )
    if result["rejected"]:
        screen.line(f"\nrejected: {len(result['rejected'])} cuts")
        for rejected in result["rejected"][:8]:
            screen.line(f"  {rejected['what']}: {rejected['reason']}", 4)
        if len(result["rejected"]) > 8:
            screen.line(f"  and {len(result['rejected']) - 8} more: --json lists them all", 4)


def _cost_rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [Row((line["stage"], line["what"], f"{line['seconds'] * 1e3:.3f}", line["note"])) for line in lines]


def _option_text(mode: str, cut: list[str]) -> str:
    """What is sent, a tensor a line, or the way that sends no tensor."""
    return (
        "\n+ ".join(cut)
        if mode == "split"
        else {"cloud-raw": "cloud only, raw input"}.get(mode, mode.replace("-", " "))
    )


def _bits_text(option: Mapping[str, Any]) -> str:
    if option["bits"] is None:
        return "-"
    return f"{option['bits']}" if option["bits_known"] else f">= {option['bits']}"


_RUNNERS = (
    Column("cut", "name"),
    *map(Column, ("bits", "bytes", "device ms", "link ms", "cloud ms", "period ms", "vs plan")),
    Column("bottleneck", "text"),
)
_COSTS = (Column("stage", "text"), Column("what", "text"), Column("ms"), Column("from", "text"))
_REGIONS = (
    Column("from", "name"),
    Column("to", "name"),
    Column("cuts"),
    Column("bottleneck", "text"),
    Column("least period ms"),
    Column("vs plan"),
)
_MOVES = (Column("Mbit/s"), Column("best plan", "name"), Column("bits"))


def _runners(runners: list[Mapping[str, Any]], period_s: float) -> list[Row]:
    return [
        Row(
            (
                _option_text(option["mode"], option["cut"]),
                _bits_text(option),
                f"{option['bytes']:,}",
                *(f"{option[name] * 1e3:.2f}" for name in ("device_s", "link_s", "cloud_s", "period_s")),
                f"{option['period_s'] / period_s - 1:+.1%}",
                option["binds"],
            )
        )
        for option in runners
    ]


def _regions(regions: list[Mapping[str, Any]], period_s: float) -> list[Row]:
    return [
        Row(
            (
                region["first"],
                region["last"],
                str(region["partitions"]),
                region["binds"],
                f"{region['least_period_s'] * 1e3:.2f}",
                f"{region['least_period_s'] / period_s - 1:+.1%}",
            )
        )
        for region in regions
    ]


def _moves(moves: list[Mapping[str, Any]], bandwidth_bytes_per_s: float) -> list[Row]:
    rows = []
    for move in moves:
        low, high = move["low_bytes_per_s"], move["high_bytes_per_s"]
        here = low <= bandwidth_bytes_per_s and (high is None or bandwidth_bytes_per_s < high)
        span = f"above {mbit_text(low)}" if high is None else f"{mbit_text(low)} to {mbit_text(high)}"
        plan = _option_text(move["mode"], move["cut"]) + ("" if move["bits_known"] else " *")
        rows.append(Row((f"> {span}" if here else span, plan, _bits_text(move)), bold=here))
    return rows
