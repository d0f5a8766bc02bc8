"""The online policies of a cut: features and answers of the calibration samples, and what the stages take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coachc.calib.certificate import LEVEL
from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.dataset import RANDOM
from coachc.calib.judges import ClassJudge
from coachc.calib.online.online_policy import CutTimes, Online, Part, build
from coachc.calib.online.policy_losses import Sent
from coachc.calib.online.policy_proof import ProvenPolicy
from coachc.core.plan import BitPlan, Quantizer, Way
from coachc.core.progress import Progress, silent
from coachc.cost.link import CODING_S_PER_BYTE
from coachc.passes.quantizer_nodes import has_feature
from coachc.passes.timeline import header_bytes, wire_bytes
from coachc.planning.calibration import Calibration
from coachc.planning.problem import Problem
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


def why_no_policy(problem: Problem, way: Way, calibration: Calibration) -> str:
    """Why a cut has no online policy; empty where it has one."""
    graph, mask, bits = problem.graph, way.mask, way.bits
    if mask == graph.full_mask:
        return "it sends nothing"
    if calibration.measured is None or calibration.kind == RANDOM:
        return "it needs calibration samples"
    trial = calibration.measured.trial
    if not isinstance(trial.judge, ClassJudge):
        what = {"segment": "masks", "detect": "boxes"}.get(trial.judge.task, "outputs")
        return f"{what} are judged, not a class that the device could answer with"
    if not feature_values(problem, bits):
        return "nothing it sends is quantized, so the device half makes no feature"
    if len(trial.judge.answers) != trial.data.samples or graph.values[feature_values(problem, bits)[0]].shape[0] != 1:
        return "a task is a batch of several rows, which would have to exit together"
    return ""


def feature_values(problem: Problem, bits: BitPlan) -> list[str]:
    """Values of a cut that the device half makes features of."""
    return [q.name for q in bits.quantizers if q.packed and has_feature(problem.graph.values[q.name].shape)]


def online_policies(
    problem: Problem,
    way: Way,
    evaluator: CutEvaluator,
    *,
    level: float = LEVEL,
    progress: Progress = silent,
) -> tuple[Online, ProvenPolicy | None]:
    """Policies of one cut that has some (`why_no_policy`), and what is proven of its precision and of them.

    Parameters
    ----------
    problem : Problem
    way : Way
        With its offline precision, ladder and layouts.
    evaluator : CutEvaluator
    level : float
        Of this cut's promise.
    progress : callable
    """
    progress(f"online policy of cut {way.name}", 0, 0)
    bits, division = way.bits, evaluator.trial.division
    ladder, values = quantizer_rungs(bits), feature_values(problem, bits)
    rungs = tuple(_rung(problem, evaluator, bits, quantizers) for quantizers in ladder)
    times = CutTimes(way.timeline.device_s, way.timeline.cloud_s, problem.costs.server_share)
    return build(
        way.name,
        _part(evaluator, ladder, values, kept=False),
        _part(evaluator, ladder, values, kept=True) if division.proves else None,
        rungs,
        ladder.index(bits.quantizers),
        times,
        evaluator.budget,
        level,
        missing=division.missing,
    )


def _part(evaluator: CutEvaluator, ladder: list[tuple[Quantizer, ...]], values: list[str], *, kept: bool) -> Part:
    trial = evaluator.trial
    judge, division, data = trial.judge, trial.division, trial.data
    assert isinstance(judge, ClassJudge)
    places = trial.kept if kept else trial.seen
    order = None
    if data.groups is not None:
        positions = places if data.positions is None else data.positions[places]
        order = np.argsort(positions, kind="stable")
    answers = judge.answers[places]
    sent = Sent(
        lambda rung: evaluator.losses(ladder[rung], kept=kept)[:, 0],
        len(ladder),
        division.units[places],
        division.longest,
    )
    truth = answers if judge.labels is None else judge.labels[places]
    return Part(
        join(evaluator.pooled(values, kept=kept)), answers, truth, sent, order,
        lambda rung: np.array(evaluator.answers(ladder[rung], kept=kept))[:, 0],
    )  # fmt: skip


def named(found: Online | NoPolicy, cut: str) -> Online | NoPolicy:
    """The same policies under a cut's name in its bundle."""
    if isinstance(found, NoPolicy):
        return found
    policies = {kind: policy._replace(cut=cut) for kind, policy in found.policies.items()}
    return dataclasses.replace(found, policies=policies)


def alone_policies(name: str, problem: Problem) -> dict[str, Policy]:
    """The policies of device-only: it sends nothing, so nothing is decided."""
    device_s = sum(problem.costs.device.seconds) + problem.costs.device.program_s
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
    default, setting = found.policies["default"], found.setting
    exits = np.isfinite(setting.exits)
    return {
        **({"reason": found.no_exits} if found.no_exits else {}),
        "score": found.chosen.kind if exits else None,
        "threshold": setting.exits if exits else None,
        "share": found.exit_share,
        "scores": {kind: {"share": share} for kind, share in found.chosen.shares.items()},
        "samples_missing": found.missing,
        "loss_bound": None if found.proof is None else found.proof.bound,
        "bits": list(default.rungs[default.base].bits),
        "lower_precision": [
            {"bits": list(default.rungs[rung].bits), "threshold": score, "share": share}
            for (rung, score), share in zip(setting.lower, found.lower_shares, strict=True)
        ],
        "memory": {"cosine": setting.cosine, "share": found.memory_share} if np.isfinite(setting.cosine) else None,
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
    headers = problem.costs.link.request_bytes
    headers += sum(header_bytes(problem.graph.values[q.name], q) for q in quantizers)
    return Rung(tuple(q.bits for q in quantizers), size, coding_s, headers)
