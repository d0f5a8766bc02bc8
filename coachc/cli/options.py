"""Flags more than one command takes, and how their text becomes values. Units are parsed here, once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.frontend.model import Model
    from runtime.bundle.manifest_types import Preprocess

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of a table.")]
Batch = Annotated[int, typer.Option(help="Size of an input's first axis where the model leaves it open.", min=1)]
Shape = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME:1x3x224x224",
        help="Whole shape of one input, for models that leave other axes open. Repeat for more inputs.",
    ),
]


class ImageFlags(NamedTuple):
    """The image flags of `coachc compile`; the defaults are those of the command."""

    mean: str = "0"
    std: str = "1"
    pixel_scale: float = 255.0
    color: str = ""
    resize: str = "bilinear"


def parse_shapes(texts: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Input shapes from "name:1x3x224x224"."""
    shapes = {}
    for text in texts or []:
        name, _, dims = text.rpartition(":")
        parts = dims.lower().split("x")
        if not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise UsageError(f"--shape '{text}' is not NAME:AxBxC", hint="for example --shape input:1x3x224x224")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def parse_fraction(text: str, flag: str) -> float:
    """A fraction from "0.5%" or "0.005"."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(f"{flag} '{text}' is not a fraction between 0 and 1", hint=f"for example {flag} 0.5%")
    return value


def parse_floats(text: str, flag: str, count: int) -> tuple[float, ...]:
    """One number a channel, from "0.485,0.456,0.406"; a single one stands for all."""
    try:
        values = tuple(float(part) for part in text.split(","))
        if not all(map(math.isfinite, values)):
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{flag} '{text}' is not a list of numbers", hint=f"for example {flag} 0.485,0.456,0.406"
        ) from None
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise UsageError(f"{flag} has {len(values)} numbers, the model's input has {count} channels")
    return values


def preprocess_of(model: Model, flags: ImageFlags) -> Preprocess | None:
    """How images become the input of `model`; None for inputs that are no single picture."""
    mean, std, pixel_scale, color, resize = flags
    from runtime.bundle.manifest_types import COLORS, RESIZES, Preprocess

    value = model.values[model.inputs[0]]
    if len(model.inputs) != 1 or len(value.shape) != 4 or not {value.shape[1], value.shape[3]} & {1, 3}:
        return None
    layout = "nchw" if value.shape[1] in (1, 3) else "nhwc"
    channels = value.shape[1] if layout == "nchw" else value.shape[3]
    size = value.shape[2:] if layout == "nchw" else value.shape[1:3]
    if resize not in RESIZES:
        raise UsageError(f"--resize '{resize}' is unknown", hint=f"one of {', '.join(RESIZES)}")
    chosen = color or ("gray" if channels == 1 else "rgb")
    if chosen not in COLORS or (chosen == "gray") != (channels == 1):
        raise UsageError(
            f"--color '{chosen}' does not suit an input of {channels} channel(s)", hint=f"one of {', '.join(COLORS)}"
        )
    if not 0 < pixel_scale < math.inf:
        raise UsageError(f"--pixel-scale {pixel_scale:g} is not a positive number", hint="255 maps pixels to 0..1")
    deviations = parse_floats(std, "--std", channels)
    if not all(s > 0 for s in deviations):
        raise UsageError(f"--std '{std}' has a number that is not positive")
    return Preprocess(
        size=(size[0], size[1]),
        resize=resize,
        color=chosen,
        layout=layout,
        pixel_scale=pixel_scale,
        mean=parse_floats(mean, "--mean", channels),
        std=deviations,
    )
