"""`coachc compile`: from an ONNX model to a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli import options as opt
from coachc.cli.pass_flags import DumpDir, PrintAfter


def compile_(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file, or the .onnx beside its external data.")],
    device: opt.Device,
    cloud: opt.Cloud = "a6000",
    bandwidth: opt.Bandwidths = "20Mbit",
    rtt: opt.Rtt = "5ms",
    calib: opt.Calib = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Bundle to write (a folder). Default: MODEL's name with .coach."),
    ] = None,
    budget: opt.Budget = "0.5%",
    max_latency: opt.MaxLatency = None,
    objective: opt.Objective = "exact",
    search: opt.Search = "auto",
    mode: Annotated[
        str, typer.Option(help="auto lets the best win; or only split, device-only, cloud-raw or cloud-jpeg.")
    ] = "auto",
    samples: opt.Samples = 2000,
    workers: opt.Workers = 1,
    devices: opt.Devices = 1,
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
    batch: opt.Batch = 1,
    shape: opt.Shape = None,
    mean: opt.Mean = "0",
    std: opt.Std = "1",
    pixel_scale: opt.PixelScale = 255.0,
    color: opt.Color = "",
    resize: opt.Resize = "bilinear",
    crop: opt.Crop = "",
    resize_to: opt.ResizeTo = "",
    recipe: opt.Recipe = None,
    save_recipe: Annotated[
        str | None, typer.Option(metavar="FILE.toml", help="Write what --recipe reads: data and preprocessing as used.")
    ] = None,
    preview: opt.Preview = None,
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
    print_after: PrintAfter = None,
    dump_dir: DumpDir = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the bundle, the recipe and what --dump-dir holds if they exist.")
    ] = False,
    json: opt.Json = False,
) -> None:
    """Compile MODEL for a device, a server and the link between them.

    Finds the cut and the link's precision, writes both halves as ONNX into a bundle, and prints the plan beside
    device-only and cloud-only. Times are estimates from the targets' profiles unless the target is `local`.
    """
    import json as json_module
    from pathlib import Path

    from coachc.cli.compile_report import compile_json, print_compiled
    from coachc.cli.data_echo import announce, check_preview, data_json, data_lines, write_preview
    from coachc.cli.pass_flags import observers_of
    from coachc.cli.progress import reporting
    from coachc.cli.recipe_flags import calibration_flags, check_recipe, write_recipe
    from coachc.core.plan import MODES
    from coachc.cost.device import Link, find_device, parse_bandwidths, parse_duration
    from coachc.errors import UsageError
    from coachc.passes.candidates.auto import METHODS
    from coachc.passes.objective import OBJECTIVES
    from coachc.pipeline import CompileOptions, compile_model

    given = calibration_flags(ctx)
    if given.calib is None:
        raise UsageError(
            "no calibration data: the precision of the link is measured on real inputs",
            hint="give --calib DIR (images) or --calib FILE.npz; --calib random compiles on noise (UNCALIBRATED)",
        )
    check_preview(preview, given.calib)
    if save_recipe is not None:
        check_recipe(save_recipe, force)
    rate, bandwidths = parse_bandwidths(bandwidth)
    options = CompileOptions(
        model=model,
        output=output or f"{Path(model).stem}.coach",
        device=find_device(device, side="device"),
        cloud=find_device(cloud, side="cloud"),
        link=Link(rate, parse_duration(rtt, "--rtt")),
        calib=given.calib,
        preprocess=lambda imported: opt.images_of(imported, given, preview),
        budget=opt.parse_fraction(given.budget, "--budget"),
        max_latency_s=None if max_latency is None else parse_duration(max_latency, "--max-latency"),
        device_precision=device_precision,
        cloud_precision=cloud_precision,
        batch=batch,
        input_shapes=opt.parse_shapes(shape),
        max_samples=given.samples,
        mode=opt.one_of(mode, "--mode", ("auto", *MODES)),
        objective=opt.one_of(objective, "--objective", OBJECTIVES),
        search=opt.one_of(search, "--search", ("auto", *METHODS)),
        workers=workers,
        devices=devices,
        observers=observers_of(print_after, dump_dir, force=force),
        mix=mix,
        bandwidths=bandwidths,
        engine=opt.one_of(engine, "--engine", ("onnx", "trt", "rtx")),
        revision=revision,
        force=force,
    )
    announce(given.calib)
    with reporting() as progress:
        compiled = compile_model(options, progress)
    if save_recipe is not None:
        write_recipe(save_recipe, given, compiled.preprocess)
    write_preview(compiled.data, preview)
    if json:
        result = {**compile_json(compiled, options), "calibration_data": data_json(compiled.data, preview)}
        print(json_module.dumps(result, indent=1))
        return
    for line in data_lines(compiled.data, preview):
        print(line)
    print_compiled(compiled, options)
