"""What is to be decided: a model, the two sides it can run on, and the link between them, with all costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from coachc.calib import local_profile
from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.profile import Profile
from coachc.cost.device import DeviceSpec, Link
from coachc.cost.roofline import estimate
from coachc.emit.find_placement import placement_of
from coachc.errors import ModelError
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.frontend.pass_driver import Observer
from coachc.passes.cluster import cluster
from coachc.passes.partition import Limits
from coachc.passes.timeline import Costs

#: Says what is going on: (step, done, total); total 0 where it is unknown.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """A progress nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A model and where it is to run.

    Attributes
    ----------
    model : str
        Path.
    device, cloud : DeviceSpec
    link : Link
    device_precision, cloud_precision : str or None
        Arithmetic of the profiles; the target's own if None.
    batch : int or None
    input_shapes : mapping
    workers : int
        Engines on the server that work at once.
    devices : int
        Devices that share the server.
    observers : sequence of callable
        Told what the passes of import, and of lowering where it comes to that, make of the model.
    """

    model: str
    device: DeviceSpec
    cloud: DeviceSpec
    link: Link
    device_precision: str | None = None
    cloud_precision: str | None = None
    batch: int | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    workers: int = 1
    devices: int = 1
    observers: Sequence[Observer] = ()


@dataclass(frozen=True)
class Problem:
    """A model as the search sees it.

    Attributes
    ----------
    model : Model
    graph : GraphView
    blocks : BlockGraph
    costs : Costs
    """

    model: Model
    graph: GraphView
    blocks: BlockGraph
    costs: Costs


def load_problem(setting: Setting, progress: Progress = silent) -> Problem:
    """Import the model and cost it on both sides.

    Raises
    ------
    coachc.errors.CoachError
        The model cannot be imported or computes nothing, or a target has no such profile.
    """
    progress("import", 0, 0)
    model = import_model(
        setting.model, batch=setting.batch, input_shapes=setting.input_shapes, observers=setting.observers
    )
    graph = fuse(model)
    blocks = cluster(graph)
    progress("profile", 0, 0)
    costs = Costs(
        device=profile(model, graph, setting.device, setting.device_precision),
        cloud=profile(model, graph, setting.cloud, setting.cloud_precision),
        link=setting.link,
        workers=setting.workers,
        devices=setting.devices,
    )
    if not sum((*costs.device.seconds, *costs.cloud.seconds)):
        kinds = sorted({kind for node in graph.nodes for kind in node.kind.split("+")})
        raise ModelError(
            f"no operator of {model.name} computes anything, so there is nothing to place on a device or a server",
            context=(f"found        {', '.join(kinds)}: views, and copies at an offset",),
            hint="compile the part of the network that computes",
        )
    return Problem(model, graph, blocks, costs)


def limits_of(setting: Setting, problem: Problem, max_latency_s: float | None = None) -> Limits:
    """What a plan has to respect: the latency asked for, the device's memory, and what both targets build."""
    placement = placement_of(problem.model, problem.graph, setting.device, setting.cloud)
    return Limits(max_latency_s, setting.device.memory_bytes or None, placement)


def profile(model: Model, graph: GraphView, spec: DeviceSpec, precision: str | None) -> Profile:
    """Seconds per operator: measured for `local`, else from the target's roofline."""
    return local_profile.measure(model, graph) if spec.is_local else estimate(graph, spec, precision)
