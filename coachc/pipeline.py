"""From an ONNX file to a bundle: every stage in order, on one screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from coachc.calib.data_report import DataReport
from coachc.calib.dataset import RANDOM
from coachc.calib.measurements import Measurements
from coachc.calib.online_policy import Online
from coachc.calib.refine import Refined
from coachc.core.plan import MAX_BITS, Plan
from coachc.emit import bundle_writer
from coachc.emit.cuts import emit_cuts
from coachc.emit.half_precision import HalfPrecisionModel, half_precision_models
from coachc.emit.lowering import Lowering
from coachc.emit.rtx import RtxEngine, check_rtx, rtx_engines
from coachc.emit.two_halves import MODEL_PATH, Way
from coachc.frontend.model import Model
from coachc.passes.mixture import search_mixture
from coachc.passes.partition import Found, Limits
from coachc.passes.strategy import Strategy
from coachc.planning.bandwidth_range import CutSet, plan_cuts
from coachc.planning.calibration import open_calibration
from coachc.planning.explain import explain
from coachc.planning.make_plan import make_plan
from coachc.planning.online import NoPolicy, alone_policies, online_json, online_policies
from coachc.planning.problem import Problem, Progress, Setting, load_problem, silent
from coachc.planning.summary import cut_set_json, plan_json, setting_json
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.store import Bundle, check_destination

#: Of the file of measurements beside a bundle that is being made.
PARTIAL_SUFFIX = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions(Setting):
    """What a user asks of `coachc compile`, in seconds, bytes and fractions.

    Attributes
    ----------
    output : str
        Path.
    calib : str
        Path or "random".
    preprocess : callable or None
        Model input -> how images become it.
    budget : float
        Admissible accuracy loss, a fraction.
    max_latency_s : float or None
    max_samples : int
    mode : str
        "auto", or the only mode to consider.
    objective : str
        One of `passes.objective.OBJECTIVES`.
    search : str
        How candidates are found, one of `passes.candidates.auto.METHODS`, or "auto".
    mix : bool
        Whether to plan a mixture of cuts beside the plan.
    bandwidths : (float, float) or None
        A range in bytes a second for which the bundle gets several cuts; the link's bandwidth is its geometric middle.
    engine : {"onnx", "trt", "rtx"}
        trt: what strongly typed TensorRT builds on the target, too: half precision written into the graphs. rtx: the
        cloud half also as an engine of TensorRT-RTX, built for the cloud's GPU.
    revision : int
        Of the bundle among those installed one after the other.
    force : bool
    """

    output: str
    calib: str
    preprocess: Callable[[Model], Preprocess | None] = lambda model: None
    budget: float = 0.005
    max_latency_s: float | None = None
    max_samples: int = 2000
    mode: str = "auto"
    objective: str = "exact"
    search: str = "auto"
    mix: bool = False
    bandwidths: tuple[float, float] | None = None
    engine: str = "onnx"
    revision: int = 0
    force: bool = False


@dataclass(frozen=True)
class Compiled:
    """What `compile_model` leaves: the bundle and everything that led to it.

    `refined` is None where no precision was refined, `mixture` unless it was asked for and one keeps limits and
    accuracy; `data` on noise; `cut_set` for a single bandwidth. `online` has what was learnt of each cut's online
    policies, or why it has none. `lowerings` says what was rewritten of each artefact for its target; `models` has the
    artefacts themselves, by path.
    """

    bundle: Bundle
    models: Mapping[str, onnx.ModelProto]
    problem: Problem
    found: Found
    plan: Plan
    refined: Refined | None
    mixture: Strategy | None
    summary: Mapping[str, Any]
    preprocess: Preprocess | None
    data: DataReport | None
    cut_set: CutSet | None = None
    online: Mapping[str, Online | NoPolicy] = field(default_factory=dict)
    lowerings: tuple[Lowering, ...] = ()


def compile_model(options: CompileOptions, progress: Progress = silent) -> Compiled:
    """Compile a model into a bundle.

    Parameters
    ----------
    options : CompileOptions
    progress : callable

    Returns
    -------
    Compiled

    Raises
    ------
    coachc.errors.CoachError, runtime.errors.CoachRuntimeError
        Bad input of any kind; nothing is written then.
    """
    check_destination(options.output, options.force)
    if options.engine == "rtx":
        check_rtx(options.cloud)
    problem = load_problem(options, progress)
    model, graph, costs = problem.model, problem.graph, problem.costs

    preprocess = options.preprocess(model)
    # What is measured is kept beside the bundle until it is written, so that a run that was stopped goes on.
    store = Measurements(f"{options.output.rstrip('/')}{PARTIAL_SUFFIX}")
    if store.resumed:
        progress(f"going on with {store.resumed} measurements of a run that was stopped", 0, 0)
    calibration = open_calibration(
        problem,
        options.calib,
        preprocess,
        max_samples=options.max_samples,
        budget=options.budget,
        progress=progress,
        store=store,
    )
    limits = Limits(options.max_latency_s, options.device.memory_bytes or None)
    cut_set = None
    mode, objective, method = options.mode, options.objective, options.search
    if options.bandwidths is None:
        planned = make_plan(
            problem,
            calibration,
            limits,
            mode=mode,
            objective=objective,
            method=method,
            refined=True,
            progress=progress,
        )
    else:
        planned, cut_set = plan_cuts(
            problem,
            calibration,
            limits,
            options.bandwidths,
            mode=mode,
            objective=objective,
            method=method,
            progress=progress,
        )
    plan, masks, precision = planned.plan, planned.candidates.masks, calibration.precision
    packed = any(quantizer.codec == "packed" for quantizer in plan.bits.quantizers)
    if calibration.kind == RANDOM and packed and calibration.measured is not None and cut_set is None:
        plan = dataclasses.replace(plan, bits=calibration.measured.evaluator(plan.mask).at(MAX_BITS))
    mixture = search_mixture(graph, costs, masks, precision, limits=limits) if options.mix else None
    explanation = explain(problem, plan, masks, precision=precision, limits=limits, mode=options.mode)

    ways = _ways(plan, cut_set)
    online = {
        way.name: online_policies(problem, way.name, way.mask, way.bits, calibration, options.budget, progress)
        for way in ways
    }
    policies = {name: found.policies for name, found in online.items() if isinstance(found, Online)}
    if policies:
        policies["device-only"] = alone_policies("device-only", problem)

    progress("emit", 0, 0)
    emitted = emit_cuts(model, graph, ways, options.device, options.cloud, observers=options.observers)
    sides = {"device": (options.device, costs.device), "cloud": (options.cloud, costs.cloud)}
    models = {MODEL_PATH: model.proto, **emitted.models}
    engines: tuple[RtxEngine, ...] = ()
    half_precision: tuple[HalfPrecisionModel, ...] = ()
    if options.engine == "rtx":
        progress("engine", 0, 0)
        engines = rtx_engines(models, emitted.cuts, options.cloud, costs.cloud.precision)
    elif options.engine == "trt":
        progress("half precision", 0, 0)
        typed = {side: (spec, profile.precision) for side, (spec, profile) in sides.items()}
        half_precision = half_precision_models(models, emitted.cuts, typed)
    summary = {
        **setting_json(options, problem),
        **plan_json(graph, costs, plan, calibration.kind, explanation, mixture, planned.refined),
        **({"cut_set": cut_set_json(graph, cut_set)} if cut_set is not None else {}),
        "online": {name: online_json(found) for name, found in online.items()},
        "lowered": [lowering.to_json() for lowering in emitted.lowerings],
    }
    bundle = bundle_writer.write(
        options.output,
        model,
        emitted,
        chosen=cut_set.chosen if cut_set is not None else "",
        sides=sides,
        link=options.link,
        bandwidths=options.bandwidths,
        calibrated=calibration.kind != RANDOM,
        preprocess=preprocess,
        summary=summary,
        policies=policies,
        revision=options.revision,
        engines=engines,
        half_precision=half_precision,
        force=options.force,
    )
    store.discard()
    return Compiled(
        bundle,
        {**models, **{half.facts.path: half.model for half in half_precision}},
        problem,
        planned.found,
        plan,
        planned.refined,
        mixture,
        summary,
        preprocess,
        calibration.data,
        cut_set,
        online,
        emitted.lowerings,
    )


def _ways(plan: Plan, cut_set: CutSet | None) -> list[Way]:
    """What is emitted beside device-only."""
    if cut_set is not None:
        return [Way(cut.name, cut.mode, cut.mask, cut.bits) for cut in cut_set.cuts if cut.mode != "device-only"]
    return [] if plan.mode == "device-only" else [Way(plan.mode, plan.mode, plan.mask, plan.bits)]
