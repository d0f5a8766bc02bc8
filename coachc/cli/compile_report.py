"""What `coachc compile` prints: one table a person reads, or the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from coachc.cli.accuracy_report import accuracy_lines, unproven_text
from coachc.cli.online_report import online_lines
from coachc.cli.screen import Screen
from coachc.cli.table_layout import Column, Row
from coachc.cli.wording import KINDS, WAYS, energy_text, mbit_text, proof_text
from coachc.core.cut_set import CutSet
from coachc.core.plan import Plan, Sensitivity, Timeline
from coachc.core.profile import Provenance
from coachc.cost.link import GIVEN
from coachc.pipeline import Compiled, CompileOptions


def print_compiled(screen: Screen, compiled: Compiled, options: CompileOptions) -> None:
    """Print the plan beside its alternatives."""
    planned, costs = compiled.planned, compiled.problem.costs
    screen.line(
        f"{compiled.problem.model.name}: {options.device.name} ({costs.device.precision}) -> {_link(options)}, "
        f"{options.link.rtt_s * 1e3:.4g} ms -> {options.cloud.name} ({costs.cloud.precision})"
    )
    print_plan(screen, planned.plan)
    if planned.cut_set is not None:
        _print_cuts(screen, planned.cut_set)
    if planned.refined is not None and planned.refined.sensitivities:
        print_sensitivity(screen, planned.refined.sensitivities, compiled.summary["judged"]["task"])
    screen.facts(_lines(compiled, options))


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
        found.append(unproven_text(accuracy, compiled.summary["judged"]["budget"]))
    for lowering in compiled.lowerings:
        if lowering.failure:
            hint = f"; {lowering.hint}" if lowering.hint else ""
            found.append(f"{lowering.path} will not build with {lowering.target}: {lowering.failure}{hint}")
    return found


_FIGURES = tuple(
    Column(title) for title in ("bytes", "device ms", "link ms", "cloud ms", "period ms", "latency ms", "frames/s")
)


def print_plan(screen: Screen, plan: Plan) -> None:
    """The way chosen, a mark before it, and the ways not to split."""
    way = plan.way
    rows = []
    if way.mode != "device-only":
        cut = "\n".join(way.cut) or "input"
        bits = "\n".join(str(q.bits) for q in way.bits.quantizers) or "-"
        rows.append(Row((f"> {WAYS[way.mode]}", cut, bits, *_cells(way.timeline)), bold=True))
    for mode, alternative in plan.alternatives.items():
        chosen = way.mode == mode == "device-only"
        bits = "8" if mode == "cloud-raw" else "-"
        # A JPEG's figures are of interest even where it is not emitted; what does not build has none.
        possible = alternative.emittable or mode == "cloud-jpeg"
        figures = _cells(alternative.way.timeline) if possible else ["-"] * len(_FIGURES)
        # Under the name: a column of its own would be bought with the names' width.
        barrier = f"\n  ({alternative.barrier})" if alternative.barrier else ""
        cells = (f"{'>' if chosen else ' '} {WAYS[mode]}{barrier}", "", bits, *figures)
        rows.append(Row(cells, bold=chosen))
    screen.table((Column("", "text"), Column("cut", "name"), Column("bits"), *_FIGURES), rows)


def _link(options: CompileOptions) -> str:
    """The bandwidth, or the range and its middle, for which the table of the plan holds."""
    middle = f"{options.link.bandwidth_bytes_per_s * 8 / 1e6:.4g} Mbit/s"
    if options.bandwidths is None:
        return middle
    low, high = (rate * 8 / 1e6 for rate in options.bandwidths)
    return f"{low:g} to {high:g} Mbit/s (table: {middle})"


def _print_cuts(screen: Screen, cut_set: CutSet) -> None:
    """The cuts of a bundle for a range of bandwidths, and where each is the best."""
    rows = []
    for cut in cut_set.cuts:
        way, chosen = cut.way, cut.way.name == cut_set.chosen
        where = "\n".join(f"{low * 8 / 1e6:.3g} to {high * 8 / 1e6:.3g}" for low, high in cut.best_between)
        cells = (
            f"{'>' if chosen else ' '} {way.name}",
            "\n".join(way.cut),
            "\n".join(str(quantizer.bits) for quantizer in way.bits.quantizers) or "-",
            where or "-",
            *_cells(way.timeline)[:4],
        )
        rows.append(Row(cells, bold=chosen))
    columns = (
        Column("cut", "text"),
        Column("tensors sent", "name"),
        Column("bits"),
        Column("best at Mbit/s"),
        *_FIGURES[:4],
    )
    screen.table(columns, rows, "cuts of the bundle, each inside the next; times at the middle of the range")


def print_sensitivity(screen: Screen, sensitivities: Sequence[Sensitivity], task: str) -> None:
    """What changes when one value alone is rounded to so many bits: answers, or the output that moves most."""
    what = {"classify": "answers that change", "outputs": "loss of the worst output"}.get(
        task, "loss of a picture's score"
    )
    names = list(dict.fromkeys(one.name for one in sensitivities))
    widths = sorted({one.bits for one in sensitivities})
    by_place = {(one.name, one.bits): one for one in sensitivities}
    rows = [Row((name, *(f"{by_place[name, bits].changed:.1%}" for bits in widths))) for name in names]
    screen.table(
        (Column("tensor rounded alone", "name"), *(Column(f"{bits} bits") for bits in widths)),
        rows,
        f"{what} by precision, mean of {sensitivities[0].samples} samples",
    )


def _cells(timeline: Timeline) -> list[str]:
    if not math.isfinite(timeline.period_s):
        return ["-"] * 7
    times = (timeline.device_s, timeline.link_s, timeline.cloud_s, timeline.period_s, timeline.latency_s)
    return [f"{timeline.payload_bytes:,}", *(f"{t * 1e3:.2f}" for t in times), f"{1 / timeline.period_s:.1f}"]


def _lines(compiled: Compiled, options: CompileOptions) -> list[str]:
    planned, plan, found = compiled.planned, compiled.planned.plan, compiled.planned.found
    lines = [
        *stakes_lines(compiled.summary["stakes"], compiled.problem.costs.device.provenance),
        f"search    {found.method}: {found.candidates} ways to cut the model compared, accuracy measured at "
        f"{found.measured} of them; {proof_text(plan.gap)}",
    ]
    if planned.cut_set is not None:
        lines.append(f"cuts      {_cut_set_text(planned.cut_set)}")
    if planned.refined is not None and plan.way.cut:
        lines.append(f"link      {_link_text(compiled)}")
    lines += accuracy_lines(compiled.summary["accuracy"], compiled.summary["judged"])
    for side, profile in (("device", compiled.problem.costs.device), ("cloud", compiled.problem.costs.cloud)):
        lines.append(f"{side:<10}{_provenance(profile.provenance)}")
    lines.append(f"network   {_network_text(options.link.source)}")
    if compiled.summary["energy"] is not None:
        lines.append(f"energy    {energy_text(compiled.summary['energy'])}")
    alone, jpeg = plan.alternatives["device-only"], plan.alternatives["cloud-jpeg"]
    if not alone.emittable:
        lines.append(f"no link   nothing answers: device only is {alone.note}")
    lines.append(f"jpeg      {jpeg.note}")
    lines += _input_lines(compiled) + _batch_lines(compiled.summary["batch"])
    lines += online_lines(compiled.summary["online"])
    if compiled.mixture is not None:
        lines.append(f"mixture   {_mixture_text(compiled.summary['mixture'])}")
    lines += [f"lowered   {one.path}: {one.describe()}" for one in compiled.lowerings if not one.failure]
    lines += [f"warning   {text}" for text in warnings(compiled, options)]
    lines.append(f"why       coachc explain {options.output}")
    lines.append(f"bundle    {options.output}  {compiled.bundle.bundle_id[:12]}")
    return lines


def _input_lines(compiled: Compiled) -> list[str]:
    """What the model takes where that is more than one sample, and how pictures become it."""
    model, lines = compiled.problem.model, []
    inputs = [model.values[name] for name in model.inputs]
    if len(inputs) > 1 or inputs[0].shape[:1] not in ((), (1,)):
        shapes = ", ".join(f"{value.name} {'x'.join(map(str, value.shape)) or 'scalar'}" for value in inputs)
        lines.append(f"inputs    {shapes}: a task is all of it")
    if compiled.preprocess is not None:
        shown = compiled.preprocess
        scaled = f"(pixel / {shown.pixel_scale:g} - {list(shown.mean)}) / {list(shown.std)}"
        pixels = "pixels as they are" if inputs[0].dtype == "uint8" else scaled
        lines.append(f"images    {shown.size[0]}x{shown.size[1]} {shown.resize}, {shown.color}, {pixels}")
    return lines


def stakes_lines(stakes: Mapping[str, Any] | None, device: Provenance) -> list[str]:
    """What the plan wins and costs beside the next way, and how wrong its figures may be; `device` is its profile's."""
    if stakes is None:
        return []
    other = WAYS[stakes["against"]]
    lines = [
        f"gain      {stakes['frames_ratio']:.3g}x the frames of {other}, {stakes['latency_ratio']:.3g}x its latency"
    ]
    factor, least, most = (
        stakes[name] for name in ("device_factor", "least_bandwidth_bytes_per_s", "most_bandwidth_bytes_per_s")
    )
    limits = []
    if factor is not None:
        known = "measured" if device.is_measured else "estimated"
        limits.append(f"the device is {'less' if factor > 1 else 'more'} than {factor:.3g}x as fast as {known}")
    if least is not None:
        limits.append(f"the link carries more than {mbit_text(least)} Mbit/s")
    if most is not None:
        limits.append(f"the link carries less than {mbit_text(most)} Mbit/s")
    if limits:
        lines.append(f"holds     while {' and '.join(limits)}")
    if factor is not None and 1 / device.band < factor < device.band:
        lines.append(f"unsure    estimates are within {device.band:.3g}x: measure the device (README, your own times)")
    return lines


def _batch_lines(batch: Mapping[str, Any]) -> list[str]:
    """Which cuts take several tasks in one run, and what keeps the others from it."""
    if batch["max"] == 1:
        return []
    fixed = batch["fixed"]
    if not fixed:
        return [f"batch     1 to {batch['max']} tasks in one run, at every cut"]
    return [f"batch     one task at a time at cut {cut}: {reason}" for cut, reason in fixed.items()]


def _link_text(compiled: Compiled) -> str:
    """Bytes with and without entropy coding, and how the range of each tensor was chosen."""
    refined, bits = compiled.planned.refined, compiled.planned.plan.way.bits
    assert refined is not None
    schemes = ", ".join(dict.fromkeys(str(scheme) for scheme in refined.schemes))
    packed = compiled.summary["plan"]["packed_bytes"]
    quantized = f"quantized to the range {schemes}"
    if bits.coded_bytes is None or not bits.layouts:
        return f"{quantized}; {packed:,} bytes a task, entropy coding would take longer than it saves on this link"
    codings = ", ".join(dict.fromkeys(layout.coding for layout in bits.layouts))
    share = bits.coded_bytes / packed
    return (
        f"{quantized}; {bits.coded_bytes:,.0f} bytes a task after entropy coding ({codings}), "
        f"{share:.0%} of {packed:,} without it"
    )


def _cut_set_text(cut_set: CutSet) -> str:
    """How far the bundle's best cut is from the best of all, and where none of the cuts is needed."""
    worst, mean = cut_set.worst - 1, cut_set.mean - 1
    return (
        f"{len(cut_set.cuts)} in the bundle: at {len(cut_set.grid)} bandwidths of the range, the best of them takes at "
        f"most {worst:.1%} longer between results than the best plan found there ({mean:.1%} on average)"
    )


def _mixture_text(mixture: Mapping[str, Any]) -> str:
    """Parts with their shares, the period estimated and simulated, and what it gains."""
    parts = ", ".join(
        f"{part['share']:.0%} of the tasks "
        + (" + ".join(f"{v['value']} at {v['bits']} bits" for v in part["cut"]) or "device only")
        for part in mixture["parts"]
    )
    gain = mixture["gain"]
    return (
        f"{parts}: period {mixture['period_s'] * 1e3:.2f} ms ({mixture['simulated_period_s'] * 1e3:.2f} ms simulated), "
        + (f"{gain:.1%} less than the plan's" if gain > 0 else "no gain over the plan")
        + "; an estimate only, the bundle does not hold it"
    )


def _network_text(source: str) -> str:
    return "given; coachc link HOST:PORT measures it" if source == GIVEN else source


def _provenance(provenance: Provenance) -> str:
    band = "" if provenance.is_measured else f", within {provenance.band:.3g}x where published"
    return f"{KINDS[provenance.kind]}{band}: {provenance.source}"
