"""`coachc devices`: the targets coachc knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.command_line import OnceCommand, WholeSentences
from coachc.cli.options import Json
from coachc.cli.table_layout import Column, Row
from coachc.cli.wording import KINDS
from coachc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coachc.cli.screen import Screen
    from coachc.core.profile import Provenance
    from coachc.cost.device import DeviceSpec
    from coachc.targets.generation import Generation

_ONNX_RUNTIME = "seen: the newest that ONNX Runtime implements"


devices_app = typer.Typer(cls=WholeSentences, invoke_without_command=True, rich_markup_mode=None)


@devices_app.callback()
def devices(context: typer.Context, json: Json = False) -> None:
    """List the targets: TensorRT version and the rules it is checked by, newest opset it parses, precisions.

    Of every profile, and of the rules, it says where the figures come from, and how far they may be off.
    """
    if context.invoked_subcommand is not None:
        return
    import json as json_module

    from coachc.cli.screen import Screen
    from coachc.cost.device import LOCAL_SPEC
    from coachc.cost.device_files import all_devices
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
                    precision: {
                        "kind": row.provenance.kind,
                        "band": row.provenance.band,
                        "source": row.provenance.source,
                    }
                    for precision, row in spec.rooflines.items()
                },
            }
            for spec in specs
        ]
        print(json_module.dumps(rows, indent=1))
        return
    print_devices(Screen(), specs, rules)


@devices_app.command("show", cls=OnceCommand)
def show(
    name: Annotated[str, typer.Argument(help="A target of `coachc devices`, or a TOML file.")],
    toml: Annotated[
        bool, typer.Option("--toml", help="Print it as a file to start a target of your own from.")
    ] = False,
) -> None:
    """Show one target: its rates by kind of work, with source and band; `--toml` prints a file to start from."""
    from coachc.cost.device_files import device_toml, find_device

    spec = next((found for side in ("device", "cloud") if (found := _on(name, side)) is not None), None)
    if spec is None:
        find_device(name, side="device")
        raise AssertionError
    if toml:
        print(device_toml(spec), end="")
        return
    _print_device(spec)


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
                    "\n".join(f"{p} {_certainty(r.provenance)}" for p, r in spec.rooflines.items())
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
    screen.line("1.25x: a network takes between 1/1.25 of the estimate and 1.25 times as long, as far as is published.")
    screen.line("\nwhere the figures come from:")
    width = max(len(name) for name, _ in sources)
    for name, source in sources:
        screen.line(f"{name:<{width}}  {source}", width + 2)


def _on(name: str, side: str) -> DeviceSpec | None:
    """A target, if it may stand there."""
    from coachc.cost.device_files import find_device

    try:
        return find_device(name, side=side)
    except UsageError:
        return None


def _certainty(provenance: Provenance) -> str:
    return provenance.kind if provenance.is_measured else f"{provenance.kind} {provenance.band:.3g}x"


def _print_device(spec: DeviceSpec) -> None:
    from coachc.cli.screen import Screen

    screen = Screen()
    screen.line(f"{spec.name}: {spec.title}")
    facts = [
        ("side", "/".join(spec.sides)), ("JetPack", spec.jetpack), ("TensorRT", spec.tensorrt),
        ("newest opset", str(spec.max_opset)), ("memory", f"{spec.memory_bytes / 2**30:.0f} GiB"),
        ("precisions", " ".join(spec.precisions)),
    ]  # fmt: skip
    for title, text in facts:
        if text:
            screen.line(f"{title:<14}{text}", 14)
    for precision, row in spec.rooflines.items():
        screen.line(f"\n{precision} ({_certainty(row.provenance)}): {row.provenance.source}")
        rates = ", ".join(f"{kind} {rate / 1e9:,.4g}" for kind, rate in row.flops_per_s.items())
        screen.line(f"  GFLOP/s     {rates}", 14)
        screen.line(f"  memory      {row.bytes_per_s / 1e9:.3g} GB/s")
        starts = "".join(f", {kind} {seconds * 1e6:.3g}" for kind, seconds in row.overheads_s.items())
        screen.line(f"  start       {row.overhead_s * 1e6:.3g} us an operator{starts}")
