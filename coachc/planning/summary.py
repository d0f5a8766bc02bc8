"""A plan as JSON: what `coachc compile --json` prints and what the bundle's manifest keeps."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

from coachc.calib.refine import Refined
from coachc.core.cut_set import CutSet
from coachc.core.graph import GraphView
from coachc.core.plan import Accuracy, Plan, Timeline
from coachc.core.power import Power
from coachc.core.profile import Profile
from coachc.passes.cost_lines import CostLine, cost_lines
from coachc.passes.energy import joules
from coachc.passes.half_memory import half_memory
from coachc.passes.strategy import Strategy, saturated
from coachc.passes.timeline import Costs, wire_bytes
from coachc.planning.calibration import Calibration
from coachc.planning.explain import Explanation, Option
from coachc.planning.make_plan import Planned
from coachc.planning.problem import Problem, Setting
from coachc.planning.stakes import stakes
from coachc.runtime.bundle.manifest_types import Layout


def setting_json(setting: Setting, problem: Problem) -> dict[str, Any]:
    """The model, both sides with where their times come from, and the link with where it comes from."""
    model, costs = problem.model, problem.costs
    return {
        "model": {"name": model.name, "sha256": model.sha256, "opset": model.opset},
        "device": side_json(setting.device.name, costs.device),
        "cloud": side_json(setting.cloud.name, costs.cloud),
        "link": dataclasses.asdict(costs.link),
        "workers": setting.workers,
        "devices": setting.devices,
    }


def side_json(target: str, profile: Profile) -> dict[str, Any]:
    """A target, and where its times come from."""
    provenance = profile.provenance
    return {
        "target": target,
        "precision": profile.precision,
        "kind": provenance.kind,
        "band": provenance.band,
        "source": provenance.source,
    }


def planned_json(
    problem: Problem,
    planned: Planned,
    calibration: Calibration,
    explanation: Explanation,
    mixture: Strategy | None = None,
    power: Power | None = None,
) -> dict[str, Any]:
    """`plan`, `stakes`, `alternatives`, `accuracy`, `calibration`, `rejected`, `costs`, `memory`, `explanation` ...

    Where there are any `mixture` and `cut_set` too.

    Parameters
    ----------
    problem : Problem
    planned : Planned
    calibration : Calibration
    explanation : Explanation
    mixture : Strategy or None
        None where none was asked for.
    power : Power or None
        Of the device, where it is stated.
    """
    graph, costs, plan = problem.graph, problem.costs, planned.plan
    way, quantizers = plan.way, plan.way.bits.quantizers
    won = stakes(plan, planned.found, costs)
    layouts = way.bits.layouts or (Layout(),) * len(quantizers)
    return {
        "plan": {
            "mode": way.mode,
            **timeline_json(way.timeline),
            "scheduled_latency_s": way.scheduled_latency_s,
            "bytes": way.timeline.payload_bytes,
            "packed_bytes": sum(wire_bytes(graph.values[q.name], q) for q in quantizers),
            "cut": [
                {
                    "value": q.name,
                    "shape": list(graph.values[q.name].shape),
                    "bits": q.bits,
                    "codec": q.codec,
                    "ranges": len(q.scale),
                    "coding": layout.coding,
                }
                for q, layout in zip(quantizers, layouts, strict=True)
            ],
            "gap": plan.gap,
            "candidates": plan.candidates,
            "search": plan.method,
            "device_operators": way.mask.bit_count(),
            "operators": len(graph.nodes),
        },
        "alternatives": {
            mode.replace("-", "_"): {
                **timeline_json(alternative.way.timeline),
                "bytes": alternative.way.timeline.payload_bytes,
                "emittable": alternative.emittable,
                "barrier": alternative.barrier,
                "note": alternative.note,
            }
            for mode, alternative in plan.alternatives.items()
        },
        "accuracy": accuracy_json(way.bits.accuracy),
        "calibration": {"random": "UNCALIBRATED", "none": "none"}.get(calibration.kind, "calibrated"),
        "rejected": [{"what": r.what, "reason": r.reason} for r in plan.rejected],
        "costs": [dataclasses.asdict(line) for line in (*_before(calibration), *cost_lines(graph, way, costs))],
        "memory": memory_json(graph, way.mask, costs),
        "energy": None if power is None else energy_json(plan, power),
        "explanation": explanation_json(explanation),
        "sensitivities": _sensitivities_json(planned.refined),
        "stakes": None if won is None else won.to_json(),
        **({"mixture": mixture_json(costs, plan, mixture)} if mixture is not None else {}),
        **({"cut_set": cut_set_json(graph, planned.cut_set)} if planned.cut_set is not None else {}),
    }


def _before(calibration: Calibration) -> list[CostLine]:
    """What a task's pictures take before the device half, which no profile knows."""
    if calibration.data is None or calibration.data.picture_s is None:
        return []
    note = "this machine's time, in no stage and no latency"
    return [CostLine("before", "decode and preprocess a picture", calibration.data.picture_s, note)]


def memory_json(graph: GraphView, mask: int, costs: Costs) -> dict[str, dict[str, int]]:
    """Weights and activations of each half, in bytes."""
    return {
        side: dataclasses.asdict(half_memory(graph, mask, profile.element_bytes, device=side == "device"))
        for side, profile in (("device", costs.device), ("cloud", costs.cloud))
    }


def energy_json(plan: Plan, power: Power) -> dict[str, Any]:
    """Joules a task takes of the device, in the plan and in the ways not to split, and what that rests on."""
    others = {
        mode: one.way.timeline for mode, one in plan.alternatives.items() if math.isfinite(one.way.timeline.period_s)
    }
    return {
        "joules": joules(plan.way.timeline, power),
        "alternatives": {mode.replace("-", "_"): joules(timeline, power) for mode, timeline in others.items()},
        "kind": power.provenance.kind,
        "source": power.provenance.source,
    }


def cut_set_json(graph: GraphView, cut_set: CutSet) -> dict[str, Any]:
    """The cuts of a bundle for a range of bandwidths, in bytes a second; times are those at the middle of the range."""
    return {
        "low_bytes_per_s": cut_set.low_bytes_per_s,
        "high_bytes_per_s": cut_set.high_bytes_per_s,
        "grid_bytes_per_s": list(cut_set.grid),
        "chosen": cut_set.chosen,
        "worst_ratio": cut_set.worst,
        "mean_ratio": cut_set.mean,
        "cuts": [
            {
                "name": cut.way.name,
                "mode": cut.way.mode,
                "best_between_bytes_per_s": [list(interval) for interval in cut.best_between],
                "cut": [{"value": q.name, "bits": q.bits, "codec": q.codec} for q in cut.way.bits.quantizers],
                "device_operators": cut.way.mask.bit_count(),
                "operators": len(graph.nodes),
                "bytes": cut.way.timeline.payload_bytes,
                **timeline_json(cut.way.timeline),
                "accuracy": accuracy_json(cut.way.bits.accuracy),
            }
            for cut in cut_set.cuts
        ],
    }


def timeline_json(timeline: Timeline) -> dict[str, float | None]:
    """Stage times in seconds; None where the alternative does not exist."""
    seconds = {
        "period_s": timeline.period_s,
        "latency_s": timeline.latency_s,
        "device_s": timeline.device_s,
        "link_s": timeline.link_s,
        "cloud_s": timeline.cloud_s,
    }
    return {name: value if math.isfinite(value) else None for name, value in seconds.items()}


def _sensitivities_json(refined: Refined | None) -> list[dict[str, Any]]:
    """Each value at each number of bits: what rounding it alone does to the outputs."""
    return [dataclasses.asdict(one) for one in refined.sensitivities] if refined is not None else []


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Runners-up, regions and moves of the cut; bandwidths in bytes a second, null for no upper end."""
    return {
        "runners_up": [
            {**_option_json(option), **timeline_json(option.way.timeline), "bytes": option.way.timeline.payload_bytes}
            for option in explanation.runners_up
        ],
        "regions": [
            {
                "first": region.first,
                "last": region.last,
                "partitions": region.partitions,
                "binds": region.binds,
                "least_period_s": region.least_period_s,
            }
            for region in explanation.regions
        ],
        "moves": [
            {
                **_option_json(move.option),
                "low_bytes_per_s": move.low_bytes_per_s,
                "high_bytes_per_s": move.high_bytes_per_s if math.isfinite(move.high_bytes_per_s) else None,
            }
            for move in explanation.moves
        ],
    }


def _option_json(option: Option) -> dict[str, Any]:
    return {
        "mode": option.way.mode,
        "cut": list(option.way.cut),
        "bits": option.way.bits.fewest,
        "bits_known": option.known,
        "binds": option.binds,
        "reason": option.reason,
    }


def mixture_json(costs: Costs, plan: Plan, mixture: Strategy) -> dict[str, Any]:
    """A mixture of cuts, what it gains over the plan, and the period its simulation has."""
    period_s = mixture.period_s(costs.server_share)
    return {
        "period_s": period_s,
        "gain": 1.0 - period_s / plan.way.timeline.period_s,
        "simulated_period_s": saturated(mixture, costs).steady_period_s * costs.devices,
        "parts": [
            {
                "share": one.share,
                "cut": [{"value": q.name, "bits": q.bits} for q in one.way.bits.quantizers],
                "device_operators": one.way.mask.bit_count(),
                **timeline_json(one.way.timeline),
            }
            for one in mixture.parts
        ],
        "note": mixture.note,
    }


def accuracy_json(accuracy: Accuracy | None) -> Mapping[str, Any] | None:
    """Accuracy with what it was measured against and how sure it is."""
    if accuracy is None:
        return None
    return {
        "float": accuracy.whole,
        "split": accuracy.split,
        "samples": accuracy.samples,
        "kind": accuracy.kind,
        "loss": accuracy.loss,
        "loss_bound_95": accuracy.loss_bound,
        "certified": accuracy.certified,
        "kept_back": accuracy.kept_back,
        "longest_clip": accuracy.clip,
        "samples_needed": accuracy.needed,
        "worst_output": accuracy.worst or None,
        "figures": {name: {"whole": whole, "split": split} for name, whole, split in accuracy.figures},
        "resampled_bound_95": accuracy.resampled_bound,
    }


def judged_json(calibration: Calibration, yardsticks: Mapping[str, float | str]) -> dict[str, Any]:
    """What is judged, why, what of it may be lost, and what other precisions lose."""
    judged = calibration.judged
    assert judged is not None
    return {
        "task": judged.task,
        "reason": judged.reason,
        "metric": {"function": os.path.basename(judged.metric), "sha256": judged.sha256} if judged.metric else None,
        "budget": calibration.budget,
        "yardsticks": dict(yardsticks),
    }
