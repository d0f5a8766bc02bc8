"""The cuts of a bundle and their artefacts: two halves for one cut, shared segments for several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx

from coachc.core.graph import GraphView
from coachc.core.plan import Way
from coachc.cost.device import DeviceSpec
from coachc.emit.lowering import Lowering, lower_for
from coachc.emit.shared_segments import shared_cuts
from coachc.emit.two_halves import CLOUD_PATH, MODEL_PATH, Emitted, device_only_cut, jpeg_cut, split_halves
from coachc.frontend.model import Model
from coachc.frontend.pass_driver import Observer

#: The whole model as a side's target takes it, where that is not the model itself.
WHOLE_PATH = "{}.whole.onnx"


def emit_cuts(
    model: Model,
    graph: GraphView,
    ways: Sequence[Way],
    device: DeviceSpec,
    cloud: DeviceSpec,
    *,
    alone: bool = True,
    observers: Sequence[Observer] = (),
) -> Emitted:
    """The cuts of a bundle in the order given, then device-only where the device builds the whole model.

    One cut has two halves and the whole model for device-only; several share segments (`shared_segments`). What runs on
    a target is lowered for it; the model itself stays as it was imported, for `coachc check` to compare with.

    Parameters
    ----------
    model : Model
    graph : GraphView
    ways : sequence of Way
        Without device-only.
    device, cloud : DeviceSpec
    alone : bool
        Whether there is device-only.
    observers : sequence of callable
        Of the passes that lower.

    Raises
    ------
    coachc.errors.ModelError
        As `split_halves` does.
    """
    if len(ways) > 1:
        return shared_cuts(model, graph, ways, device, cloud, alone=alone, observers=observers)
    models: dict[str, onnx.ModelProto] = {}
    roles: dict[str, str] = {}
    cuts, lowerings = [], list[Lowering]()
    for way in ways:
        if way.mode == "cloud-jpeg":
            path, made, done = _whole(model, "cloud", cloud, observers)
            cuts.append(jpeg_cut(model, path))
            models.update(made)
            roles.update(dict.fromkeys(made, "cloud"))
            lowerings += done
        else:
            halves = split_halves(model, graph, way, device, cloud, observers=observers)
            cuts.append(halves.cut)
            models.update(halves.models)
            roles.update({path: "cloud" if path == CLOUD_PATH else "device" for path in halves.models})
            lowerings += halves.lowerings
    if alone:
        path, made, done = _whole(model, "device", device, observers)
        cuts.append(device_only_cut(model, path))
        models.update(made)
        roles.update(dict.fromkeys(made, "device"))
        lowerings += done
    return Emitted(tuple(cuts), models, roles, tuple(lowerings))


def _whole(
    model: Model, side: str, spec: DeviceSpec, observers: Sequence[Observer]
) -> tuple[str, dict[str, onnx.ModelProto], tuple[Lowering, ...]]:
    """The path of the whole model for a side, and what is written there unless it is the model itself."""
    path = WHOLE_PATH.format(side)
    proto, lowering = lower_for(path, model.proto, [spec], feed={}, observers=observers)
    if proto is model.proto:
        return MODEL_PATH, {}, () if lowering is None else (dataclasses.replace(lowering, path=MODEL_PATH),)
    assert lowering is not None
    return path, {path: proto}, (lowering,)
