"""The cuts of a bundle and their artefacts: two halves for one cut, shared segments for several."""

from __future__ import annotations

from collections.abc import Sequence

from coachc.core.graph import GraphView
from coachc.cost.device import DeviceSpec
from coachc.emit.halves import CLOUD_PATH, Emitted, Way, device_only_cut, jpeg_cut, split_halves
from coachc.emit.segments import shared_cuts
from coachc.frontend.model import Model


def emit_cuts(
    model: Model,
    graph: GraphView,
    ways: Sequence[Way],
    device: DeviceSpec,
    cloud: DeviceSpec,
    *,
    edges: bool = False,
) -> Emitted:
    """The cuts of a bundle in the order given, then device-only.

    One cut has two halves and the whole model for device-only; several share segments (`coachc.emit.segments`).

    Parameters
    ----------
    model : Model
    graph : GraphView
    ways : sequence of Way
        Without device-only.
    device, cloud : DeviceSpec
    edges : bool
        Keep the device's quantizer in a model of its own with one cut too; see `split_halves`.

    Raises
    ------
    coachc.errors.ModelError
        As `split_halves` does.
    """
    if len(ways) > 1:
        return shared_cuts(model, graph, ways, device, cloud)
    alone = device_only_cut(model)
    for way in ways:
        if way.mode == "cloud-jpeg":
            return Emitted((jpeg_cut(model), alone), {}, {})
        halves = split_halves(model, graph, way.mask, way.bits, device, cloud, with_edge=edges)
        roles = {path: "cloud" if path == CLOUD_PATH else "device" for path in halves.models}
        return Emitted((halves.cut, alone), halves.models, roles)
    return Emitted((alone,), {}, {})
