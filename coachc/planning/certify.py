"""What a cut loses, proven: the kept-back samples are looked at once, for the cuts that a bundle will hold.

Everything before chose on the samples that are seen. Of several cuts each gets its part of the one level, so that what
is promised of all of them together errs with no more than it.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

from coachc.calib.certificate import LEVEL, UnitLosses, units_needed
from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.dataset import RANDOM
from coachc.calib.jpeg import JpegCost, jpeg_step
from coachc.calib.metric_judge import MetricJudge, Together
from coachc.calib.online.online_policy import Online
from coachc.calib.precision_chooser import measured_accuracy
from coachc.calib.precision_proof import prove_precision
from coachc.calib.proof import Proof, walk
from coachc.calib.reference_answers import Trial
from coachc.calib.refine import layouts_of
from coachc.core.plan import Accuracy, BitPlan, Quantizer, Way
from coachc.core.progress import Progress, silent
from coachc.passes.partition import costed
from coachc.planning.calibration import Calibration
from coachc.planning.online import NoPolicy, online_policies, quantizer_rungs, why_no_policy
from coachc.planning.precisions import where_it_pays
from coachc.planning.problem import Problem


@dataclass(frozen=True)
class Certified:
    """A cut with the precision that is proven, or one bit more than was to be, and its online policies."""

    way: Way
    online: Online | NoPolicy


def certify(
    problem: Problem,
    way: Way,
    calibration: Calibration,
    *,
    cuts: int = 1,
    progress: Progress = silent,
) -> Certified:
    """Prove what a way loses; what sends its tensors as they are, or nothing, loses nothing.

    Parameters
    ----------
    problem : Problem
    way : Way
        Its precision refined, with its ladder.
    calibration : Calibration
    cuts : int
        That share the level.
    progress : callable
    """
    reason = why_no_policy(problem, way, calibration)
    if calibration.measured is None or calibration.kind == RANDOM or not way.bits.packed:
        return Certified(way, NoPolicy(reason))
    evaluator = calibration.measured.evaluator(way.mask)
    progress("proving what is lost", 0, 0)
    if not reason:
        online, proven = online_policies(problem, way, evaluator, level=LEVEL / cuts, progress=progress)
        precision, proof = (None, None) if proven is None else (proven.precision, proven.proof)
        bits = _at(problem, way, evaluator, precision, proof)
        return Certified(_recosted(problem, way, bits), online)
    if not evaluator.trial.division.proves:
        return Certified(_recosted(problem, way, _at(problem, way, evaluator, None, None)), NoPolicy(reason))
    ladder = quantizer_rungs(way.bits)

    @functools.cache  # drawing samples again takes seconds
    def together(quantizers: tuple[Quantizer, ...]) -> Together | None:
        return _together(evaluator, quantizers, LEVEL / cuts)

    def keeps_together(quantizers: tuple[Quantizer, ...]) -> bool:
        found = together(quantizers)
        return found is None or found.loss_bound is None or found.loss_bound <= evaluator.budget

    base = ladder.index(way.bits.quantizers)
    rung, proof = prove_precision(evaluator, ladder, base, LEVEL / cuts, keeps_together)
    bits = _with_figures(_at(problem, way, evaluator, rung, proof), together(ladder[rung]))
    return Certified(_recosted(problem, way, bits), NoPolicy(reason))


def certify_jpeg(problem: Problem, calibration: Calibration, *, cuts: int = 1) -> JpegCost | None:
    """What JPEGs lose, proven as a cut's loss is."""
    jpeg, trial = calibration.jpeg, calibration.trial
    if jpeg is None or jpeg.lost is None or trial is None or not trial.division.proves:
        return jpeg
    step = jpeg_step(problem.model.proto, problem.model.values[problem.model.inputs[0]], trial, jpeg.lost)
    proof = walk([step], calibration.budget, LEVEL / cuts)
    accuracy = _proven(measured_accuracy(trial, step.kept(), kept=True), trial, proof)
    return dataclasses.replace(jpeg, accuracy=accuracy, keeps_budget=accuracy.certified)


def _at(problem: Problem, way: Way, evaluator: CutEvaluator, rung: int | None, proof: Proof | None) -> BitPlan:
    """The cut at a precision of its ladder with what is known of its loss; its own where nothing was kept back."""
    bits = way.bits
    quantizers = bits.quantizers if rung is None else quantizer_rungs(bits)[rung]
    if quantizers != bits.quantizers:
        layouts, size = layouts_of(evaluator, quantizers)
        bits = dataclasses.replace(bits, quantizers=quantizers, layouts=layouts, coded_bytes=size)
        bits = where_it_pays(bits, problem)
    seen = evaluator.by_unit(evaluator.losses(quantizers))
    if proof is None:
        accuracy = measured_accuracy(evaluator.trial, seen, kept=False)
        return dataclasses.replace(bits, accuracy=_needing(accuracy, evaluator, seen))
    kept = evaluator.by_unit(evaluator.losses(quantizers, kept=True), kept=True)
    accuracy = _proven(measured_accuracy(evaluator.trial, kept, kept=True), evaluator.trial, proof)
    return dataclasses.replace(bits, accuracy=_needing(accuracy, evaluator, seen + kept))


def _with_figures(bits: BitPlan, together: Together | None) -> BitPlan:
    """With what the samples kept back show together."""
    if together is None or bits.accuracy is None:
        return bits
    figures = tuple((name, whole, together.split[name]) for name, whole in together.whole.items())
    accuracy = dataclasses.replace(bits.accuracy, figures=figures, resampled_bound=together.loss_bound)
    return dataclasses.replace(bits, accuracy=accuracy)


def _together(evaluator: CutEvaluator, quantizers: tuple[Quantizer, ...], level: float) -> Together | None:
    """What the samples kept back show together, where that is more than the mean of their losses."""
    trial = evaluator.trial
    if not isinstance(trial.judge, MetricJudge):
        return None
    units = trial.division.units[trial.kept]
    return trial.judge.together(trial.kept, evaluator.answers(quantizers, kept=True), units, level)


def _proven(accuracy: Accuracy, trial: Trial, proof: Proof) -> Accuracy:
    return dataclasses.replace(
        accuracy,
        loss_bound=proof.bound,
        certified=proof.steps > 0,
        kept_back=len(trial.kept),
        clip=trial.division.longest,
    )


def _needing(accuracy: Accuracy, evaluator: CutEvaluator, lost: UnitLosses) -> Accuracy:
    """With how many samples would do, where these do not."""
    if accuracy.certified:
        return accuracy
    needed = units_needed(lost, evaluator.budget)
    samples = None if needed is None else evaluator.trial.division.samples_for(needed)
    return dataclasses.replace(accuracy, needed=samples, clip=evaluator.trial.division.longest)


def _recosted(problem: Problem, way: Way, bits: BitPlan) -> Way:
    """The way with these bits, timed anew where they are others."""
    if bits.quantizers == way.bits.quantizers:
        return dataclasses.replace(way, bits=bits)
    return dataclasses.replace(costed(problem.graph, way.mask, bits, problem.costs), name=way.name)
