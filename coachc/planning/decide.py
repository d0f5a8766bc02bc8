"""Choose between the best split and the ways that do not split; all are costed, the best within the limits wins."""

from __future__ import annotations

import dataclasses

import numpy as np

from coachc.calib.jpeg import JpegCost
from coachc.calib.reference_answers import Trial
from coachc.core.graph import GraphView
from coachc.core.plan import MODES, Accuracy, Alternative, BitPlan, Plan, Timeline, Way
from coachc.errors import InfeasibleError
from coachc.passes.energy import joules
from coachc.passes.objective import rank
from coachc.passes.partition import Found, Limits, Unfit, unfit
from coachc.passes.timeline import Costs, from_stages, picture_header_bytes, uniform_way, way_at

#: Bits of the raw alternative: pictures as the camera gives them.
RAW_BITS = 8


def decide(
    graph: GraphView,
    costs: Costs,
    found: Found,
    jpeg: JpegCost | None,
    trial: Trial | None,
    limits: Limits,
    *,
    mode: str = "auto",
    objective: str = "exact",
) -> Plan:
    """The plan: the best by `objective` among the modes allowed.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    found : Found
        Best split and why others were rejected.
    jpeg : JpegCost or None
        None where the model does not take pictures.
    trial : Trial or None
        None where no samples were given.
    limits : Limits
    mode : str
        "auto", or one of `MODES` alone.
    objective : str

    Raises
    ------
    InfeasibleError
        Nothing respects the limits; carries the closest.
    """
    whole = BitPlan((), None if trial is None else _nothing_lost(trial))
    alternatives = _alternatives(graph, costs, jpeg, whole, limits)
    ways = _eligible(alternatives)
    if found.best is not None:
        ways.insert(0, with_accuracy(found.best, whole))
    fitting = [way for way in ways if mode in ("auto", way.mode) and limits.admits(way)]
    if not fitting:
        alone = unfit(graph, graph.full_mask, costs, limits)
        raise _infeasible(graph, mode, limits, found, ways, alternatives["cloud-jpeg"], alone)
    chosen = min(fitting, key=lambda way: rank(way, objective))
    if objective == "exact":
        longest_s = chosen.timeline.period_s * (1 + costs.tie)
        tied = [way for way in fitting if way.timeline.period_s <= longest_s]
        chosen = min(tied, key=lambda way: rank(way, "latency"))
    return Plan(
        way=chosen,
        alternatives=alternatives,
        candidates=found.candidates,
        gap=_gap(found, chosen.timeline),
        method=found.method,
        rejected=found.rejected,
    )


def unsplit_ways(graph: GraphView, costs: Costs, jpeg: JpegCost | None, limits: Limits) -> list[Way]:
    """The ways beside the cuts that may be chosen: the whole model on the device, or behind a JPEG."""
    return _eligible(_alternatives(graph, costs, jpeg, BitPlan(()), limits))


def _eligible(alternatives: dict[str, Alternative]) -> list[Way]:
    return [alternatives[mode].way for mode in ("device-only", "cloud-jpeg") if alternatives[mode].emittable]


def _nothing_lost(trial: Trial) -> Accuracy:
    """The whole model's accuracy beside its own."""
    accuracy = trial.judge.whole(np.arange(trial.data.samples))
    known = trial.judge.kind != "random"
    return Accuracy(trial.judge.kind, accuracy, accuracy, trial.data.samples, 0.0, 0.0 if known else None, known)


def with_accuracy(way: Way, whole: BitPlan) -> Way:
    """A way that sends its tensors as they are is the whole model, and as accurate; others as they are."""
    if way.bits.packed or way.mode == "cloud-jpeg":
        return way
    return dataclasses.replace(way, bits=dataclasses.replace(way.bits, accuracy=whole.accuracy))


def _gap(found: Found, chosen: Timeline) -> float:
    """How far the shortest period met can be above the optimum; 0 where that is proven, whatever counts as equal."""
    split_s = found.shortest_s if found.best is not None else float("inf")
    return max(min(split_s, chosen.period_s) / found.bound_s - 1.0, 0.0)


def _alternatives(
    graph: GraphView, costs: Costs, jpeg: JpegCost | None, whole: BitPlan, limits: Limits
) -> dict[str, Alternative]:
    found = (
        Alternative(way_at(graph, graph.full_mask, whole, costs), note="the whole model, float"),
        Alternative(uniform_way(graph, 0, RAW_BITS, costs), note="inputs as 8-bit codes, accuracy not measured"),
        _jpeg_alternative(costs, jpeg),
    )
    alone = unfit(graph, graph.full_mask, costs, limits)
    against = (
        alone,
        _unbuilt(limits.placement.against(graph, 0)),
        _unbuilt(next(iter(limits.placement.cloud.values()), "")),
    )
    return {
        alternative.way.mode: dataclasses.replace(
            alternative,
            barrier="too large" if refused.binds == "memory" else "does not build",
            note=f"not possible: {refused.text}",
        )
        if refused
        else alternative
        for alternative, refused in zip(found, against, strict=True)
    }


def _unbuilt(text: str) -> Unfit | None:
    return Unfit("target", text) if text else None


def _jpeg_alternative(costs: Costs, jpeg: JpegCost | None) -> Alternative:
    if jpeg is None:
        inf = float("inf")
        never = Way("cloud-jpeg", 0, BitPlan(()), Timeline(inf, inf, inf, inf, inf, 0))
        return Alternative(never, barrier="no picture", note="the model takes no single picture")
    note, barrier = jpeg.note, ""
    if jpeg.accuracy is None:
        barrier = "no images"
        note += "; not emitted: the samples are arrays, give --calib a folder of images"
    elif not jpeg.keeps_budget:
        barrier = "over the budget" if jpeg.accuracy.loss_bound is None else "not proven"
        note += f"; loses {jpeg.accuracy.loss:.2%} accuracy"
        if jpeg.accuracy.loss_bound is not None:
            note += f", at most {jpeg.accuracy.loss_bound:.2%} is proven"
    return Alternative(jpeg_way(jpeg, costs), barrier, note)


def jpeg_way(jpeg: JpegCost, costs: Costs) -> Way:
    """Sending a JPEG and running the whole model on the cloud."""
    return Way("cloud-jpeg", 0, BitPlan((), jpeg.accuracy), jpeg_timeline(jpeg, costs))


def jpeg_timeline(jpeg: JpegCost, costs: Costs) -> Timeline:
    """Stage times of sending a JPEG and running the whole model on the cloud."""
    cloud_s = sum(costs.cloud.seconds) + jpeg.decode_s
    link_s = costs.link.transfer_s(jpeg.size_bytes + picture_header_bytes(jpeg.size_bytes))
    return from_stages(jpeg.encode_s, link_s, cloud_s, jpeg.size_bytes, costs)


def _infeasible(
    graph: GraphView,
    mode: str,
    limits: Limits,
    found: Found,
    ways: list[Way],
    cloud_jpeg: Alternative,
    alone: Unfit | None,
) -> InfeasibleError:
    shown = [(way.mode, way.timeline) for way in ways if mode in ("auto", way.mode)]
    closest = found.closest
    if closest is not None and mode in ("auto", closest.mode):
        name = "split at " + ", ".join(closest.cut) if closest.mask else "cloud-raw"
        shown.append((name, closest.timeline))
    if limits.max_latency_s is not None and shown:
        name, timeline = min(shown, key=lambda item: item[1].latency_s)
        return InfeasibleError(
            f"no plan answers within {limits.max_latency_s * 1e3:.1f} ms",
            context=[
                f"closest: {name}, {timeline.latency_s * 1e3:.1f} ms (device {timeline.device_s * 1e3:.1f}, "
                f"link {timeline.link_s * 1e3:.1f}, cloud {timeline.cloud_s * 1e3:.1f})"
            ],
            hint="raise --max-latency or --bandwidth, or take a faster device",
        )
    power = limits.power
    if limits.max_joules is not None and power is not None and shown:
        name, least = min(((name, joules(timeline, power)) for name, timeline in shown), key=lambda item: item[1])
        return InfeasibleError(
            f"no plan takes {limits.max_joules:.3g} J or less of the device for a task",
            context=[f"closest: {name}, {least:.3g} J ({power.provenance.source})"],
            hint="raise --max-joules or --bandwidth, or state what the device draws in its file's [power]",
        )
    if refused := _refused(graph, mode, limits):
        return InfeasibleError(
            "no plan builds on both sides" if mode == "auto" else f"no {mode} plan builds on its target",
            context=refused,
            hint="replace the operators named, choose other targets (coachc devices), or leave --mode at auto",
        )
    if mode == "split" and not found.rejected and found.measured == 0:
        return InfeasibleError(
            f"no split plan: the model's {len(graph.nodes)} operators have no partition with some on each side",
            hint="leave --mode at auto",
        )
    context = [f"{rejected.what}: {rejected.reason}" for rejected in found.rejected[:5]]
    if mode == "cloud-jpeg":
        context = [cloud_jpeg.note]
    if mode == "device-only" and alone is not None:
        return InfeasibleError(
            "no device-only plan fits into the device's memory",
            context=[alone.text],
            hint="take a smaller --batch or a device with more memory, or leave --mode at auto",
        )
    return InfeasibleError(
        f"no {mode} plan keeps the accuracy budget",
        context=context or [f"modes: auto, {', '.join(MODES)}"],
        hint="raise --budget, give more calibration samples, or leave --mode at auto",
    )


def _refused(graph: GraphView, mode: str, limits: Limits) -> list[str]:
    """What each side does not build, where that alone rules a mode out; all of them for "auto"."""
    placement = limits.placement
    device = [f"device: {reason}" for reason in list(placement.device.values())[:3]]
    cloud = [f"cloud: {reason}" for reason in list(placement.cloud.values())[:3]]
    if mode == "device-only":
        return device
    if mode in ("cloud-raw", "cloud-jpeg"):
        against = placement.against(graph, 0) if mode == "cloud-raw" else ""
        return cloud or [against] * bool(against)
    # Everything an operator that the device refuses feeds has to be on the cloud with it.
    return [*device, *cloud] or [*placement.crossings.values(), *placement.cuts.values()][:3]
