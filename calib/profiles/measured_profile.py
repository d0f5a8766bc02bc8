"""A profile of what was measured: layers as operators, corrected so that whole parts of the model come out as measured.

Operators measured one by one do not add up to a half: starting a run, copies between layouts and what an engine fuses
across a cut are in none of them. A device runs the beginning of the model and a server its end, so the device's
operators are scaled, region by region, until every beginning that was timed as one piece has its time, and the
server's until every end has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from coachc.calib.profiles.layer_owners import map_layers
from coachc.core.graph import GraphView
from coachc.core.profile import Profile, Provenance
from coachc.cost.device import DeviceSpec
from coachc.errors import ProfileError
from coachc.frontend.model import Model
from coachc.runtime.bundle.profile_file import MeasuredProfile, Segment
from coachc.runtime.health.clocks import is_another

ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
#: A part of the layers' time whose names say nothing is spread over all; more than this is another model's profile.
MOST_UNKNOWN = 0.2
#: A region between two cuts is scaled to no less than this share of what all are: differences are noisy.
LEAST_SCALE = 0.1
#: Quantizing where it was not measured: a pass over the tensor at this rate, after a start.
QUANTIZER_BYTES_PER_S, QUANTIZER_START_S = 1e9, 2e-5


@dataclass(frozen=True)
class Piece:
    """A part of the model that was timed as one piece.

    Attributes
    ----------
    mask : int
        The operators on the device's side of its cut; all of them for the whole.
    seconds : float
        On the side that is asked for.
    """

    mask: int
    seconds: float


def measured_profile(
    found: MeasuredProfile,
    model: Model,
    graph: GraphView,
    side: str,
    target: DeviceSpec,
    estimated: Profile | None = None,
) -> Profile:
    """Seconds of every operator of `graph` on one side, from a file.

    Parameters
    ----------
    found : MeasuredProfile
    model : Model
    graph : GraphView
        Of the same model.
    side : {"device", "cloud"}
    target : DeviceSpec
        That was measured.
    estimated : Profile, optional
        How its time divides among operators where the file has parts of the model and no layers.

    Raises
    ------
    ProfileError
        It is of another model, machine or shapes, or of another release of TensorRT than the target's.
    """
    _check(found, model, target)
    if found.layers or estimated is None:
        spent, others_s = _by_operator(found, model, graph)
    else:
        spent, others_s = estimated.seconds, 0.0
    element_bytes = ELEMENT_BYTES.get(found.precision, 4)
    bytes_per_s = found.bytes_per_s or QUANTIZER_BYTES_PER_S
    overhead_s = found.overhead_s or QUANTIZER_START_S
    rough = Profile(
        target.name, found.precision, spent, bytes_per_s, overhead_s, element_bytes,
        Provenance("measured", found.source), found.program_s if side == "device" else 0.0,
    )  # fmt: skip
    pieces = pieces_of(found.segments, graph, side, rough)
    seconds = corrected(spent, pieces, graph, side)
    if not pieces:
        seconds = tuple(second * (1 + others_s / sum(spent)) for second in seconds)
    return dataclasses.replace(rough, seconds=seconds)


def in_part_measured(profile: Profile, run: MeasuredProfile, model: Model, graph: GraphView) -> Profile:
    """The cloud's profile, scaled to what a run saw of the server: the end of the model from one cut on."""
    _check_model(run, model)
    parts = [segment for segment in run.segments if segment.part == "cloud"]
    pieces = pieces_of(parts, graph, "cloud", profile)
    if not pieces:
        return profile
    known = profile.provenance
    source = f"{known.source}; scaled to what the server took in a run, {run.source}"
    return dataclasses.replace(
        profile,
        seconds=corrected(profile.seconds, pieces, graph, "cloud"),
        provenance=dataclasses.replace(known, source=source),
    )


def _by_operator(found: MeasuredProfile, model: Model, graph: GraphView) -> tuple[tuple[float, ...], float]:
    """Seconds of each operator by the layers' names, and of the layers that are of none."""
    mapped = map_layers([(layer.name, layer.seconds) for layer in found.layers], model, graph)
    strange_s = sum(layer.seconds for layer in found.layers if layer.name in set(mapped.unknown))
    if not mapped.named_s or strange_s > MOST_UNKNOWN * (mapped.named_s + strange_s):
        raise ProfileError(
            f"{len(mapped.unknown)} of {len(found.layers)} layers of the measured profile are not of {model.name}",
            context=(f"for example  {', '.join(mapped.unknown[:3]) or 'it has none'}",),
            hint="measure the file that is compiled, not an engine of another export",
        )
    return mapped.seconds, mapped.unknown_s + mapped.copies_s


def _check(found: MeasuredProfile, model: Model, target: DeviceSpec) -> None:
    _check_model(found, model)
    if is_another(found.chip, target.compute_capability):
        raise ProfileError(
            f"the measured profile is of another machine than {target.name}",
            context=(f"expected  {target.title}", f"found     {found.machine or found.chip}, {found.date[:10]}"),
            hint="measure there: python3 -m runtime.measure BUNDLE; or plan for this machine with --device local",
        )
    release = found.versions.get("tensorrt", "")
    if release and found.backend == "tensorrt" and target.tensorrt and _major(release) != _major(target.tensorrt):
        raise ProfileError(
            f"the measured profile is of TensorRT {release}, and {target.name} has {target.tensorrt}",
            hint="measure on the device, with the release that will run there",
        )


def _check_model(found: MeasuredProfile, model: Model) -> None:
    if found.model_sha256 != model.sha256:
        raise ProfileError(
            f"the measured profile is of another model than {model.name}",
            context=(f"expected  {model.sha256[:16]}...", f"found     {found.model_sha256[:16]}..., {found.source}"),
            hint="measure this model: coachc profile MODEL, or python3 -m runtime.measure on the device",
        )
    shapes = {name: list(model.values[name].shape) for name in model.inputs}
    if found.inputs and {name: list(shape) for name, shape in found.inputs.items()} != shapes:
        raise ProfileError(
            "the measured profile is of other input shapes",
            context=(f"expected  {_shapes(shapes)}", f"found     {_shapes(found.inputs)}"),
            hint="measure with the same --batch and --shape",
        )


def _shapes(shapes: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _major(release: str) -> str:
    return ".".join(release.split(".")[:2])


def pieces_of(segments: Sequence[Segment], graph: GraphView, side: str, profile: Profile) -> list[Piece]:
    """The parts that were timed on a side, the whole among them; those whose values are no cut are left out.

    A stage of a program holds the quantizer too, which is costed beside the operators: the profile says what it takes.
    """
    pieces = []
    for segment in segments:
        mask = graph.full_mask if segment.part == "whole" else mask_of_cut(graph, segment.values)
        if mask is None or segment.part not in (side, "whole"):
            continue
        seconds = segment.seconds
        if segment.stage:
            values = [graph.values[name] for name in segment.values]
            seconds -= sum(profile.elementwise_s(v.elements, v.elements) for v in values if v.quantizable)
        if seconds > 0:
            pieces.append(Piece(mask if segment.part != "whole" or side == "device" else 0, seconds))
    return pieces


def mask_of_cut(graph: GraphView, values: Sequence[str]) -> int | None:
    """The partition whose cut are these values; None where there is none."""
    mask = 0
    for name in values:
        if name not in graph.values:
            return None
        if name in graph.producer:
            mask |= _upto(graph, graph.producer[name])
    return mask if set(graph.cut_values(mask)) == set(values) else None


def _upto(graph: GraphView, node: int) -> int:
    mask, ahead = 0, 1 << node
    while ahead:
        mask |= ahead
        ahead = 0
        for index in graph.indices_in(mask):
            ahead |= graph.predecessors[index] & ~mask
    return mask


def corrected(seconds: Sequence[float], pieces: Sequence[Piece], graph: GraphView, side: str) -> tuple[float, ...]:
    """Seconds by operator, scaled so that the pieces that lie inside one another come out as measured.

    Parameters
    ----------
    seconds : sequence of float
    pieces : sequence of Piece
    graph : GraphView
    side : {"device", "cloud"}
        A piece is what lies inside its mask, or outside.
    """
    masks = {piece.mask if side == "device" else ~piece.mask & graph.full_mask: piece.seconds for piece in pieces}
    chain: list[tuple[int, float]] = []
    for mask, measured_s in sorted(masks.items(), key=lambda item: item[0].bit_count()):
        if mask and (not chain or chain[-1][0] & ~mask == 0):
            chain.append((mask, measured_s))
    if not chain:
        return tuple(seconds)
    # A larger part takes no less time, whatever the noise.
    rising = isotonic_regression([measured_s for _, measured_s in chain]).x
    scaled = np.array(seconds, float)
    total_s = sum(seconds[index] for index in graph.indices_in(chain[-1][0]))
    least = LEAST_SCALE * float(rising[-1]) / total_s if total_s > 0 else 0.0
    before, before_s, scale = 0, 0.0, 1.0
    for (mask, _), upto_s in zip(chain, rising, strict=True):
        region = list(graph.indices_in(mask & ~before))
        own_s = float(scaled[region].sum())
        if own_s > 0:
            scale = max((float(upto_s) - before_s) / own_s, least)
            scaled[region] *= scale
        before, before_s = mask, float(upto_s)
    # Behind the last piece nothing is known but how that piece's own operators were off.
    rest = list(graph.indices_outside(before))
    scaled[rest] *= before_s / total_s if total_s > 0 else scale
    return tuple(float(second) for second in scaled)
