"""From an ONNX file to a bundle: every stage in order, on one screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calib import local_profile
from calib.dataset import RANDOM, open_dataset
from calib.jpeg import measure_jpeg
from calib.precision import MAX_BITS, CutEvaluator, Trial, trials_of
from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.plan import BitPlan, Plan, Rejected
from coachc.core.profile import Profile
from coachc.cost.device import DeviceSpec, Link
from coachc.cost.roofline import estimate
from coachc.decide import decide
from coachc.emit import bundle_writer
from coachc.emit.halves import split_halves
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.summary import plan_json
from passes.candidates import auto
from passes.cluster import cluster
from passes.cut import boundary_name, split
from passes.partition import Found, Limits, search
from passes.timeline import Costs, uniform
from runtime.bundle.manifest_types import Preprocess
from runtime.bundle.store import Bundle, check_destination

#: Says what is going on: (step, done, total); total 0 where it is unknown.
Progress = Callable[[str, int, int], None]


#: Partitions that each mode leaves to the search; mask 0 is the cut at the model's inputs.
KEEP: Mapping[str, Callable[[int], bool]] = {
    "auto": lambda mask: True,
    "split": lambda mask: mask != 0,
    "cloud-raw": lambda mask: mask == 0,
    "device-only": lambda mask: False,
    "cloud-jpeg": lambda mask: False,
}


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What a user asks of `coachc compile`, in seconds, bytes and fractions.

    Attributes
    ----------
    model, output : str
        Paths.
    device, cloud : DeviceSpec
    link : Link
    calib : str
        Path or "random".
    preprocess : callable or None
        Model input -> how images become it.
    budget : float
        Admissible accuracy loss, a fraction.
    max_latency_s : float or None
    device_precision, cloud_precision : str or None
    batch : int
    input_shapes : mapping
    max_samples : int
    mode : str
        "auto", or the only mode to consider.
    objective : str
    search : str
        How candidates are found, one of `passes.candidates.auto.METHODS`, or "auto".
    workers : int
    force : bool
    """

    model: str
    output: str
    device: DeviceSpec
    cloud: DeviceSpec
    link: Link
    calib: str
    preprocess: Callable[[Model], Preprocess | None] = lambda model: None
    budget: float = 0.005
    max_latency_s: float | None = None
    device_precision: str | None = None
    cloud_precision: str | None = None
    batch: int = 1
    input_shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    max_samples: int = 2000
    mode: str = "auto"
    objective: str = "exact"
    search: str = "auto"
    workers: int = 1
    force: bool = False


@dataclass(frozen=True)
class Compiled:
    """What `compile_model` leaves: the bundle and everything that led to it."""

    bundle: Bundle
    model: Model
    graph: GraphView
    blocks: BlockGraph
    costs: Costs
    found: Found
    plan: Plan
    summary: Mapping[str, Any]
    preprocess: Preprocess | None


def compile_model(options: CompileOptions, progress: Progress = lambda step, done, total: None) -> Compiled:
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
    progress("import", 0, 0)
    model = import_model(options.model, batch=options.batch, input_shapes=options.input_shapes)
    graph = fuse(model)
    blocks = cluster(graph)

    progress("profile", 0, 0)
    costs = Costs(
        device=profile(model, graph, options.device, options.device_precision),
        cloud=profile(model, graph, options.cloud, options.cloud_precision),
        link=options.link,
        workers=options.workers,
    )

    preprocess = options.preprocess(model)
    data = open_dataset(
        options.calib, [model.values[n] for n in model.inputs], preprocess, max_samples=options.max_samples
    )
    progress("whole model", 0, data.samples)
    trials = trials_of(model.proto, data, advance=lambda done: progress("whole model", done, data.samples))
    judge = trials[0].judge
    inputs = [model.values[name] for name in model.inputs]
    jpeg = measure_jpeg(model.proto, inputs, data, judge, options.budget)

    measured = 0

    def precision(mask: int, cut: tuple[str, ...], most_bits: int) -> BitPlan | Rejected:
        nonlocal measured
        if data.kind == RANDOM:
            return fixed_precision(graph, cut, most_bits)
        measured += 1
        progress("precision of cut", measured, 0)
        return cut_precision(model, graph, mask, trials, options.budget, most_bits)

    limits = Limits(options.max_latency_s, options.device.memory_bytes or None)
    keep = KEEP[options.mode]
    candidates = auto.candidates(graph, costs, options.search, blocks=blocks, objective=options.objective)
    found = search(
        graph, costs, precision, limits=limits, objective=options.objective, keep=keep, candidates=candidates
    )
    if data.kind == RANDOM and found.best is not None:
        bits = evaluator_of(model, graph, found.best.mask, trials, options.budget).at(MAX_BITS)
        found = dataclasses.replace(found, best=dataclasses.replace(found.best, bits=bits))
    plan = decide(graph, costs, found, jpeg, judge, limits, mode=options.mode, objective=options.objective)

    progress("emit", 0, 0)
    halves = None
    if plan.mode in ("split", "cloud-raw"):
        halves = split_halves(model, graph, plan.mask, plan.bits.quantizers, options.device, options.cloud)
    summary = plan_json(graph, plan, data.kind)
    bundle = bundle_writer.write(
        options.output,
        model,
        plan,
        halves,
        sides={"device": (options.device, costs.device), "cloud": (options.cloud, costs.cloud)},
        link=options.link,
        calibrated=data.kind != RANDOM,
        preprocess=preprocess,
        summary=summary,
        force=options.force,
    )
    return Compiled(bundle, model, graph, blocks, costs, found, plan, summary, preprocess)


def profile(model: Model, graph: GraphView, spec: DeviceSpec, precision: str | None) -> Profile:
    """Seconds per operator: measured for `local`, else from the target's roofline."""
    return local_profile.measure(model, graph) if spec.is_local else estimate(graph, spec, precision)


def cut_precision(
    model: Model, graph: GraphView, mask: int, trials: Sequence[Trial], budget: float, most_bits: int
) -> BitPlan | Rejected:
    """Lowest precision of one cut within the budget."""
    return evaluator_of(model, graph, mask, trials, budget).lowest(most_bits)


def evaluator_of(model: Model, graph: GraphView, mask: int, trials: Sequence[Trial], budget: float) -> CutEvaluator:
    """What measures one cut."""
    head, tail = split(model, graph, mask)
    boundary = [(graph.values[name], boundary_name(graph, name)) for name in graph.cut_values(mask)]
    return CutEvaluator(head, tail, boundary, model.outputs, trials=trials, budget=budget)


def fixed_precision(graph: GraphView, cut: tuple[str, ...], most_bits: int) -> BitPlan | Rejected:
    """8 bits for every cut, without a run: nothing can be learnt from noise."""
    if most_bits < MAX_BITS:
        return Rejected("cut at " + ", ".join(cut), f"would not win at {MAX_BITS} bits")
    return BitPlan(uniform(graph, cut, MAX_BITS))
