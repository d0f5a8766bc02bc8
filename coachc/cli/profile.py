"""`coachc profile`: what a model takes on this machine, or took under another tool, as a file for the compiler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.options import Json, one_of

if TYPE_CHECKING:
    from coachc.calib.profiles.checked_cuts import CheckedCut
    from coachc.cli.screen import Screen
    from coachc.runtime.bundle.profile_file import MeasuredProfile


@takes_groups
def profile(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file.")],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="File to write. Default: MODEL's name with .profile.json.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs of each part.", min=3)] = 20,
    cuts: Annotated[int, typer.Option(help="Cuts at which beginnings and ends are timed as one piece.", min=1)] = 8,
    backend: Annotated[
        str, typer.Option(help="ort (ONNX Runtime on the CPU) or trt (TensorRT on the GPU; builds two engines a cut).")
    ] = "ort",
    precision: Annotated[str, typer.Option(help="Of --backend trt: fp16 or fp32.")] = "fp16",
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Take what another tool measured instead: trtexec's --exportProfile, --exportTimes and "
            "--exportLayerInfo, or a profile of ONNX Runtime. May be repeated, all of one run.",
        ),
    ] = None,
    shapes: ModelFlags,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Measure MODEL on this machine, or import what another tool measured.

    Times operators, and a few beginnings and ends as one piece, which operators do not add up to. `coachc compile
    --device-profile FILE` (or --cloud-profile) then plans with it. On a device without coachc: python3 -m
    runtime.measure.
    """
    import json as json_module

    from coachc.calib.profiles.checked_cuts import checked_cuts
    from coachc.calib.profiles.imported_profile import imported_profile
    from coachc.cli.files import check_new_file
    from coachc.cli.progress import reporting
    from coachc.cli.screen import Screen
    from coachc.frontend.fuse import fuse
    from coachc.frontend.onnx_import import import_model
    from coachc.planning.measure_model import measure_model
    from coachc.planning.measuring_engines import OrtMeasuring, TrtMeasuring
    from coachc.runtime.bundle.profile_file import write_profile

    one_of(backend, "--backend", ("ort", "trt"))
    one_of(precision, "--precision", ("fp16", "fp32"))
    path = output or f"{Path(model).stem}.profile.json"
    check_new_file(path, "--output", force)
    loaded = import_model(model, batch=shapes.size, input_shapes=shapes.input_shapes)
    graph = fuse(loaded)
    with reporting() as progress:
        if layers:
            found = imported_profile([Path(one) for one in layers], loaded, graph)
        else:
            engine = TrtMeasuring(precision) if backend == "trt" else OrtMeasuring()
            found = measure_model(loaded, graph, repeats=repeats, cuts=cuts, progress=progress, engine=engine)
    checked = checked_cuts(found, loaded, graph)
    write_profile(path, found)
    if json:
        print(json_module.dumps(_json(path, found, checked), indent=1))
        return
    _print(Screen(), path, found, checked)


def _json(path: str, found: MeasuredProfile, checked: list[CheckedCut]) -> dict[str, object]:
    return {
        "output": path,
        "source": found.source,
        "layers": len(found.layers),
        "whole_s": None if found.whole is None else found.whole.seconds,
        "spread_s": None if found.whole is None else found.whole.spread_s,
        "cuts": [
            {
                "part": one.part,
                "values": list(one.values),
                "measured_s": one.measured_s,
                "operators_s": one.operators_s,
                "corrected_s": one.corrected_s,
            }
            for one in checked
        ],
    }


def _print(screen: Screen, path: str, found: MeasuredProfile, checked: list[CheckedCut]) -> None:
    from coachc.cli.table_layout import Column, Row

    screen.line(f"measured  {found.source}", 10)
    if found.whole is not None:
        spread = f", half of the runs within {found.whole.spread_s * 1e3:.2f} ms" if found.whole.spread_s else ""
        screen.line(f"whole     {found.whole.seconds * 1e3:.2f} ms{spread}")
    if checked:
        columns = [
            Column("part", "text"), Column("cut", "text"), Column("measured ms", "number"),
            Column("operators ms", "number"), Column("profile ms", "number"),
        ]  # fmt: skip
        rows = [
            Row(
                (
                    "up to" if one.part == "device" else "from",
                    ", ".join(one.values),
                    *(f"{seconds * 1e3:.2f}" for seconds in (one.measured_s, one.operators_s, one.corrected_s)),
                )
            )
            for one in checked
        ]
        screen.table(columns, rows)
        screen.line("operators: their plain sum. profile: what the compiler will take for the part.")
    screen.line(f"wrote     {path}: coachc compile MODEL --device-profile {path}")
