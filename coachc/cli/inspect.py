"""`coachc inspect`: layers, blocks, cut and bytes as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.options import Batch, Json, Shape

if TYPE_CHECKING:
    from coachc.core.blocks import Block


def inspect(
    path: Annotated[str, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle folder, or an ONNX file.")],
    device: Annotated[str, typer.Option(help="Target whose time per operator is shown.")] = "tx2",
    batch: Batch = 1,
    shape: Shape = None,
    json: Json = False,
) -> None:
    """Show the fused operators of a model with their virtual blocks, bytes and time; of a bundle, the cut too."""
    import json as json_module
    import os

    from coachc.cli.options import parse_shapes
    from coachc.cost.device import find_device
    from coachc.frontend.fuse import fuse
    from coachc.frontend.onnx_import import import_model
    from coachc.pipeline import profile
    from passes.cluster import cluster
    from passes.ideals import all_ideals
    from runtime.bundle.store import open_bundle

    bundle = open_bundle(path) if os.path.isdir(path) else None
    model = import_model(f"{path}/model.onnx" if bundle else path, batch=batch, input_shapes=parse_shapes(shape))
    graph = fuse(model)
    blocks = cluster(graph)
    spec = find_device(device, side="device")
    times = profile(model, graph, spec, None)
    masks, complete = all_ideals(graph)

    crossing = {value.name: value for value in bundle.manifest.cut().values} if bundle else {}
    cloud_half = bundle.manifest.cut().cloud if bundle else None
    on_cloud = _node_names(bundle.read(cloud_half)) if bundle and cloud_half else set()
    place = {node: f"{number}{kind}" for number, block in enumerate(blocks.chain, 1) for node, kind in _paths(block)}
    rows: list[dict[str, Any]] = []
    for index, node in enumerate(graph.nodes):
        rows.append(
            {
                "operator": node.name,
                "kind": node.kind,
                "block": place[index],
                "side": ("cloud" if set(node.members) <= on_cloud else "device") if bundle else None,
                "outputs": [
                    {
                        "value": name,
                        "shape": list(graph.values[name].shape),
                        "bytes": graph.values[name].size_bytes,
                        "crosses_at_bits": crossing[name].bits if name in crossing else None,
                    }
                    for name in node.outputs
                ],
                "flops": node.work.flops,
                "device_s": times.seconds[index],
            }
        )
    result = {
        "model": bundle.manifest.model.name if bundle else model.name,
        "opset": model.opset,
        "operators": len(graph.nodes),
        "blocks": len(blocks.chain),
        "virtual_blocks": blocks.virtual_blocks,
        "partitions": len(masks) if complete else None,
        "device": spec.name,
        "device_s": sum(times.seconds),
        "cut": bundle.manifest.chosen if bundle else None,
        "nodes": rows,
    }
    if json:
        print(json_module.dumps(result, indent=1))
        return
    _print(result, times.provenance.kind)


def _print(result: dict[str, Any], kind: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("operator", "kind", "block", "side", "value", "shape", "bytes", "MFLOP", "ms"):
        table.add_column(title, justify="right" if title in ("bytes", "MFLOP", "ms") else "left", overflow="fold")
    for row in result["nodes"]:
        outputs = row["outputs"]
        crossing = [o["crosses_at_bits"] for o in outputs if o["crosses_at_bits"]]
        table.add_row(
            row["operator"],
            row["kind"],
            row["block"],
            row["side"] or "",
            "\n".join(
                f"{o['value']}" + (f"  > {o['crosses_at_bits']} bit" if o["crosses_at_bits"] else "") for o in outputs
            ),
            "\n".join("x".join(str(d) for d in o["shape"]) for o in outputs),
            "\n".join(f"{o['bytes']:,}" for o in outputs),
            f"{row['flops'] / 1e6:.2f}",
            f"{row['device_s'] * 1e3:.3f}",
            style="bold" if crossing else "",
        )
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(table)
    partitions = f"{result['partitions']} partitions" if result["partitions"] else "more partitions than are enumerated"
    console.print(
        f"{result['model']}: opset {result['opset']}, {result['operators']} operators in {result['blocks']} blocks "
        f"({result['virtual_blocks']} virtual), {partitions}, {result['device_s'] * 1e3:.2f} ms on {result['device']} "
        f"({kind})"
    )


def _paths(block: Block, prefix: str = "") -> list[tuple[int, str]]:
    """Every node of a block with its place inside: branch letters, one level each."""
    if block.kind != "virtual":
        return [(node, prefix + ("*" if block.kind == "prime" else "")) for node in block.nodes]
    return [
        found
        for number, branch in enumerate(block.branches)
        for inner in branch
        for found in _paths(inner, f"{prefix}{chr(ord('a') + number % 26)}")
    ]


def _node_names(data: bytes) -> set[str]:
    import onnx

    return {node.name for node in onnx.load_from_string(data).graph.node}
