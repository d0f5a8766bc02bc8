"""`coachc compare`: coachc's plans beside the systems the paper compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coachc.cli.options import Batch, Json, Shape

if TYPE_CHECKING:
    from coachc.compare import Row
    from coachc.core.graph import GraphView


def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file.")],
    device: Annotated[str, typer.Option(help="Weak side: tx2, xavier-nx, ... or local; see `coachc devices`.")] = "tx2",
    cloud: Annotated[str, typer.Option(help="Strong side: a6000, l4, ... or local.")] = "a6000",
    bandwidth: Annotated[str, typer.Option(help="Uplink rate with its unit: 20Mbit, 500kbit, 2.5MB/s.")] = "20Mbit",
    rtt: Annotated[str, typer.Option(help="Round trip time with its unit: 5ms.")] = "5ms",
    bits: Annotated[
        int, typer.Option(help="Precision of coachc's and COACH's rows; accuracy is not measured here.", min=2, max=8)
    ] = 4,
    fps: Annotated[float, typer.Option(help="Arrivals a second, for the latencies.", min=0.001)] = 20.0,
    workers: Annotated[int, typer.Option(help="Engines on the server that work at once.", min=1)] = 1,
    batch: Batch = 1,
    shape: Shape = None,
    json: Json = False,
) -> None:
    """Compare every system's cut for MODEL: period, latency under arrivals, bytes, and how busy each stage is.

    All rows use the same profiles, the same link and the same simulator. Systems that do not quantize send tensors as
    they are.
    """
    import json as json_module

    from calib.jpeg import estimate_jpeg
    from coachc.cli.options import parse_shapes
    from coachc.compare import rows, strategies
    from coachc.cost.device import Link, find_device, parse_bandwidth, parse_duration
    from coachc.frontend.fuse import fuse
    from coachc.frontend.onnx_import import import_model
    from coachc.pipeline import profile
    from passes.candidates import auto, recursive
    from passes.timeline import Costs

    specs = find_device(device, side="device"), find_device(cloud, side="cloud")
    link = Link(parse_bandwidth(bandwidth), parse_duration(rtt, "--rtt"))
    imported = import_model(model, batch=batch, input_shapes=parse_shapes(shape))
    graph = fuse(imported)
    times = [profile(imported, graph, spec, None) for spec in specs]
    costs = Costs(times[0], times[1], link, workers)
    found = auto.candidates(graph, costs)
    chosen = strategies(
        graph,
        costs,
        [mask for mask in found.masks if all(graph.values[name].cuttable for name in graph.cut_values(mask))],
        bits=bits,
        recursive_masks=recursive.candidates(graph, costs, bits=bits).masks,
        jpeg=estimate_jpeg([imported.values[name] for name in imported.inputs]),
    )
    table = rows(graph, costs, chosen, interval_s=1.0 / fps)
    title = (
        f"{imported.name}: {specs[0].name} ({costs.device.precision}) -> {bandwidth}, {rtt} -> {specs[1].name} "
        f"({costs.cloud.precision}), {fps:g} arrivals/s, {found.seen} partitions ({found.method})"
    )
    if json:
        result = {
            "model": imported.name,
            "device": specs[0].name,
            "cloud": specs[1].name,
            "link": {"bandwidth_bytes_per_s": link.bandwidth_bytes_per_s, "rtt_s": link.rtt_s},
            "arrivals_per_s": fps,
            "bits": bits,
            "method": found.method,
            "partitions": found.seen,
            "complete": found.complete,
            "profiles": {
                side: {"kind": p.provenance.kind, "source": p.provenance.source}
                for side, p in (("device", costs.device), ("cloud", costs.cloud))
            },
            "rows": [_row_json(row, graph) for row in table],
        }
        print(json_module.dumps(result, indent=1))
        return
    _print(table, title, graph)
    print(f"estimated; device {costs.device.provenance.kind}, cloud {costs.cloud.provenance.kind}: see coachc devices")


def _row_json(row: Row, graph: GraphView) -> dict[str, Any]:
    return {
        "name": row.strategy.name,
        "period_s": row.period_s,
        "latency_mean_s": row.latency_mean_s,
        "latency_p95_s": row.latency_p95_s,
        "payload_bytes": row.payload_bytes,
        "busy": dict(zip(("device", "link", "cloud"), row.busy, strict=True)),
        "period_over_best": row.over_best,
        "parts": [
            {
                "share": one.share,
                "cut": [{"value": q.name, "bits": q.bits} for q in one.quantizers],
                "device_operators": one.mask.bit_count(),
            }
            for one in row.strategy.parts
        ],
        "note": row.strategy.note,
    }


def _print(table: list[Row], title: str, graph: GraphView) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    numbers = ("period ms", "mean ms", "p95 ms", "bytes", "device", "link", "cloud", "vs best")
    for name in ("system", "operators on device", *numbers):
        shown.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for row in table:
        shown.add_row(
            row.strategy.name,
            " + ".join(
                f"{one.mask.bit_count()}/{len(graph.nodes)}" + (f" ({one.share:.0%})" if one.share < 1 else "")
                for one in row.strategy.parts
            ),
            f"{row.period_s * 1e3:.2f}",
            f"{row.latency_mean_s * 1e3:.1f}",
            f"{row.latency_p95_s * 1e3:.1f}",
            f"{row.payload_bytes:,.0f}",
            *(f"{share:.0%}" for share in row.busy),
            f"{row.over_best:+.1%}",
            style="bold" if row.strategy.name.startswith("coachc") else "",
        )
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    console.print(title)
    console.print(shown)
