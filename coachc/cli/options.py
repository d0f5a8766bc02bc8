"""Flags more than one command takes, and how their text becomes values. Units are parsed here, once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from coachc.core.plan import MAX_BITS, MIN_BITS
from coachc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coachc.cost.device import DeviceSpec
    from coachc.frontend.model import Model
    from coachc.planning.calibration import Calibration
    from coachc.planning.problem import Problem
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


Device = Annotated[str, typer.Option(help="Weak side: tx2, xavier-nx, orin-nano, ... or local; see `coachc devices`.")]
Cloud = Annotated[str, typer.Option(help="Strong side: a6000, l4, t4, a100, h100 or local.")]
Bandwidth = Annotated[
    str, typer.Option(help="Uplink rate on the wire with its unit: 20Mbit, 500kbit, 2.5MB/s (per second).")
]
Rtt = Annotated[str, typer.Option(help="Round trip time of the link with its unit: 5ms, 0.04s.")]
Workers = Annotated[int, typer.Option(help="Engines on the server that work at once.", min=1)]
Devices = Annotated[int, typer.Option(help="Devices that share the server, each with a link of its own.", min=1)]
Family = Annotated[
    str, typer.Option(help="Profiles of both sides: tensorrt (what is deployed) or eager (PyTorch, the paper's).")
]
Bits = Annotated[
    int | None,
    typer.Option(help="Precision of every cut where no --calib measures it. Default: 4.", min=MIN_BITS, max=MAX_BITS),
]
Calib = Annotated[
    str | None,
    typer.Option(
        help="Calibration data: a folder of images, a .npz of preprocessed arrays named after the model's inputs "
        "(and labels), or `random` for noise, which stamps the bundle UNCALIBRATED."
    ),
]
Budget = Annotated[
    str, typer.Option(help="Accuracy that may be lost, in percent of samples (0.5%) or as a fraction (0.005).")
]
MaxLatency = Annotated[
    str | None, typer.Option(help="Longest admissible time from input to answer, with its unit: 30ms.")
]
Objective = Annotated[
    str,
    typer.Option(
        help="exact: least period, then scheduled latency, then bytes. latency: least latency first. paper-eq6: "
        "COACH's Eq. 6 as printed."
    ),
]
Search = Annotated[
    str,
    typer.Option(help="How partitions are found: auto, exact (all), recursive (the paper's), frontier or mincut."),
]
Samples = Annotated[int, typer.Option(help="Use at most this many calibration samples.", min=1)]
Mean = Annotated[str, typer.Option(help="Images: subtracted per channel after scaling, e.g. 0.485,0.456,0.406.")]
Std = Annotated[str, typer.Option(help="Images: divided by per channel, e.g. 0.229,0.224,0.225.")]
PixelScale = Annotated[float, typer.Option(help="Images: pixels 0..255 are divided by this first.")]
Color = Annotated[str, typer.Option(help="Images: rgb, bgr or gray. Default: by the model's channels.")]
Resize = Annotated[str, typer.Option(help="Images: nearest, bilinear, bicubic, lanczos or area.")]

#: Precision that stands for the unknown one where nothing is measured.
UNMEASURED_BITS = 4


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


def calibration_of(
    problem: Problem, calib: str | None, bits: int | None, flags: ImageFlags, budget: str, samples: int
) -> Calibration:
    """What `--calib` measures, or the precision that `--bits` takes for granted.

    Raises
    ------
    UsageError
        Both are given.
    """
    from coachc.cli.progress import reporting
    from coachc.planning.calibration import open_calibration, without_samples

    if calib is None:
        return without_samples(problem, bits or UNMEASURED_BITS)
    if bits is not None:
        raise UsageError("--bits and --calib exclude each other: samples measure the precision", hint="leave one out")
    with reporting() as progress:
        return open_calibration(
            problem,
            calib,
            images_of(problem.model, calib, flags),
            max_samples=samples,
            budget=parse_fraction(budget, "--budget"),
            progress=progress,
        )


def images_of(model: Model, calib: str, flags: ImageFlags) -> Preprocess | None:
    """How images become the input; None for arrays, unless a flag says otherwise.

    A .npz says nothing about images; unless the flags do, a bundle must not pretend to know.
    """
    import os

    return preprocess_of(model, flags) if os.path.isdir(calib) or flags != ImageFlags() else None


def one_of(text: str, flag: str, known: Iterable[str]) -> str:
    """A flag's value that is one of a few words."""
    if text not in known:
        raise UsageError(f"{flag} '{text}' is unknown", hint=f"one of {', '.join(known)}")
    return text


def family_of(sides: tuple[DeviceSpec, DeviceSpec], family: str) -> tuple[str | None, str | None]:
    """Precisions of both sides' profiles in a family; a target that is measured here has only one."""
    from coachc.cost.device import FAMILIES

    one_of(family, "--family", FAMILIES)
    return tuple(None if spec.is_local else spec.precision_of(family) for spec in sides)  # type: ignore[return-value]
