"""`coachc devices`: the targets coachc knows."""

from __future__ import annotations

from coachc.cli.options import Json

_ONNX_RUNTIME = "seen: the newest that ONNX Runtime implements"


def devices(json: Json = False) -> None:
    """List the targets: TensorRT version and the rules it is checked by, newest opset it parses, precisions.

    Of every profile, and of the rules, it says where the figures come from.
    """
    import json as json_module

    from rich.console import Console
    from rich.table import Table

    from coachc.cost.device import LOCAL_SPEC, all_devices
    from coachc.targets.target import target_of

    specs = [*all_devices().values(), LOCAL_SPEC]
    rules = {spec.name: target_of(spec).rules for spec in specs}
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
                "generation": "" if (found := rules[spec.name]) is None else found.name,
                "max_opset": spec.max_opset,
                "max_opset_source": _ONNX_RUNTIME if found is None else str(found.sources["opset"]),
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
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    table = Table(box=None, pad_edge=False)
    for title in ("target", "side", "TensorRT", "rules", "opset", "precisions", "profile", "what it is"):
        table.add_column(title)
    sources = Table(box=None, pad_edge=False, show_header=False)
    for spec in specs:
        found = rules[spec.name]
        table.add_row(
            " ".join((spec.name, *(f"({alias})" for alias in spec.aliases))),
            "/".join(spec.sides),
            spec.tensorrt or "-",
            "-" if found is None else found.name,
            f"<= {spec.max_opset}",
            " ".join(spec.precisions),
            "\n".join(f"{p} {r.provenance.kind}" for p, r in spec.rooflines.items()) or "measured when asked for",
            spec.title,
        )
        for precision, row in spec.rooflines.items():
            sources.add_row(f"{spec.name} {precision}", row.provenance.source)
    generations = {found.title: str(found.sources["opset"]) for found in rules.values() if found is not None}
    for title, source in sorted(generations.items()):
        sources.add_row(f"{title} opset", source)
    console.print(table)
    console.print("fp16, fp32, int8: TensorRT. eager-: PyTorch eager, which starts every operator on its own.")
    console.print("fitted: to published measurements. guess: scaled from another target, never measured.")
    console.print("\nwhere the figures come from:")
    console.print(sources)
