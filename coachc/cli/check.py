"""`coachc check`: graph correctness of a bundle or a model, and whether its targets build it, for people and for CI."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.flags.group import takes_groups
from coachc.cli.flags.model_flags import ModelFlags
from coachc.cli.flags.pass_flags import PassFlags
from coachc.cli.options import Json, one_of


@takes_groups
def check(
    path: Annotated[str, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle folder, or an ONNX file.")],
    device: Annotated[
        str | None,
        typer.Option(help="Report what does not build on this device. Bundle: in place of the one compiled for."),
    ] = None,
    cloud: Annotated[
        str | None,
        typer.Option(help="Report what does not build on this server. Bundle: in place of the one compiled for."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Bundle: real inputs (folder of images or .npz). Default: seeded noise.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Bundle: inputs to compare.", min=1)] = 4,
    all_cuts: Annotated[
        bool, typer.Option("--all-cuts", help="Model: cut it at every partition and compare with the whole.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="Model: --all-cuts ends after that time and says what it covered.", min=1.0)
    ] = 120.0,
    engine: Annotated[
        str | None,
        typer.Option(help="Bundle: compare with TensorRT on this machine's GPU: trt (built here) or rtx (carried)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    *,
    shapes: ModelFlags,
    passes: PassFlags,
    output_format: Annotated[
        str, typer.Option("--format", help="text, json, sarif (2.1.0, for code scanning) or junit (XML).")
    ] = "text",
    json: Json = False,
) -> None:
    """Check that the halves of BUNDLE are the model and build on their targets, or that MODEL does on those given.

    Runs onnx's checker, strict shape inference, an ONNX Runtime load of each part, and compares the recomposed halves
    with the whole model. Every node that TensorRT on a target would refuse is reported with the rule, the reason and a
    remedy. Exit code 3 when a comparison fails or a node does not build; warnings alone exit with 0.
    """
    import os
    import time

    from coachc.checks.all_cuts import check_all_cuts
    from coachc.checks.bundle import check_bundle
    from coachc.checks.engines import check_engines
    from coachc.checks.formats import FORMATS
    from coachc.checks.recompose import Finding
    from coachc.checks.targets import check_bundle_targets, check_model_targets
    from coachc.cli.files import refuse_packed
    from coachc.cli.progress import reporting
    from coachc.cli.screen import Screen
    from coachc.cost.device_files import find_device
    from coachc.errors import UsageError
    from coachc.frontend.onnx_import import import_model
    from coachc.runtime.errors import FINDING

    started = time.monotonic()
    refuse_packed(path)
    one_of(output_format, "--format", FORMATS)
    if json and output_format not in ("text", "json"):
        raise UsageError(f"--json and --format {output_format} exclude each other", hint="leave one out")
    specs = {
        side: find_device(name, side=side) for side, name in (("device", device), ("cloud", cloud)) if name is not None
    }
    if os.path.isdir(path):
        shapes.refuse_for_bundle(path)
        if passes.print_after or passes.dump_dir is not None:
            raise UsageError(
                "--print-after and --dump-dir take a model, not a bundle", hint=f"coachc check {path}/model.onnx"
            )
        if all_cuts:
            raise UsageError(
                "--all-cuts takes a model, not a bundle", hint=f"coachc check {path}/model.onnx --all-cuts"
            )
        findings = check_bundle(path, source, samples=samples, seed=seed)
        if engine is not None:
            findings += check_engines(path, one_of(engine, "--engine", ("trt", "rtx")), samples=samples, seed=seed)
        reports = check_bundle_targets(path, specs)
    else:
        if engine is not None:
            raise UsageError("--engine takes a bundle, not a model", hint="coachc compile writes one")
        observers = passes.observers(lowering=False)
        model = import_model(path, batch=shapes.size, input_shapes=shapes.input_shapes, observers=observers)
        findings = [Finding("model", f"opset {model.opset}: read, checked and loaded, {len(model.values)} values")]
        if all_cuts:
            with reporting() as progress:
                findings += check_all_cuts(
                    model,
                    seed=seed,
                    seconds=seconds - (time.monotonic() - started),
                    advance=lambda done, total: progress("cut", done, total),
                )
        reports = check_model_targets(model.proto, path, specs)
    text = FORMATS["json" if json else output_format](findings, reports)
    if json or output_format != "text":
        print(text)
    else:
        Screen().line(text, 18)
    if not all(report.ok for report in reports):
        raise typer.Exit(FINDING)
