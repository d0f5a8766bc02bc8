"""Flags for how pictures become a model's input; with the model's shape their texts become a `Preprocess`."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.frontend.model import Model
    from coachc.runtime.bundle.manifest_types import Preprocess


#: What YOLO models are trained with.
GRAY = "114"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFlags(FlagGroup):
    """`--mean`, `--std`, `--pixel-scale`, `--color`, `--resize`, `--crop`, `--resize-to`, `--fill` and
    `--orientation`.

    `size` and `layout` are a recipe's: the input it was made for. They have no flag, since the model decides.
    """

    mean: Annotated[str, typer.Option(help="Images: subtracted per channel after scaling, e.g. 0.485,0.456,0.406.")] = (
        "0"
    )
    std: Annotated[str, typer.Option(help="Images: divided by per channel, e.g. 0.229,0.224,0.225.")] = "1"
    pixel_scale: Annotated[
        float | None,
        typer.Option(help="Images: pixels 0..255 are divided by this first. Default: 255; 1 for uint8 inputs."),
    ] = None
    color: Annotated[str, typer.Option(help="Images: rgb, bgr or gray. Default: by the model's channels.")] = ""
    resize: Annotated[str, typer.Option(help="Images: nearest, bilinear, bicubic, lanczos or area.")] = "bilinear"
    crop: Annotated[
        str,
        typer.Option(
            help="Images: none (resize to the input's size), center (--resize-to, then crop), center-square (crop, "
            "then resize), letterbox (keep the aspect ratio, in the middle of --fill) or letterbox-corner. Default: "
            "none, or center with --resize-to."
        ),
    ] = ""
    resize_to: Annotated[
        str,
        typer.Option(
            metavar="256|256x320", help="Images: what --crop center crops from: shorter side, or height x width."
        ),
    ] = ""
    fill: Annotated[
        str, typer.Option(metavar="114|0,0,0", help="Images: pixels around a letterbox, 0 to 255. Default: 114.")
    ] = ""
    orientation: Annotated[
        str,
        typer.Option(help="Images: exif (turned upright as the camera says) or stored (as they lie in the file)."),
    ] = "exif"
    size: tuple[int, ...] = ()
    layout: str = ""


def preprocess_of(model: Model, flags: ImageFlags) -> Preprocess | None:
    """How images become the input of `model`; None for inputs that are no single picture.

    Raises
    ------
    UsageError
        A flag cannot be understood, or does not suit the model or another flag.
    """
    from coachc.calib.input_overview import channel_axis
    from coachc.cli.options import one_of
    from coachc.runtime.bundle.manifest_types import COLORS, ORIENTATIONS, RESIZES, Preprocess
    from coachc.runtime.bundle.preprocess import leaves_pixels

    shape = model.values[model.inputs[0]].shape
    axis = channel_axis(shape)
    if len(model.inputs) != 1 or axis is None:
        return None
    layout, channels = ("nchw", shape[1]) if axis == 1 else ("nhwc", shape[3])
    size = shape[2:] if axis == 1 else shape[1:3]
    if flags.size and flags.size != size:
        raise UsageError(f"the recipe is for inputs of {_times(flags.size)}, the model takes {_times(size)}")
    if flags.layout and flags.layout != layout:
        raise UsageError(f"the recipe is for layout {flags.layout}, the model's input is {layout}")
    if flags.resize not in RESIZES:
        raise UsageError(f"--resize '{flags.resize}' is unknown", hint=f"one of {', '.join(RESIZES)}")
    color = flags.color or ("gray" if channels == 1 else "rgb")
    if color not in COLORS or (color == "gray") != (channels == 1):
        raise UsageError(
            f"--color '{color}' does not suit an input of {channels} channel(s)", hint=f"one of {', '.join(COLORS)}"
        )
    as_they_are = model.values[model.inputs[0]].dtype == "uint8"
    pixel_scale = flags.pixel_scale if flags.pixel_scale is not None else 1.0 if as_they_are else 255.0
    if not 0 < pixel_scale < math.inf:
        found = f"--pixel-scale {pixel_scale:g}"
        raise UsageError(f"{found} is not a positive number", hint="255 maps pixels to 0..1")
    deviations = parse_floats(flags.std, "--std", channels)
    if not all(s > 0 for s in deviations):
        raise UsageError(f"--std '{flags.std}' has a number that is not positive")
    crop, resize_to = _crop(flags, size)
    preprocess = Preprocess(
        size=(size[0], size[1]),
        resize=flags.resize,
        color=color,
        layout=layout,
        pixel_scale=pixel_scale,
        mean=parse_floats(flags.mean, "--mean", channels),
        std=deviations,
        crop=crop,
        resize_to=resize_to,
        orientation=one_of(flags.orientation, "--orientation", ORIENTATIONS),
        fill=_fill(flags.fill, crop, channels),
    )
    if as_they_are and not leaves_pixels(preprocess):
        raise UsageError(
            f"input '{model.inputs[0]}' takes pixels as they are (uint8), which --mean, --std and --pixel-scale change",
            context=[f"found  pixel scale {pixel_scale:g}, mean {flags.mean}, std {flags.std}"],
            hint="leave them out: the model normalizes by itself",
        )
    return preprocess


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


def _fill(text: str, crop: str, channels: int) -> tuple[int, ...]:
    """The pixel around a letterbox, () where there is none."""
    if not crop.startswith("letterbox"):
        if text:
            raise UsageError(f"--fill {text} is for --crop letterbox", context=[f"found  --crop {crop}"])
        return ()
    numbers = parse_floats(text or GRAY, "--fill", channels)
    if not all(0 <= number <= 255 and number == int(number) for number in numbers):
        raise UsageError(f"--fill '{text}' is no pixel", hint="whole numbers of 0 to 255, for example 114 or 0,0,0")
    return tuple(int(number) for number in numbers)


def parse_resize_to(text: str) -> tuple[int, ...]:
    """(shorter side,) from "256", (height, width) from "256x320", () from ""."""
    parts = text.lower().split("x") if text else []
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(
            f"--resize-to '{text}' is no length", hint="--resize-to 256 (shorter side) or 256x320 (height x width)"
        )
    return tuple(int(part) for part in parts)


def _crop(flags: ImageFlags, size: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    from coachc.runtime.bundle.manifest_checks import covers
    from coachc.runtime.bundle.manifest_types import CROPS

    resize_to = parse_resize_to(flags.resize_to)
    # Nothing else can be meant by a size other than the input's.
    crop = flags.crop or ("center" if resize_to else "none")
    if crop not in CROPS:
        raise UsageError(f"--crop '{crop}' is unknown", hint=f"one of {', '.join(CROPS)}")
    if crop != "center" and resize_to:
        raise UsageError(
            f"--resize-to {flags.resize_to} does not go with --crop {crop}",
            context=[f"it resizes to the model's input, {_times(size)}"],
            hint="--crop center crops what was resized",
        )
    if crop == "center" and not resize_to:
        raise UsageError("--crop center needs the size that is cropped from", hint="for example --resize-to 256")
    if resize_to and not covers(resize_to, size):
        raise UsageError(f"--resize-to {flags.resize_to} is smaller than the model's input of {_times(size)}")
    return crop, resize_to


def _times(lengths: tuple[int, ...]) -> str:
    return "x".join(map(str, lengths))
