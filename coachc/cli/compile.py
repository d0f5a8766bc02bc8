"""`coachc compile`: from an ONNX model to a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.calibration_flags import CalibrationFlags
from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.link_flags import LinkRangeFlags, announce_bytes
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.pass_flags import PassFlags
from coachc.cli.flags.search_flags import SearchFlags
from coachc.cli.flags.target_flags import TargetFlags
from coachc.cli.options import Json, one_of


@takes_groups
def compile_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file, or the .onnx beside its external data.")],
    *,
    targets: TargetFlags,
    link: LinkRangeFlags,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Bundle to write (a folder). Default: MODEL's name with .coach."),
    ] = None,
    data: CalibrationFlags,
    save_recipe: Annotated[
        str | None, typer.Option(metavar="FILE.toml", help="Write what --recipe reads: data and preprocessing as used.")
    ] = None,
    search: SearchFlags,
    mode: Annotated[
        str, typer.Option(help="auto lets the best win; or only split, device-only, cloud-raw or cloud-jpeg.")
    ] = "auto",
    mix: Annotated[
        bool,
        typer.Option("--mix", help="Also plan and simulate a mixture of up to three nested cuts; say what it gains."),
    ] = False,
    device_precision: Annotated[
        str | None, typer.Option(help="Arithmetic of the device's profile: fp16 or fp32. Default: the target's.")
    ] = None,
    cloud_precision: Annotated[
        str | None, typer.Option(help="Arithmetic of the cloud's profile. Default: the target's.")
    ] = None,
    shapes: ModelFlags,
    engine: Annotated[
        str,
        typer.Option(
            help="trt also writes what TensorRT 11 builds on the target in half precision; rtx also builds the cloud "
            "half with TensorRT-RTX, for the server's GPU; no GPU needed."
        ),
    ] = "onnx",
    revision: Annotated[
        int, typer.Option(help="Counts the bundles installed on a device; it refuses lower ones.", min=0)
    ] = 0,
    passes: PassFlags,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the bundle, the recipe and what --dump-dir holds if they exist.")
    ] = False,
    json: Json = False,
) -> None:
    """Compile MODEL for a device, a server and the link between them.

    Finds the cut and the link's precision, writes both halves as ONNX into a bundle, and prints the plan beside
    device-only and cloud-only. Times are estimates from the targets' profiles unless the target is `local`.
    """
    import json as json_module
    from pathlib import Path

    from coachc.cli.compile_report import compile_json, print_compiled
    from coachc.cli.data_echo import announce, check_preview, data_json, data_lines, warn, write_preview
    from coachc.cli.files import check_bundle_place, refuse_packed
    from coachc.cli.progress import reporting
    from coachc.cli.recipe_file import check_recipe, write_recipe
    from coachc.cli.screen import Screen
    from coachc.core.plan import MODES
    from coachc.errors import UsageError
    from coachc.pipeline import CompileOptions, compile_model

    data = data.with_recipe()
    if data.calib is None:
        raise UsageError(
            "no calibration data: the precision of the link is measured on real inputs",
            hint="give --calib DIR (images) or --calib FILE.npz; --calib random compiles on noise (UNCALIBRATED)",
        )
    check_preview(data.preview, data.calib)
    if save_recipe is not None:
        check_recipe(save_recipe, force, data.calib)
    announce_bytes(link.bandwidth)
    (device, cloud), measured, (middle, bandwidths) = targets.sides, targets.measured, link.link_and_range
    batch, max_batch = shapes.batch_range
    options = CompileOptions(
        model=model,
        output=output or f"{Path(model).stem}.coach",
        device=device,
        cloud=cloud,
        link=targets.link_of(middle, bool(link.given & {"bandwidth", "rtt", "link"})),
        calib=data.calib,
        preprocess=data.preprocess_of,
        budget=data.budget_share,
        task=data.known_task,
        decode=data.reading,
        truth=data.truth,
        metric=data.metric,
        max_latency_s=search.max_latency_s,
        max_joules=search.max_joules,
        device_measured=measured[0],
        cloud_measured=measured[1],
        run=measured[2],
        device_precision=device_precision,
        cloud_precision=cloud_precision,
        batch=batch,
        max_batch=max_batch,
        input_shapes=shapes.input_shapes,
        max_samples=data.samples,
        mode=one_of(mode, "--mode", ("auto", *MODES)),
        objective=search.known_objective,
        search=search.method,
        workers=targets.workers,
        devices=targets.devices,
        observers=passes.observers(force=force),
        mix=mix,
        bandwidths=bandwidths,
        engine=one_of(engine, "--engine", ("onnx", "trt", "rtx")),
        revision=revision,
        force=force,
        warn=warn,
    )
    refuse_packed(model)
    check_bundle_place(model, options.output, force)
    announce(data.calib)
    with reporting() as progress:
        compiled = compile_model(options, progress)
    if save_recipe is not None:
        judged = compiled.summary["judged"]
        given = {name: getattr(data, name) for name in ("decode", "truth", "metric")}
        write_recipe(save_recipe, data.calib, data.samples, judged, compiled.preprocess, **given)
    write_preview(compiled.data, data.preview)
    if json:
        result = {**compile_json(compiled, options), "calibration_data": data_json(compiled.data, data.preview)}
        print(json_module.dumps(result, indent=1))
        return
    screen = Screen()
    screen.facts(data_lines(compiled.data, data.preview))
    print_compiled(screen, compiled, options)
