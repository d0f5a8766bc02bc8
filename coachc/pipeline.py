"""From an ONNX file to a bundle: every stage in order, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from coachc.calib.data_report import DataReport
from coachc.calib.dataset import RANDOM
from coachc.calib.find_task import Reading
from coachc.calib.measurements import Measurements
from coachc.calib.online.online_policy import Online
from coachc.core.progress import Progress, silent
from coachc.emit import bundle_writer
from coachc.emit.half_precision import HalfPrecisionModel, half_precision_models
from coachc.emit.lowering import Lowering
from coachc.emit.open_batches import open_batches
from coachc.emit.rtx import RtxEngine, check_rtx, rtx_engines
from coachc.emit.two_halves import MODEL_PATH, Emitted
from coachc.frontend.model import Model
from coachc.passes.mixture import search_mixture
from coachc.passes.strategy import Strategy
from coachc.planning.calibration import open_calibration
from coachc.planning.emit_plan import emit_plan
from coachc.planning.explain import explain
from coachc.planning.make_plan import Planned
from coachc.planning.online import NoPolicy, online_json, policies_of_bundle
from coachc.planning.output_yardsticks import output_yardsticks
from coachc.planning.plan_bundle import plan_bundle
from coachc.planning.problem import Problem, Setting, limits_of, load_problem
from coachc.planning.summary import judged_json, planned_json, setting_json
from coachc.runtime.bundle.destination import check_destination
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.store import Bundle

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
    budget : float or None
        Admissible loss, a fraction; None: the default of what is judged.
    task : str or None
        What is judged, one of `runtime.bundle.manifest_types.TASKS`; None: what is certain.
    decode : Reading or None
        How outputs are read as boxes or masks; None: as their shapes say.
    truth : str or None
        Annotations of the samples' pictures: a COCO file, or a folder of masks.
    metric : str or None
        A function of the user's that scores samples, "file.py:function".
    max_latency_s : float or None
    max_joules : float or None
        Of the device for one task.
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
    max_batch : int
        Most tasks in one run; more than 1 leaves the halves' first axis open, where it can be.
    revision : int
        Of the bundle among those installed one after the other.
    force : bool
    warn : callable
        Told what looks wrong with the samples as soon as that is known.
    """

    output: str
    calib: str
    preprocess: Callable[[Model], Preprocess | None] = lambda model: None
    budget: float | None = None
    task: str | None = None
    decode: Reading | None = None
    truth: str | None = None
    metric: str | None = None
    max_latency_s: float | None = None
    max_joules: float | None = None
    max_samples: int = 2000
    mode: str = "auto"
    objective: str = "exact"
    search: str = "auto"
    mix: bool = False
    bandwidths: tuple[float, float] | None = None
    engine: str = "onnx"
    max_batch: int = 1
    revision: int = 0
    force: bool = False
    warn: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Compiled:
    """What `compile_model` leaves: the bundle and everything that led to it.

    `mixture` is None unless it was asked for and one keeps limits and accuracy, `data` on noise. `online` has what was
    learnt of each cut's online policies, or why it has none. `lowerings` says what was rewritten of each artefact for
    its target; `models` has the artefacts themselves, by path.
    """

    bundle: Bundle
    models: Mapping[str, onnx.ModelProto]
    problem: Problem
    planned: Planned
    mixture: Strategy | None
    summary: Mapping[str, Any]
    preprocess: Preprocess | None
    data: DataReport | None
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
    preprocess = options.preprocess(problem.model)
    store = _measurements(options, progress)
    calibration = open_calibration(
        problem,
        options.calib,
        preprocess,
        max_samples=options.max_samples,
        budget=options.budget,
        task=options.task,
        decode=options.decode,
        truth=options.truth,
        metric=options.metric,
        progress=progress,
        warn=options.warn,
        store=store,
    )
    limits = limits_of(options, problem, options.max_latency_s, options.max_joules)
    planned, emitted = emit_plan(
        options,
        problem,
        limits,
        lambda limits: plan_bundle(
            problem,
            calibration,
            limits,
            options.bandwidths,
            mode=options.mode,
            objective=options.objective,
            method=options.search,
            progress=progress,
        ),
    )
    masks, precision = planned.candidates.masks, calibration.precision
    mixture = search_mixture(problem.graph, problem.costs, masks, precision, limits=limits) if options.mix else None
    explanation = explain(problem, planned.plan, masks, precision=precision, limits=limits, mode=options.mode)
    online = {way.name: planned.online[way.name] for way in planned.ways if way.name in planned.online}

    yardsticks: Mapping[str, float | str] = {}
    judged = calibration.judged
    assert judged is not None, "samples are always judged as something"
    if calibration.kind != RANDOM and judged.task == "outputs" and not judged.metric:
        progress("yardsticks of the outputs", 0, 0)
        yardsticks = output_yardsticks(problem, calibration, planned.plan.way)
    progress("emit", 0, 0)
    opened = open_batches(
        (options.model, options.input_shapes), problem.model, problem.graph, planned.ways, emitted,
        sides=(options.device, options.cloud), max_batch=options.max_batch,
    )  # fmt: skip
    emitted = opened.emitted
    models = {MODEL_PATH: opened.model.proto, **emitted.models}
    engines, half_precision = _for_tensorrt(options, problem, models, emitted, progress)
    summary = {
        **setting_json(options, problem),
        **planned_json(problem, planned, calibration, explanation, mixture, options.power),
        "online": {name: online_json(found) for name, found in online.items()},
        "lowered": [lowering.to_json() for lowering in emitted.lowerings],
        "judged": judged_json(calibration, yardsticks),
        "batch": {"max": options.max_batch, "fixed": dict(opened.fixed)},
    }
    bundle = bundle_writer.write(
        options.output,
        opened.model,
        emitted,
        chosen=planned.plan.way.name if planned.cut_set is not None else "",
        sides={"device": (options.device, problem.costs.device), "cloud": (options.cloud, problem.costs.cloud)},
        link=options.link,
        bandwidths=options.bandwidths,
        calibrated=calibration.kind != RANDOM,
        preprocess=preprocess,
        task=judged.task,
        decode=judged.decode,
        input_ranges=calibration.input_ranges,
        summary=summary,
        policies=policies_of_bundle(problem, online, alone=any(cut.mode == "device-only" for cut in emitted.cuts)),
        revision=options.revision,
        engines=engines,
        half_precision=half_precision,
        force=options.force,
    )
    store.discard()
    models.update({half.facts.path: half.model for half in half_precision})
    data = calibration.data
    return Compiled(bundle, models, problem, planned, mixture, summary, preprocess, data, online, emitted.lowerings)


def _measurements(options: CompileOptions, progress: Progress) -> Measurements:
    """What is measured is kept beside the bundle until it is written, so that a run that was stopped goes on."""
    store = Measurements(f"{options.output.rstrip('/')}{PARTIAL_SUFFIX}")
    if store.resumed:
        progress(f"going on with {store.resumed} measurements of a run that was stopped", 0, 0)
    return store


def _for_tensorrt(
    options: CompileOptions,
    problem: Problem,
    models: Mapping[str, onnx.ModelProto],
    emitted: Emitted,
    progress: Progress,
) -> tuple[tuple[RtxEngine, ...], tuple[HalfPrecisionModel, ...]]:
    """Engines built ahead, and what strongly typed TensorRT builds on the target, as `--engine` asks for."""
    device, cloud = problem.costs.device.precision, problem.costs.cloud.precision
    if options.engine == "rtx":
        progress("engine", 0, 0)
        return rtx_engines(models, emitted.cuts, options.cloud, cloud), ()
    if options.engine == "trt":
        progress("half precision", 0, 0)
        typed = {"device": (options.device, device), "cloud": (options.cloud, cloud)}
        return (), half_precision_models(models, emitted.cuts, typed)
    return (), ()
