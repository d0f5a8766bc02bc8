"""What `coachc inspect` shows, as values: of a model, and of the cut where it comes with a bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from coachc.cli.block_tree import places, tree_values
from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import mask_of, side_of
from coachc.core.profile import Profile
from coachc.cost.device_files import find_device
from coachc.emit.two_halves import MODEL_PATH
from coachc.frontend.fuse import fuse
from coachc.frontend.onnx_import import import_model
from coachc.frontend.pass_driver import Observer
from coachc.passes.cluster import cluster
from coachc.passes.ideals import all_ideals
from coachc.planning.problem import measured_here, side_profile
from coachc.runtime.bundle.manifest_types import Cut
from coachc.runtime.bundle.store import Bundle, open_bundle


@dataclass(frozen=True, slots=True)
class Inspected:
    """A model, and where its bundle cuts it.

    Attributes
    ----------
    name : str
    opset : int
    graph : GraphView
    blocks : BlockGraph
    device : str
        Target whose times are in `profile`.
    profile : Profile
    bundle : Bundle or None
        None for a bare model.
    mask : int or None
        Nodes on the device; None for a bare model.
    """

    name: str
    opset: int
    graph: GraphView
    blocks: BlockGraph
    device: str
    profile: Profile
    bundle: Bundle | None
    mask: int | None


def inspected(
    path: str,
    *,
    device: str,
    batch: int | None,
    input_shapes: Mapping[str, tuple[int, ...]],
    observers: Sequence[Observer] = (),
) -> Inspected:
    """Read a bundle folder or an ONNX file.

    Raises
    ------
    ModelError, UsageError
        The model cannot be read, or the device is unknown.
    runtime.errors.BundleError
        The folder is no bundle, or damaged.
    """
    bundle = open_bundle(path) if os.path.isdir(path) else None
    source = f"{path}/{MODEL_PATH}" if bundle else path
    model = import_model(source, batch=batch, input_shapes=input_shapes, observers=observers)
    graph = fuse(model)
    spec = find_device(device, side="device")
    return Inspected(
        bundle.manifest.model.name if bundle else model.name,
        model.opset,
        graph,
        cluster(graph),
        spec.name,
        side_profile(model, graph, "device", spec, None, measured_here(model, graph) if spec.is_local else None),
        bundle,
        device_mask(graph, bundle, bundle.manifest.cut()) if bundle else None,
    )


def inspected_json(found: Inspected) -> dict[str, Any]:
    """The JSON object of `coachc inspect`.

    `nodes` lists the fused operators in topological order, with the values of the chosen cut; `cuts` are all of a
    bundle's, with the artefacts that run on each side; `tree` is the chain of blocks, whose `nodes` are positions
    in that list (see `coachc.cli.block_tree.tree_values`).
    """
    graph, seconds = found.graph, found.profile.seconds
    masks, complete = all_ideals(graph)
    crossing = {value.name: value.bits for value in found.bundle.manifest.cut().values} if found.bundle else {}
    place = places(found.blocks.chain)
    return {
        "model": found.name,
        "opset": found.opset,
        "operators": len(graph.nodes),
        "blocks": len(found.blocks.chain),
        "virtual_blocks": found.blocks.virtual_blocks,
        "partitions": len(masks) if complete else None,
        "device": found.device,
        "device_s": sum(seconds),
        "cut": found.bundle.manifest.chosen if found.bundle else None,
        "cuts": [_cut_json(graph, found.bundle, cut) for cut in found.bundle.manifest.cuts] if found.bundle else [],
        "nodes": [
            {
                "operator": node.name,
                "kind": node.kind,
                "block": place[index],
                "side": None if found.mask is None else side_of(index, found.mask),
                "outputs": [
                    {
                        "value": name,
                        "shape": list(graph.values[name].shape),
                        "bytes": graph.values[name].size_bytes,
                        "crosses_at_bits": crossing.get(name),
                    }
                    for name in node.outputs
                ],
                "flops": node.work.flops,
                "device_s": seconds[index],
            }
            for index, node in enumerate(graph.nodes)
        ],
        "tree": tree_values(graph, found.blocks.chain, seconds),
    }


def device_mask(graph: GraphView, bundle: Bundle, cut: Cut) -> int:
    """Operators that a cut does not put on the cloud."""
    on_cloud = {node.name for path in cut.on_cloud for node in onnx.load_from_string(bundle.read(path)).graph.node}
    return mask_of(index for index, node in enumerate(graph.nodes) if not set(node.members) <= on_cloud)


def _cut_json(graph: GraphView, bundle: Bundle, cut: Cut) -> dict[str, Any]:
    return {
        "name": cut.name,
        "mode": cut.mode,
        "device_operators": device_mask(graph, bundle, cut).bit_count(),
        "values": [{"value": value.name, "bits": value.bits, "codec": value.codec} for value in cut.values],
        "max_batch": cut.max_batch,
        "on_device": list(cut.on_device),
        "on_cloud": list(cut.on_cloud),
        "policy": cut.policy,
    }
