"""What a measured profile makes of the parts that were timed as one piece, beside what they took."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.calib.profiles.layer_owners import map_layers
from coachc.calib.profiles.measured_profile import mask_of_cut, measured_profile
from coachc.core.graph import GraphView
from coachc.cost.device import LOCAL_SPEC
from coachc.frontend.model import Model
from coachc.runtime.bundle.profile_file import MeasuredProfile


@dataclass(frozen=True)
class CheckedCut:
    """One part.

    Attributes
    ----------
    part : {"device", "cloud"}
        Up to the cut, or from it on.
    values : tuple of str
    measured_s, operators_s, corrected_s : float
        As one piece, as the plain sum of its operators, and as the profile has it.
    """

    part: str
    values: tuple[str, ...]
    measured_s: float
    operators_s: float
    corrected_s: float


def checked_cuts(found: MeasuredProfile, model: Model, graph: GraphView) -> list[CheckedCut]:
    """Every part of the file whose values are a cut of the model."""
    plain = map_layers([(layer.name, layer.seconds) for layer in found.layers], model, graph).seconds
    profiles = {side: measured_profile(found, model, graph, side, LOCAL_SPEC).seconds for side in ("device", "cloud")}
    checked = []
    for segment in found.segments:
        mask = mask_of_cut(graph, segment.values) if segment.part != "whole" else None
        if mask is None:
            continue
        inside = graph.indices_in(mask) if segment.part == "device" else graph.indices_outside(mask)
        checked.append(
            CheckedCut(
                segment.part,
                segment.values,
                segment.seconds,
                sum(plain[index] for index in inside),
                sum(profiles[segment.part][index] for index in inside),
            )
        )
    return checked
