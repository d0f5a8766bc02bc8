"""What is to be decided: a model, the two sides it can run on, and the link between them, with all costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coachc.calib.profiles.measured_profile import in_part_measured, measured_profile
from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.power import SEND_W, Power
from coachc.core.profile import Profile, Provenance
from coachc.core.progress import Progress, silent
from coachc.cost.device import DeviceSpec
from coachc.cost.link import Link, link_for
from coachc.cost.roofline import estimate
from coachc.emit.find_placement import placements_of
from coachc.errors import ModelError, ProfileError
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.frontend.pass_driver import Observer
from coachc.passes.cluster import cluster
from coachc.passes.partition import Limits
from coachc.passes.timeline import Costs
from coachc.planning.measure_model import measure_model
from coachc.runtime.bundle.profile_file import MeasuredProfile

#: Of a target that is measured when it is asked for: enough to choose a cut by.
LOCAL_REPEATS, LOCAL_CUTS = 10, 4


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
    device_measured, cloud_measured : MeasuredProfile or None
        What this model took there, instead of an estimate.
    run : MeasuredProfile or None
        What a run took: all of the device's, and the part of the cloud's that it saw.
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
    device_measured: MeasuredProfile | None = None
    cloud_measured: MeasuredProfile | None = None
    run: MeasuredProfile | None = None
    batch: int | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    workers: int = 1
    devices: int = 1
    observers: Sequence[Observer] = ()

    @property
    def power(self) -> Power | None:
        """What the device draws: as its own monitors told while the model was measured there, else as its file says."""
        stated, found = self.device.power, self.device_measured or self.run
        if found is None or found.power is None:
            return stated
        source = f"{found.power.readings} readings or more of the board's own monitors, {found.source}"
        send_w = SEND_W if stated is None else stated.send_w
        return Power(found.power.idle_w, found.power.busy_w, send_w, Provenance("measured", source))


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
    return load_problems([setting], progress)[0]


def load_problems(settings: Sequence[Setting], progress: Progress = silent) -> tuple[Problem, ...]:
    """One model in several settings: imported once, and costed once on each target.

    Parameters
    ----------
    settings : sequence of Setting
        At least one; of one model, batch, shapes and observers.
    progress : callable

    Returns
    -------
    tuple of Problem
        One a setting, all with the same model, graph and blocks.

    Raises
    ------
    coachc.errors.CoachError
        As `load_problem`.
    """
    first = settings[0]
    progress("import", 0, 0)
    model = import_model(first.model, batch=first.batch, input_shapes=first.input_shapes, observers=first.observers)
    graph = fuse(model)
    blocks = cluster(graph)
    outputs = [model.values[name] for name in model.outputs]
    problems = tuple(
        Problem(
            model,
            graph,
            blocks,
            Costs(device, cloud, link_for(one.link, model.name, outputs), one.workers, one.devices),
        )
        for one, (device, cloud) in zip(settings, profiles(settings, model, graph, progress), strict=True)
    )
    if not sum(sum((*problem.costs.device.seconds, *problem.costs.cloud.seconds)) for problem in problems):
        kinds = sorted({kind for node in graph.nodes for kind in node.kind.split("+")})
        raise ModelError(
            f"no operator of {model.name} computes anything, so there is nothing to place on a device or a server",
            context=(f"found        {', '.join(kinds)}: views, and copies at an offset",),
            hint="compile the part of the network that computes",
        )
    return problems


def limits_of(
    setting: Setting, problem: Problem, max_latency_s: float | None = None, max_joules: float | None = None
) -> Limits:
    """What a plan has to respect: latency and energy asked for, the device's memory, and what both targets build.

    Raises
    ------
    ProfileError
        Energy is limited, and nobody has stated what the device draws.
    """
    (limits,) = limits_of_all([setting], problem, max_latency_s)
    if max_joules is None:
        return limits
    if setting.power is None:
        raise ProfileError(
            f"--max-joules {max_joules:g}: what {setting.device.name} draws is not stated",
            hint=f"add a table [power] to its file: coachc devices show {setting.device.name} --toml > mine.toml",
        )
    return dataclasses.replace(limits, max_joules=max_joules, power=setting.power)


def limits_of_all(
    settings: Sequence[Setting], problem: Problem, max_latency_s: float | None = None
) -> tuple[Limits, ...]:
    """The same of several settings of one model; each target is asked once what it builds."""
    pairs = {(id(one.device), id(one.cloud)): (one.device, one.cloud) for one in settings}
    placements = dict(zip(pairs, placements_of(problem.model, problem.graph, [*pairs.values()]), strict=True))
    return tuple(
        Limits(max_latency_s, one.device.memory_bytes or None, placements[id(one.device), id(one.cloud)])
        for one in settings
    )


def profiles(
    settings: Sequence[Setting], model: Model, graph: GraphView, progress: Progress = silent
) -> list[tuple[Profile, Profile]]:
    """Seconds per operator of device and cloud by setting: measured here or in a file, else estimated.

    Each side of each target is costed once, and this machine measured once.
    """
    progress("profile", 0, 0)
    here: MeasuredProfile | None = None
    made: dict[tuple[str, int, str | None, int], Profile] = {}

    def side(name: str, spec: DeviceSpec, precision: str | None, given: MeasuredProfile | None) -> Profile:
        nonlocal here
        if given is None and spec.is_local:
            given = here = here or measured_here(model, graph, progress)
        # By identity: a target holds tables, which have no hash.
        key = name, id(spec), precision, id(given)
        if key not in made:
            made[key] = side_profile(model, graph, name, spec, precision, given)
        return made[key]

    found = []
    for one in settings:
        device = side("device", one.device, one.device_precision, one.device_measured or one.run)
        cloud = side("cloud", one.cloud, one.cloud_precision, one.cloud_measured)
        if one.run is not None:
            cloud = in_part_measured(cloud, one.run, model, graph)
        found.append((device, cloud))
    return found


def measured_here(model: Model, graph: GraphView, progress: Progress = silent) -> MeasuredProfile:
    """What the model takes on this machine, well enough to choose a cut by."""
    return measure_model(model, graph, repeats=LOCAL_REPEATS, cuts=LOCAL_CUTS, progress=progress)


def side_profile(
    model: Model, graph: GraphView, side: str, spec: DeviceSpec, precision: str | None, given: MeasuredProfile | None
) -> Profile:
    """Seconds per operator on one side: as measured, else from the target's rates."""
    estimated = None if spec.is_local else estimate(graph, spec, precision)
    if given is not None:
        return measured_profile(given, model, graph, side, spec, estimated)
    assert estimated is not None, "a local target is measured"
    return estimated
