"""What `coachc compile` prints: one table a person reads, or the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from coachc.calib.accuracy import samples_needed
from coachc.checks.targets import TargetReport, check_artefact_targets
from coachc.cli.online_report import online_lines
from coachc.core.cut_set import CutSet
from coachc.core.plan import Accuracy, Plan, Sensitivity, Timeline
from coachc.core.profile import Provenance
from coachc.pipeline import Compiled, CompileOptions

_TITLES = {
    "split": "split",
    "device-only": "device only",
    "cloud-raw": "cloud only, raw",
    "cloud-jpeg": "cloud only, JPEG",
}


def print_compiled(compiled: Compiled, options: CompileOptions) -> None:
    """Print the plan beside its alternatives."""
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    planned, costs = compiled.planned, compiled.problem.costs
    console.print(
        f"{compiled.problem.model.name}: {options.device.name} ({costs.device.precision}) -> {_link(options)}, "
        f"{options.link.rtt_s * 1e3:g} ms -> {options.cloud.name} ({costs.cloud.precision})"
    )
    console.print(_plan_table(planned.plan))
    if planned.cut_set is not None:
        console.print(_cuts_table(planned.cut_set))
    if planned.refined is not None and planned.refined.sensitivities:
        console.print(_sensitivity_table(planned.refined.sensitivities))
    for line in _lines(compiled, options):
        console.print(line, soft_wrap=True)


def compile_json(compiled: Compiled, options: CompileOptions) -> dict[str, Any]:
    """The JSON object of one compilation."""
    return {
        "bundle": options.output,
        "bundle_id": compiled.bundle.bundle_id,
        **compiled.summary,
        "warnings": warnings(compiled, options),
    }


def warnings(compiled: Compiled, options: CompileOptions) -> list[str]:
    """What the user should know before shipping this bundle."""
    found = []
    if options.calib == "random":
        found.append("UNCALIBRATED: compiled on noise, accuracy is unknown; give --calib real inputs")
    accuracy = compiled.planned.plan.way.bits.accuracy
    if accuracy is not None and not accuracy.certified and accuracy.kind != "random":
        needed = samples_needed(accuracy, options.budget)
        found.append(
            f"accuracy not certified: measured loss {accuracy.loss:.2%}, but with {accuracy.samples} samples it may be "
            f"up to {accuracy.loss_bound:.2%} (budget {options.budget:.2%}); "
            + (f"about {needed:,} samples would certify it" if needed else "no number of samples would certify it")
        )
    for lowering in compiled.lowerings:
        if lowering.failure:
            hint = f"; {lowering.hint}" if lowering.hint else ""
            found.append(f"{lowering.path} will not build with {lowering.target}: {lowering.failure}{hint}")
    known = {lowering.path for lowering in compiled.lowerings if lowering.failure}
    found += [_refused(report) for report in _target_reports(compiled, options) if report.where not in known]
    return [text for text in found if text]


def _target_reports(compiled: Compiled, options: CompileOptions) -> list[TargetReport]:
    specs = {"device": options.device, "cloud": options.cloud}
    return check_artefact_targets(compiled.bundle, specs, compiled.models.__getitem__)


def _refused(report: TargetReport) -> str:
    """What a target still refuses of an artefact that was lowered as far as it goes; empty if nothing."""
    if report.ok:
        return ""
    # An operator that is missing says more than the types around it.
    missing = {"op", "domain"}
    found = [one for one in report.violations if one.severity == "error"]
    first = min(found, key=lambda one: one.rule.split("/")[1] not in missing)
    more = f", and {report.errors - 1} more that `coachc check` names" if report.errors > 1 else ""
    about = f"{first.label}: " if first.node else ""
    return f"{report.where} will not build on {report.target.title}: {about}{first.reason}; {first.remedy}{more}"


def _plan_table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in (
        "",
        "cut",
        "bits",
        "bytes",
        "device ms",
        "link ms",
        "cloud ms",
        "period ms",
        "latency ms",
        "frames/s",
    ):
        table.add_column(
            title, justify="left" if title in ("", "cut") else "right", overflow="fold", no_wrap=title != "cut"
        )
    way = plan.way
    if way.mode != "device-only":
        cut = "\n".join(way.cut) or "input"
        bits = "\n".join(str(q.bits) for q in way.bits.quantizers) or "-"
        table.add_row(f"> {_TITLES[way.mode]}", cut, bits, *_cells(way.timeline), style="bold")
    for mode, alternative in plan.alternatives.items():
        chosen = way.mode == mode == "device-only"
        bits = "8" if mode == "cloud-raw" else "-"
        mark = "> " if chosen else "  "
        cells = _cells(alternative.way.timeline)
        table.add_row(f"{mark}{_TITLES[mode]}", "", bits, *cells, style="bold" if chosen else "")
    return table


def _link(options: CompileOptions) -> str:
    """The bandwidth, or the range and its middle, for which the table of the plan holds."""
    middle = f"{options.link.bandwidth_bytes_per_s * 8 / 1e6:.4g} Mbit/s"
    if options.bandwidths is None:
        return middle
    low, high = (rate * 8 / 1e6 for rate in options.bandwidths)
    return f"{low:g} to {high:g} Mbit/s (table: {middle})"


def _cuts_table(cut_set: CutSet) -> Table:
    """The cuts of a bundle for a range of bandwidths, and where each is the best."""
    table = Table(box=None, pad_edge=False, title="cuts of the bundle, nested; times at the middle of the range")
    for title in ("", "cut", "values", "bits", "best at Mbit/s", "bytes", "device ms", "link ms", "cloud ms"):
        table.add_column(
            title,
            justify="left" if title in ("", "cut", "values") else "right",
            overflow="fold",
            no_wrap=title == "cut",
        )
    for cut in cut_set.cuts:
        way = cut.way
        where = ", ".join(f"{low * 8 / 1e6:.3g} to {high * 8 / 1e6:.3g}" for low, high in cut.best_between)
        table.add_row(
            ">" if way.name == cut_set.chosen else "",
            way.name,
            "\n".join(way.cut),
            "\n".join(str(quantizer.bits) for quantizer in way.bits.quantizers) or "-",
            where or "-",
            *_cells(way.timeline)[:4],
            style="bold" if way.name == cut_set.chosen else "",
        )
    return table


def _sensitivity_table(sensitivities: Sequence[Sensitivity]) -> Table:
    """Share of answers that change when one value alone is rounded to so many bits."""
    table = Table(box=None, pad_edge=False, title=f"answers changed on {sensitivities[0].samples} samples, by bits")
    names = list(dict.fromkeys(one.name for one in sensitivities))
    widths = sorted({one.bits for one in sensitivities})
    table.add_column("rounded alone", overflow="fold")
    for bits in widths:
        table.add_column(str(bits), justify="right")
    by_place = {(one.name, one.bits): one for one in sensitivities}
    for name in names:
        table.add_row(name, *(f"{by_place[name, bits].changed:.1%}" for bits in widths))
    return table


def _cells(timeline: Timeline) -> list[str]:
    if not math.isfinite(timeline.period_s):
        return ["-"] * 7
    times = (timeline.device_s, timeline.link_s, timeline.cloud_s, timeline.period_s, timeline.latency_s)
    return [f"{timeline.payload_bytes:,}", *(f"{t * 1e3:.2f}" for t in times), f"{1 / timeline.period_s:.1f}"]


def _lines(compiled: Compiled, options: CompileOptions) -> list[str]:
    planned, plan, found = compiled.planned, compiled.planned.plan, compiled.planned.found
    proof = "proven optimal" if plan.gap == 0 else f"at most {plan.gap:.1%} above the optimum"
    lines = [
        f"search    {found.method}, {found.candidates} partitions, accuracy measured at {found.measured} cuts, {proof}",
        f"accuracy  {describe_accuracy(plan.way.bits.accuracy)}",
    ]
    for side, profile in (("device", compiled.problem.costs.device), ("cloud", compiled.problem.costs.cloud)):
        lines.append(f"{side:<10}{_provenance(profile.provenance)}")
    if planned.refined is not None and plan.way.cut:
        lines.insert(1, f"link      {_link_text(compiled)}")
    jpeg = plan.alternatives["cloud-jpeg"]
    lines.append(f"jpeg      {jpeg.note}")
    if compiled.preprocess is not None:
        shown = compiled.preprocess
        lines.append(
            f"images    {shown.size[0]}x{shown.size[1]} {shown.resize}, {shown.color}, "
            f"(pixel / {shown.pixel_scale:g} - {list(shown.mean)}) / {list(shown.std)}"
        )
    if planned.cut_set is not None:
        lines.insert(1, f"cuts      {_cut_set_text(planned.cut_set)}")
    lines += online_lines(compiled.summary["online"])
    if compiled.mixture is not None:
        lines.append(f"mixture   {_mixture_text(compiled.summary['mixture'])}")
    lines += [f"lowered   {one.path}: {one.describe()}" for one in compiled.lowerings if not one.failure]
    lines += [f"warning   {text}" for text in warnings(compiled, options)]
    lines.append(f"why       coachc explain {options.output}")
    lines.append(f"bundle    {options.output}  {compiled.bundle.bundle_id[:12]}")
    return lines


def _link_text(compiled: Compiled) -> str:
    """Bytes packed and coded, and how ranges were chosen."""
    refined, bits = compiled.planned.refined, compiled.planned.plan.way.bits
    assert refined is not None
    schemes = ", ".join(dict.fromkeys(str(scheme) for scheme in refined.schemes))
    packed = compiled.summary["plan"]["packed_bytes"]
    if bits.coded_bytes is None or not bits.layouts:
        return f"ranges {schemes}; {packed:,} bytes packed, coding them would take longer than it saves on this link"
    codings = ", ".join(dict.fromkeys(layout.coding for layout in bits.layouts))
    share = bits.coded_bytes / packed
    return f"ranges {schemes}; {bits.coded_bytes:,.0f} bytes a task coded ({codings}), {share:.0%} of {packed:,} packed"


def _cut_set_text(cut_set: CutSet) -> str:
    """How far the bundle's best cut is from the best of all, and where none of the cuts is needed."""
    worst, mean = cut_set.worst - 1, cut_set.mean - 1
    return (
        f"{len(cut_set.cuts)} of them: at {len(cut_set.grid)} bandwidths of the range the best of them takes at most "
        f"{worst:.1%} longer between results than the best plan found there ({mean:.1%} on average)"
    )


def _mixture_text(mixture: Mapping[str, Any]) -> str:
    """Parts with their shares, the period estimated and simulated, and what it gains."""
    parts = ", ".join(
        f"{part['share']:.0%} " + (" + ".join(f"{v['value']} at {v['bits']}" for v in part["cut"]) or "device only")
        for part in mixture["parts"]
    )
    gain = mixture["gain"]
    return (
        f"{parts}: period {mixture['period_s'] * 1e3:.2f} ms ({mixture['simulated_period_s'] * 1e3:.2f} ms simulated), "
        + (f"{gain:.1%} less than the plan's" if gain > 0 else "no gain over the plan")
        + "; planned, not emitted"
    )


def describe_accuracy(accuracy: Accuracy | None) -> str:
    """One line: float beside split, against what, and how sure."""
    if accuracy is None:
        return "not measured"
    against = {
        "labels": "top-1 against labels",
        "agreement": "same top-1 as the float model (no labels given)",
        "fidelity": "outputs within 1 % of the float model's",
        "random": "agreement on noise: says nothing about real accuracy",
    }[accuracy.kind]
    certified = "certified" if accuracy.certified else "not certified"
    return (
        f"float {accuracy.whole:.2%}, split {accuracy.split:.2%} on {accuracy.samples} samples, {against}; "
        f"loss at most {accuracy.loss_bound:.2%} with 95 % confidence, {certified}"
    ) + (
        f" on samples blended in pairs (float {accuracy.mixed_whole:.2%}), because the model knows these by heart"
        if accuracy.mixed_whole is not None
        else ""
    )


def _provenance(provenance: Provenance) -> str:
    label = "measured" if provenance.is_measured else "estimated"
    return f"{label} ({provenance.kind}): {provenance.source}"
