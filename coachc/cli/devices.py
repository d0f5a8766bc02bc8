"""`coachc devices`: the targets coachc knows."""

from __future__ import annotations

from coachc.cli.options import Json


def devices(json: Json = False) -> None:
    """List the targets: TensorRT version, newest opset it parses, precisions, and where their numbers come from."""
    import json as json_module

    from rich.console import Console
    from rich.table import Table

    from coachc.cost.device import LOCAL_SPEC, all_devices

    specs = [*all_devices().values(), LOCAL_SPEC]
    if json:
        rows = [
            {
                "name": spec.name,
                "aliases": list(spec.aliases),
                "title": spec.title,
                "sides": list(spec.sides),
                "compute_capability": spec.compute_capability,
                "jetpack": spec.jetpack,
                "tensorrt": spec.tensorrt,
                "max_opset": spec.max_opset,
                "precisions": list(spec.precisions),
                "memory_bytes": spec.memory_bytes,
                "profiles": {
                    precision: {"kind": row.provenance.kind, "source": row.provenance.source}
                    for precision, row in spec.rooflines.items()
                },
            }
            for spec in specs
        ]
        print(json_module.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("target", "side", "TensorRT", "opset", "precisions", "profile", "what it is"):
        table.add_column(title)
    for spec in specs:
        profiles = "\n".join(f"{p} {r.provenance.kind}" for p, r in spec.rooflines.items()) or "measured when asked for"
        table.add_row(
            " ".join((spec.name, *(f"({alias})" for alias in spec.aliases))),
            "/".join(spec.sides),
            spec.tensorrt or "-",
            f"<= {spec.max_opset}",
            " ".join(spec.precisions),
            profiles,
            spec.title,
        )
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    console.print(table)
    console.print("fp16, fp32, int8: TensorRT. eager-: PyTorch eager, which starts every operator on its own.")
    console.print("fitted: to published measurements. guess: scaled from another target, never measured.")
