"""Choose between the best split and the ways that do not split; all are costed, the best within the limits wins."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from coachc.calib.accuracy import Judge
from coachc.calib.jpeg import JpegCost
from coachc.core.graph import GraphView
from coachc.core.plan import MODES, Alternative, BitPlan, Plan, Timeline
from coachc.errors import InfeasibleError
from coachc.passes.objective import MONOTONE, NO_OVERLAP, Overlap, key
from coachc.passes.partition import Candidate, Found, Limits
from coachc.passes.timeline import Costs, from_stages, stage_times, uniform

#: A server has to shorten the period by at least this share: no profile is more accurate, and a device that needs no
#: link answers sooner.
MIN_GAIN = 0.01
#: Bits of the raw alternative: pictures as the camera gives them.
RAW_BITS = 8


def decide(
    graph: GraphView,
    costs: Costs,
    found: Found,
    jpeg: JpegCost | None,
    judge: Judge | None,
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
    judge : Judge or None
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
    whole = BitPlan(())
    if judge is not None:
        whole = BitPlan((), dataclasses.replace(judge.compare(judge.float_right, 1.0), loss_bound=0.0))
    alternatives = _alternatives(graph, costs, jpeg, whole)
    device_only, _, cloud_jpeg = alternatives

    choices: list[_Choice] = []
    if found.best is not None:
        best = found.best
        # What sends its tensors as they are is the whole model.
        lossless = all(quantizer.codec == "raw" for quantizer in best.bits.quantizers)
        bits = dataclasses.replace(best.bits, accuracy=whole.accuracy) if lossless else best.bits
        choices.append(_Choice(_mode_of(best), best.mask, bits, best.timeline, best.overlap))
    choices.append(_Choice("device-only", graph.full_mask, whole, device_only.timeline))
    if cloud_jpeg.emittable:
        choices.append(_Choice("cloud-jpeg", 0, BitPlan((), cloud_jpeg.accuracy), cloud_jpeg.timeline))
    fitting = [
        choice
        for choice in choices
        if mode in ("auto", choice.mode)
        and (limits.max_latency_s is None or choice.timeline.latency_s <= limits.max_latency_s)
    ]
    if not fitting:
        raise _infeasible(mode, limits, found, choices, cloud_jpeg)
    chosen = min(fitting, key=lambda c: key(c.timeline, c.mask, objective, c.overlap))
    for choice in fitting:
        period_s, latency_s = choice.timeline.period_s, choice.timeline.latency_s
        near = period_s <= chosen.timeline.period_s * (1 + MIN_GAIN) and latency_s <= chosen.timeline.latency_s
        if choice.mode == "device-only" and near and objective in MONOTONE:
            chosen = choice
    return Plan(
        mode=chosen.mode,
        mask=chosen.mask,
        cut=graph.cut_values(chosen.mask) if chosen.mode in ("split", "cloud-raw") else (),
        bits=chosen.bits,
        timeline=chosen.timeline,
        scheduled_latency_s=chosen.timeline.latency_s - chosen.overlap.saved_s,
        alternatives=alternatives,
        candidates=found.candidates,
        gap=_gap(found, chosen.timeline),
        method=found.method,
        rejected=found.rejected,
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to run the model that could be emitted."""

    mode: str
    mask: int
    bits: BitPlan
    timeline: Timeline
    overlap: Overlap = NO_OVERLAP


def _mode_of(candidate: Candidate) -> str:
    return "split" if candidate.mask else "cloud-raw"


def _gap(found: Found, chosen: Timeline) -> float:
    """How far the best period met can be above the optimum; 0 where that is proven, and for the 1 % rule's ties."""
    split_s = found.best.timeline.period_s if found.best is not None else float("inf")
    return max(min(split_s, chosen.period_s) / found.bound_s - 1.0, 0.0)


def _alternatives(graph: GraphView, costs: Costs, jpeg: JpegCost | None, whole: BitPlan) -> tuple[Alternative, ...]:
    raw = uniform(graph, graph.cut_values(0), RAW_BITS)
    device_only = Alternative(
        "device-only", stage_times(graph, graph.full_mask, (), costs), whole.accuracy, note="the whole model, float"
    )
    cloud_raw = Alternative(
        "cloud-raw", stage_times(graph, 0, raw, costs), None, note="inputs as 8-bit codes, accuracy not measured"
    )
    if jpeg is None:
        inf = float("inf")
        never = Timeline(inf, inf, inf, inf, inf, 0)
        return (
            device_only,
            cloud_raw,
            Alternative("cloud-jpeg", never, None, False, "the model takes no single picture"),
        )
    timeline = jpeg_timeline(jpeg, costs)
    note = jpeg.note
    if jpeg.accuracy is None:
        note += "; not emitted: the samples are arrays, give --calib a folder of images"
    elif not jpeg.keeps_budget:
        note += f"; loses {jpeg.accuracy.loss:.2%} accuracy (bound {jpeg.accuracy.loss_bound:.2%})"
    return device_only, cloud_raw, Alternative("cloud-jpeg", timeline, jpeg.accuracy, jpeg.keeps_budget, note)


def jpeg_timeline(jpeg: JpegCost, costs: Costs) -> Timeline:
    """Stage times of sending a JPEG and running the whole model on the cloud."""
    cloud_s = sum(costs.cloud.seconds) + jpeg.decode_s
    return from_stages(jpeg.encode_s, costs.link.transfer_s(jpeg.size_bytes, 1), cloud_s, jpeg.size_bytes, costs)


def _infeasible(
    mode: str,
    limits: Limits,
    found: Found,
    choices: list[_Choice],
    cloud_jpeg: Alternative,
) -> InfeasibleError:
    shown = [(choice.mode, choice.timeline) for choice in choices if mode in ("auto", choice.mode)]
    closest = found.closest
    if closest is not None and mode in ("auto", _mode_of(closest)):
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
    context = [f"{rejected.what}: {rejected.reason}" for rejected in found.rejected[:5]]
    if mode == "cloud-jpeg":
        context = [cloud_jpeg.note]
    return InfeasibleError(
        f"no {mode} plan keeps the accuracy budget",
        context=context or [f"modes: auto, {', '.join(MODES)}"],
        hint="raise --budget, give more calibration samples, or leave --mode at auto",
    )
