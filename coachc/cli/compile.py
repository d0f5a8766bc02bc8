"""`coachc compile`: from an ONNX model to a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.options import Batch, Json, Shape


def compile_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file, or the .onnx beside its external data.")],
    device: Annotated[
        str, typer.Option(help="Weak side: tx2, xavier-nx, orin-nano, ... or local; see `coachc devices`.")
    ],
    cloud: Annotated[str, typer.Option(help="Strong side: a6000, l4, t4, a100, h100 or local.")] = "a6000",
    bandwidth: Annotated[
        str, typer.Option(help="Uplink rate on the wire with its unit: 20Mbit, 500kbit, 2.5MB/s (per second).")
    ] = "20Mbit",
    rtt: Annotated[str, typer.Option(help="Round trip time of the link with its unit: 5ms, 0.04s.")] = "5ms",
    calib: Annotated[
        str | None,
        typer.Option(
            help="Calibration data: a folder of images, a .npz of preprocessed arrays named after the model's inputs "
            "(and labels), or `random` for noise, which stamps the bundle UNCALIBRATED."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Bundle to write (a folder). Default: MODEL's name with .coach."),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Accuracy that may be lost, in percent of samples (0.5%) or as a fraction (0.005).")
    ] = "0.5%",
    max_latency: Annotated[
        str | None, typer.Option(help="Longest admissible time from input to answer, with its unit: 30ms.")
    ] = None,
    objective: Annotated[
        str, typer.Option(help="exact: least period, then latency, then bytes. latency: least latency first.")
    ] = "exact",
    search: Annotated[
        str,
        typer.Option(help="How partitions are found: auto, exact (all), recursive (the paper's), frontier or mincut."),
    ] = "auto",
    mode: Annotated[
        str, typer.Option(help="auto lets the best win; or only split, device-only, cloud-raw or cloud-jpeg.")
    ] = "auto",
    samples: Annotated[int, typer.Option(help="Use at most this many calibration samples.", min=1)] = 2000,
    workers: Annotated[int, typer.Option(help="Engines on the server that work at once.", min=1)] = 1,
    device_precision: Annotated[
        str | None, typer.Option(help="Arithmetic of the device's profile: fp16 or fp32. Default: the target's.")
    ] = None,
    cloud_precision: Annotated[
        str | None, typer.Option(help="Arithmetic of the cloud's profile. Default: the target's.")
    ] = None,
    batch: Batch = 1,
    shape: Shape = None,
    mean: Annotated[
        str, typer.Option(help="Images: subtracted per channel after scaling, e.g. 0.485,0.456,0.406.")
    ] = "0",
    std: Annotated[str, typer.Option(help="Images: divided by per channel, e.g. 0.229,0.224,0.225.")] = "1",
    pixel_scale: Annotated[float, typer.Option(help="Images: pixels 0..255 are divided by this first.")] = 255.0,
    color: Annotated[str, typer.Option(help="Images: rgb, bgr or gray. Default: by the model's channels.")] = "",
    resize: Annotated[str, typer.Option(help="Images: nearest, bilinear, bicubic, lanczos or area.")] = "bilinear",
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle if it exists.")] = False,
    json: Json = False,
) -> None:
    """Compile MODEL for a device, a server and the link between them.

    Finds the cut and the link's precision, writes both halves as ONNX into a bundle, and prints the plan beside
    device-only and cloud-only. Times are estimates from the targets' profiles unless the target is `local`.
    """
    import os
    from pathlib import Path

    from coachc.cli.options import ImageFlags, parse_fraction, parse_shapes, preprocess_of
    from coachc.cli.progress import reporting
    from coachc.cli.report import print_compiled
    from coachc.core.plan import MODES
    from coachc.cost.device import Link, find_device, parse_bandwidth, parse_duration
    from coachc.errors import UsageError
    from coachc.pipeline import CompileOptions, compile_model
    from passes.candidates.auto import METHODS
    from passes.partition import OBJECTIVES

    if calib is None:
        raise UsageError(
            "no calibration data: the precision of the link is measured on real inputs",
            hint="give --calib DIR (images) or --calib FILE.npz; --calib random compiles on noise (UNCALIBRATED)",
        )
    if mode not in ("auto", *MODES):
        raise UsageError(f"--mode '{mode}' is unknown", hint=f"one of auto, {', '.join(MODES)}")
    if search not in ("auto", *METHODS):
        raise UsageError(f"--search '{search}' is unknown", hint=f"one of auto, {', '.join(METHODS)}")
    if objective not in OBJECTIVES:
        raise UsageError(f"--objective '{objective}' is unknown", hint=f"one of {', '.join(OBJECTIVES)}")
    flags = ImageFlags(mean, std, pixel_scale, color, resize)
    # A .npz says nothing about images; unless the flags do, the bundle must not pretend to know.
    pictures = os.path.isdir(calib) or flags != ImageFlags()
    options = CompileOptions(
        model=model,
        output=output or f"{Path(model).stem}.coach",
        device=find_device(device, side="device"),
        cloud=find_device(cloud, side="cloud"),
        link=Link(parse_bandwidth(bandwidth), parse_duration(rtt, "--rtt")),
        calib=calib,
        preprocess=lambda imported: preprocess_of(imported, flags) if pictures else None,
        budget=parse_fraction(budget, "--budget"),
        max_latency_s=None if max_latency is None else parse_duration(max_latency, "--max-latency"),
        device_precision=device_precision,
        cloud_precision=cloud_precision,
        batch=batch,
        input_shapes=parse_shapes(shape),
        max_samples=samples,
        mode=mode,
        objective=objective,
        search=search,
        workers=workers,
        force=force,
    )
    with reporting() as progress:
        compiled = compile_model(options, progress)
    print_compiled(compiled, options, as_json=json)
