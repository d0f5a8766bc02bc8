"""`coachc devices`: the targets coachc knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coachc.cli.options import Json
from coachc.cli.table_layout import Column, Row
from coachc.cli.wording import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coachc.cli.screen import Screen
    from coachc.cost.device import DeviceSpec
    from coachc.targets.generation import Generation

_ONNX_RUNTIME = "seen: the newest that ONNX Runtime implements"


def devices(json: Json = False) -> None:
    """List the targets: TensorRT version and the rules it is checked by, newest opset it parses, precisions.

    Of every profile, and of the rules, it says where the figures come from.
    """
    import json as json_module

    from coachc.cli.screen import Screen
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
    print_devices(Screen(), specs, rules)


_COLUMNS = (
    Column("target", "text"),
    Column("side", "text"),
    Column("TensorRT", "text"),
    Column("rules", "text"),
    Column("opset", "text"),
    Column("precisions", "text"),
    Column("profile", "text"),
    Column("what it is", "text"),
)


def print_devices(screen: Screen, specs: Sequence[DeviceSpec], rules: Mapping[str, Generation | None]) -> None:
    """One target a row, and below the table where each figure comes from."""
    rows, sources = [], []
    for spec in specs:
        found = rules[spec.name]
        rows.append(
            Row(
                (
                    " ".join((spec.name, *(f"({alias})" for alias in spec.aliases))),
                    "/".join(spec.sides),
                    spec.tensorrt or "-",
                    "-" if found is None else found.name,
                    f"<= {spec.max_opset}",
                    " ".join(spec.precisions),
                    "\n".join(f"{p} {r.provenance.kind}" for p, r in spec.rooflines.items())
                    or "measured when asked for",
                    spec.title,
                )
            )
        )
        sources += [(f"{spec.name} {precision}", row.provenance.source) for precision, row in spec.rooflines.items()]
    generations = {found.title: str(found.sources["opset"]) for found in rules.values() if found is not None}
    sources += [(f"{title} opset", source) for title, source in sorted(generations.items())]
    screen.table(_COLUMNS, rows)
    screen.line("fp16, fp32, int8: TensorRT. eager-: PyTorch eager, which starts every operator on its own.")
    screen.line(f"fitted: {KINDS['fitted']}. guess: {KINDS['guess']}.")
    screen.line("\nwhere the figures come from:")
    width = max(len(name) for name, _ in sources)
    for name, source in sources:
        screen.line(f"{name:<{width}}  {source}", width + 2)
