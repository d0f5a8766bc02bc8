"""`coachc export`: a known network as a verified ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    name: Annotated[
        str,
        typer.Argument(
            help="resnet18, resnet34, resnet50, resnet101, resnet152, vgg16, vgg19, googlenet, mobilenet_v2, "
            "densenet121, squeezenet1_1 (input 3x224x224, 1000 classes or --classes; they need pip install "
            "'coachc[export]'), or digits (input 1x64x64, 10 classes), which needs no torch: its trained file comes "
            "with coachc and is copied.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.", show_default=False)],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights with torchvision's keys: .pth, .pt or .safetensors. "
            "Without them the weights are random (seed 0). Not for digits.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(help="Outputs of the last layer, for fine-tuned --weights. Default: 1000, ImageNet's.", min=1),
    ] = None,
    opset: Annotated[int, typer.Option(help="ONNX opset, 9 to 20; digits is 13 only.")] = 13,
) -> None:
    """Write a known network as ONNX: input `input`, output `logits`, any batch size."""
    from coachc.models.zoo import export_model

    result = export_model(name, output, weights=weights, opset=opset, classes=classes)
    typer.echo(
        f"{result.path}: opset {result.opset}, {result.size_bytes / 1e6:.1f} MB, "
        f"{result.parameters / 1e6:.2f} M parameters, weights: {result.weights}"
    )
    if not result.trained:
        typer.echo(f"warning: {name} is UNTRAINED; give its weights with --weights FILE", err=True)
    if not result.compared:
        typer.echo("warning: not compared with torch: ONNX Runtime is missing (pip install 'coachc[cpu]')", err=True)
