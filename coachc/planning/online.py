"""The online policies of a cut: features and answers of the calibration samples, and what the stages take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.dataset import RANDOM, Mixed
from coachc.calib.exit_rules import Threshold
from coachc.calib.features_and_answers import OnlineTrial
from coachc.calib.online_policy import CutTimes, Online, build
from coachc.core.plan import BitPlan, Quantizer, Way
from coachc.cost.device import CODING_S_PER_BYTE
from coachc.passes.quantizer_nodes import has_feature
from coachc.passes.timeline import wire_bytes
from coachc.planning.calibration import Calibration
from coachc.planning.problem import Problem, Progress, silent
from coachc.runtime.bundle.deflate import coded_size
from coachc.runtime.bundle.manifest_types import Layout
from coachc.runtime.online.feature import join
from coachc.runtime.online.policy import POLICIES, Policy
from coachc.runtime.online.precision import Rung

#: Tasks on which the bytes of each precision are measured.
BYTES_SAMPLES = 16


@dataclass(frozen=True)
class NoPolicy:
    """Why a cut has none."""

    reason: str


def online_policies(
    problem: Problem,
    way: Way,
    calibration: Calibration,
    budget: float,
    progress: Progress = silent,
) -> Online | NoPolicy:
    """Policies of one cut.

    Parameters
    ----------
    problem : Problem
    way : Way
        With its offline precision, ladder and layouts.
    calibration : Calibration
    budget : float
        Admissible accuracy loss of everything together.
    progress : callable
    """
    graph, mask, bits = problem.graph, way.mask, way.bits
    if mask == graph.full_mask:
        return NoPolicy("it sends nothing")
    values = [q.name for q in bits.quantizers if q.packed and has_feature(graph.values[q.name].shape)]
    if not values:
        return NoPolicy("nothing it sends is quantized, so the device half makes no feature")
    if calibration.measured is None or calibration.kind == RANDOM:
        return NoPolicy("it needs calibration samples")
    evaluator = calibration.measured.evaluator(mask)
    if evaluator.trials[0].judge.answers is None:
        return NoPolicy("the model does not classify")
    if (
        graph.values[values[0]].shape[0] != 1
        or len(evaluator.trials[0].judge.answers) != evaluator.trials[0].data.samples
    ):
        return NoPolicy("a task is a batch of several rows, which would have to exit together")
    progress(f"online policy of cut {way.name}", 0, 0)
    ladder = quantizer_rungs(bits)
    rungs = tuple(_rung(problem, evaluator, bits, quantizers) for quantizers in ladder)
    known: dict[tuple[int, int], np.ndarray] = {}

    def changed(trial: int, rung: int) -> np.ndarray:
        if (trial, rung) not in known:
            known[trial, rung] = evaluator.changed(trial, ladder[rung])
        return known[trial, rung]

    trials = [_trial(evaluator, place, values) for place in range(len(evaluator.trials))]
    times = CutTimes(way.timeline.device_s, way.timeline.cloud_s, problem.costs.server_share)
    return build(way.name, trials, rungs, ladder.index(bits.quantizers), changed, times, budget)


def alone_policies(name: str, problem: Problem) -> dict[str, Policy]:
    """The policies of device-only: it sends nothing, so nothing is decided."""
    device_s = sum(problem.costs.device.seconds)
    share = problem.costs.server_share
    return {kind: Policy(kind, name, None, None, (), 0, (), device_s, 0.0, share) for kind in POLICIES}


def policies_of_bundle(
    problem: Problem, online: Mapping[str, Online | NoPolicy], *, alone: bool = True
) -> dict[str, dict[str, Policy]]:
    """The policies of every cut that has any, and device-only's beside them if there is one; none where no cut has."""
    policies = {name: dict(found.policies) for name, found in online.items() if isinstance(found, Online)}
    if policies and alone:
        policies["device-only"] = alone_policies("device-only", problem)
    return policies


def online_json(found: Online | NoPolicy) -> dict[str, Any]:
    """What a bundle and a report say of a cut's policy: `reason` where no score could be tried, or there is none."""
    if isinstance(found, NoPolicy):
        return {"reason": found.reason}
    default = found.policies["default"]
    memory = found.memory
    return {
        **({"reason": found.no_exits} if found.no_exits else {}),
        "score": found.chosen or None,
        "scores": {report.kind: _threshold_json(report.threshold) for report in found.scores},
        "bits": list(default.rungs[default.base].bits),
        "lower_precision": [
            {"bits": list(default.rungs[rung].bits), **_threshold_json(threshold)} for rung, threshold in found.adjust
        ],
        "memory": None
        if memory is None or not np.isfinite(memory.cosine)
        else {"cosine": memory.cosine, "share": memory.share, "bound": memory.bound},
    }


def _threshold_json(threshold: Threshold) -> dict[str, Any]:
    finite = bool(np.isfinite(threshold.score))
    return {
        "threshold": threshold.score if finite else None,
        "share": threshold.share,
        "loss_bound": threshold.bound,
        "samples_missing": threshold.units_missing,
    }


def quantizer_rungs(bits: BitPlan) -> list[tuple[Quantizer, ...]]:
    """Precisions of a cut by rising bits: the plan's own, and every value that many bits up or down, where it can."""
    ladders = bits.ladder or tuple((q,) if q.packed else () for q in bits.quantizers)
    rungs: list[tuple[Quantizer, ...]] = []
    for step in range(-8, 9):
        chosen = []
        for quantizer, levels in zip(bits.quantizers, ladders, strict=True):
            if not levels:
                chosen.append(quantizer)
                continue
            place = levels.index(quantizer) + step
            chosen.append(levels[min(max(place, 0), len(levels) - 1)])
        if tuple(chosen) not in rungs:
            rungs.append(tuple(chosen))
    return rungs


def _rung(problem: Problem, evaluator: CutEvaluator, bits: BitPlan, quantizers: tuple[Quantizer, ...]) -> Rung:
    """Bits, measured bytes and coding time of one precision."""
    layouts = bits.layouts or (Layout(),) * len(quantizers)
    size, coding_s = 0.0, 0.0
    codes = evaluator.codes(quantizers, BYTES_SAMPLES)
    packed = sum(wire_bytes(problem.graph.values[q.name], q) for q in quantizers)
    for place, (quantizer, layout, arrays) in enumerate(zip(quantizers, layouts, codes, strict=True)):
        if quantizer.packed:
            size += float(np.mean([coded_size(array, quantizer.bits, layout) for array in arrays]))
        else:
            size += evaluator.raw_bytes(place)
    if any(layout.coding != "none" for layout in layouts):
        coding_s = packed * CODING_S_PER_BYTE
    return Rung(tuple(q.bits for q in quantizers), size, coding_s)


def _trial(evaluator: CutEvaluator, place: int, values: list[str]) -> OnlineTrial:
    trial = evaluator.trials[place]
    data = trial.data.data if isinstance(trial.data, Mixed) else trial.data
    answers = trial.judge.answers
    assert answers is not None
    count = len(answers)
    order = np.arange(count)
    groups = data.groups
    return OnlineTrial(
        features=join(evaluator.pooled(place, values)),
        answers=answers,
        labels=trial.judge.labels,
        units=order if groups is None else groups[:count],
        order=order if data.positions is None else data.positions[:count],
        streams=groups is not None,
    )
