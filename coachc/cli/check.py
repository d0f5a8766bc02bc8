"""`coachc check`: graph correctness of a bundle or a model, for people and for CI."""

from __future__ import annotations

from typing import Annotated

import typer

from coachc.cli.options import Batch, Json, Shape


def check(
    path: Annotated[str, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle folder, or an ONNX file.")],
    source: Annotated[
        str | None, typer.Option(help="Bundle: real inputs (folder of images or .npz). Default: seeded noise.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Bundle: inputs to compare.", min=1)] = 4,
    all_cuts: Annotated[
        bool, typer.Option("--all-cuts", help="Model: cut it at every partition and compare with the whole.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    batch: Batch = 1,
    shape: Shape = None,
    json: Json = False,
) -> None:
    """Check that the halves of BUNDLE are the model, or that MODEL can be read (and cut everywhere).

    Runs onnx's checker, strict shape inference, an ONNX Runtime load of each part, and compares the recomposed halves
    with the whole model. Exit code 3 when a comparison fails.
    """
    import json as json_module
    import os

    from coachc.checks.all_cuts import check_all_cuts
    from coachc.checks.bundle import check_bundle
    from coachc.checks.recompose import Finding
    from coachc.cli.options import parse_shapes
    from coachc.cli.progress import reporting
    from coachc.errors import UsageError
    from coachc.frontend.onnx_import import import_model

    if os.path.isdir(path):
        if all_cuts:
            raise UsageError(
                "--all-cuts takes a model, not a bundle", hint=f"coachc check {path}/model.onnx --all-cuts"
            )
        findings = check_bundle(path, source, samples=samples, seed=seed)
    else:
        model = import_model(path, batch=batch, input_shapes=parse_shapes(shape))
        findings = [Finding("model", f"opset {model.opset}: read, checked and loaded, {len(model.values)} values")]
        if all_cuts:
            with reporting() as progress:
                findings += check_all_cuts(model, seed=seed, advance=lambda done, total: progress("cut", done, total))
    if json:
        print(json_module.dumps({"ok": True, "findings": [{"what": f.what, "detail": f.detail} for f in findings]}))
        return
    width = max(14, *(len(finding.what) + 2 for finding in findings))
    for finding in findings:
        print(f"ok  {finding.what:<{width}}{finding.detail}")
