"""Flags more than one command takes, and how their text becomes values. Units are parsed here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from coachc.core.plan import MAX_BITS, MIN_BITS
from coachc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coachc.cli.recipe_flags import CalibrationFlags
    from coachc.cost.device import DeviceSpec, Link
    from coachc.frontend.model import Model
    from coachc.planning.calibration import Calibration
    from coachc.planning.problem import Problem, Setting
    from coachc.runtime.bundle.manifest_types import Preprocess

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
Bandwidths = Annotated[
    str,
    typer.Option(
        help="Uplink rate on the wire with its unit: 20Mbit, 500kbit, 2.5MB/s (per second); or a range, "
        "2Mbit..100Mbit, for which the bundle gets up to four nested cuts that share their weights."
    ),
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
        "(and labels), data.py:load for a function of yours that gives samples, or `random` for noise, which stamps "
        "the bundle UNCALIBRATED."
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
Crop = Annotated[
    str,
    typer.Option(
        help="Images: none (resize to the input's size), center (--resize-to, then crop) or center-square (crop, then "
        "resize). Default: none, or center with --resize-to."
    ),
]
ResizeTo = Annotated[
    str,
    typer.Option(metavar="256|256x320", help="Images: what --crop center crops from: shorter side, or height x width."),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.toml", help="Calibration data and how it is read, from a file; flags given here win over it."
    ),
]
Preview = Annotated[
    str | None,
    typer.Option(metavar="FILE.png", help="Draw the first 16 calibration samples as the model gets them."),
]

#: Precision that stands for the unknown one where nothing is measured.
UNMEASURED_BITS = 4


class ImageFlags(NamedTuple):
    """The image flags of `coachc compile`; the defaults are those of the command.

    `size` and `layout` are a recipe's: the input it was made for. They have no flag, since the model decides.
    """

    mean: str = "0"
    std: str = "1"
    pixel_scale: float = 255.0
    color: str = ""
    resize: str = "bilinear"
    crop: str = ""
    resize_to: str = ""
    size: tuple[int, ...] = ()
    layout: str = ""


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


def calibration_of(problem: Problem, given: CalibrationFlags, bits: int | None, preview: str | None) -> Calibration:
    """What `--calib` measures, or the precision that `--bits` takes for granted.

    Raises
    ------
    UsageError
        Both are given.
    """
    from coachc.cli.data_echo import announce, check_preview
    from coachc.cli.progress import reporting
    from coachc.planning.calibration import open_calibration, without_samples

    check_preview(preview, given.calib)
    if given.calib is None:
        return without_samples(problem, bits or UNMEASURED_BITS)
    if bits is not None:
        flag = "--calib" if given.recipe is None else f"the data of {given.recipe}"
        raise UsageError(f"--bits and {flag} exclude each other: samples measure the precision", hint="leave one out")
    preprocess = images_of(problem.model, given, preview)
    announce(given.calib)
    with reporting() as progress:
        return open_calibration(
            problem,
            given.calib,
            preprocess,
            max_samples=given.samples,
            budget=parse_fraction(given.budget, "--budget"),
            progress=progress,
        )


def images_of(model: Model, given: CalibrationFlags, preview: str | None = None) -> Preprocess | None:
    """How images become the input; None for arrays, unless a flag says otherwise.

    Arrays say nothing about images; unless the flags do, a bundle must not pretend to know.

    Raises
    ------
    UsageError
        The flags do not suit the model, or there is no picture to preview.
    """
    import os

    from coachc.calib.input_overview import channel_axis
    from coachc.cli.image_flags import preprocess_of
    from coachc.runtime.bundle.image_folder import is_video

    first = model.values[model.inputs[0]]
    if preview is not None and channel_axis(first.shape) is None:
        raise UsageError(f"--preview shows pictures, and input '{first.name}' of shape {first.shape} is none")
    if given.calib is None:
        return None
    if not (os.path.isdir(given.calib) or is_video(given.calib) or given.images != ImageFlags()):
        return None
    try:
        return preprocess_of(model, given.images)
    except UsageError as exc:
        if given.recipe is None:
            raise
        raise UsageError(exc.message, context=[*exc.context, f"recipe  {given.recipe}"], hint=exc.hint) from exc


def one_of(text: str, flag: str, known: Iterable[str]) -> str:
    """A flag's value that is one of a few words."""
    if text not in known:
        raise UsageError(f"{flag} '{text}' is unknown", hint=f"one of {', '.join(known)}")
    return text


def setting_of(
    model: str,
    sides: tuple[DeviceSpec, DeviceSpec],
    link: Link,
    family: str,
    batch: int,
    shape: list[str] | None,
    *,
    workers: int,
    devices: int,
) -> Setting:
    """Where a model is to run, both sides' profiles being of one family; a target that is measured here has only one.

    Raises
    ------
    UsageError, ProfileError
        There is no such family, or a target has no profile of it.
    """
    from coachc.cost.device import FAMILIES
    from coachc.planning.problem import Setting

    one_of(family, "--family", FAMILIES)
    precisions = [None if spec.is_local else spec.precision_of(family) for spec in sides]
    return Setting(
        model=model,
        device=sides[0],
        cloud=sides[1],
        link=link,
        device_precision=precisions[0],
        cloud_precision=precisions[1],
        batch=batch,
        input_shapes=parse_shapes(shape),
        workers=workers,
        devices=devices,
    )
