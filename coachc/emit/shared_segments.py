"""Several nested cuts as the models of one bundle: the model in segments, each written once, and an edge for each cut.

A cut's device half is the segments up to it and then its edge, which quantizes; its cloud half is the other edge, which
dequantizes, and then the segments behind it. A cut that quantizes nothing and sends no input of the model needs no
edges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import onnx

from coachc.core.graph import GraphView
from coachc.core.plan import Way
from coachc.cost.device import DeviceSpec
from coachc.emit.two_halves import (
    Emitted,
    crossing_of,
    cut_entry,
    cut_values,
    device_only_cut,
    jpeg_cut,
    lowered,
    quantizer_form,
)
from coachc.errors import InternalError
from coachc.frontend.model import Model
from coachc.frontend.pass_driver import Observer
from coachc.passes.cut import boundary_name
from coachc.passes.insert_qdq import dequantize_inputs, quantize_outputs
from coachc.passes.segments import edge, split_segments
from coachc.runtime.bundle.manifest_types import Cut
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed

#: Segments are numbered from 1 in the order they run.
SEGMENT_PATH = "segment{}.onnx"
EDGE_PATH = "{}.{}.onnx"


def shared_cuts(
    model: Model,
    graph: GraphView,
    ways: Sequence[Way],
    device: DeviceSpec,
    cloud: DeviceSpec,
    *,
    alone: bool = True,
    observers: Sequence[Observer] = (),
) -> Emitted:
    """The artefacts of several nested cuts and of device-only, each lowered for its targets and checked.

    A segment that runs on either side is lowered to what both targets take.

    Parameters
    ----------
    model : Model
    graph : GraphView
    ways : sequence of Way
        None of them device-only. The masks of any two are nested or equal.
    device, cloud : DeviceSpec
    alone : bool
        Whether there is device-only.
    observers : sequence of callable
        Of the passes that lower.

    Raises
    ------
    coachc.errors.ModelError
        A segment or an edge does not pass; this is a bug of ours or of the model, never silently written.
    """
    masks = sorted({way.mask for way in ways if way.mask}, key=int.bit_count)
    if any(way.mask == graph.full_mask for way in ways):
        raise InternalError("device-only is no cut: it is part of every bundle")
    segments = split_segments(model, graph, [*masks, graph.full_mask])
    paths = tuple(SEGMENT_PATH.format(index + 1) for index in range(len(segments)))
    models = dict(zip(paths, segments, strict=True))
    cuts = []
    for way in ways:
        behind = masks.index(way.mask) + 1 if way.mask else 0
        before, after = paths[:behind], paths[behind:]
        if way.mode == "cloud-jpeg":
            cuts.append(jpeg_cut(model)._replace(name=way.name, cloud=after[0], after=after[1:]))
            continue
        entry, edges = _edges(model, graph, way, device, cloud)
        if edges:
            models.update(edges)
            assert entry.device is not None
            cuts.append(entry._replace(before=before, after=after))
        else:
            cuts.append(entry._replace(device=before[-1], cloud=after[0], before=before[:-1], after=after[1:]))
    if alone:
        cuts.append(device_only_cut(model)._replace(device=paths[-1], before=paths[:-1]))
    feeds = {}
    sides = {"device": device, "cloud": cloud}
    targets: dict[str, Collection[DeviceSpec]] = {
        path: [spec for side, spec in sides.items() if any(path in cut.run_by(side) for cut in cuts)] for path in models
    }
    for cut in cuts:
        for side, path in (("device", cut.device), ("cloud", cut.cloud)):
            if path is not None and path not in paths:
                feeds[path] = quantizer_feed(cut, side)
    codes = [value.codes for cut in cuts for value in cut.values]
    made, lowerings = lowered(models, targets, feeds, codes=codes, observers=observers)
    roles = dict.fromkeys(paths, "segment")
    for cut in cuts:
        for role, path in (("device", cut.device), ("cloud", cut.cloud)):
            if path is not None:
                roles.setdefault(path, role)
    return Emitted(tuple(cuts), made, roles, lowerings)


def _edges(
    model: Model, graph: GraphView, way: Way, device: DeviceSpec, cloud: DeviceSpec
) -> tuple[Cut, dict[str, onnx.ModelProto]]:
    """The entry of one cut, without segments, and its two edges; none where nothing happens at them."""
    values = cut_values(graph, way.bits)
    # Inside its half a value has its own name; only an input of the model that travels as it is needs another.
    packed = [dataclasses.replace(crossing_of(graph, value), name=value.name) for value in values if value.packed]
    renamed = [(v.name, boundary_name(graph, v.name)) for v in values if v.raw and v.name in graph.inputs]
    entry = cut_entry(graph, way, values, device, cloud)
    if not packed and not renamed:
        return entry, {}
    same = [(crossing.value, crossing.value) for crossing in packed]
    head = quantize_outputs(
        edge(model, graph, [*same, *renamed]),
        packed,
        model,
        form=quantizer_form(device),
        int32_codes=not device.has_uint8,
    )
    tail = edge(model, graph, [*same, *((leaves, enters) for enters, leaves in renamed)])
    tail = dequantize_inputs(tail, packed, model, form=quantizer_form(cloud))
    device_path, cloud_path = (EDGE_PATH.format(way.name, side) for side in ("device", "cloud"))
    return entry._replace(device=device_path, cloud=cloud_path), {device_path: head, cloud_path: tail}
