"""What commands say about calibration samples: how they were read, what came out, and one picture of them."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.calib.data_report import DataReport
    from coachc.calib.input_overview import InputRange
    from coachc.runtime.bundle.manifest_types import Preprocess


def announce(calib: str | None) -> None:
    """Say on stderr, before it happens, that calibration data comes from running the user's code."""
    from coachc.calib.script import script_of

    script = None if calib is None else script_of(calib)
    if script is not None:
        file, function = script
        print(f"coachc runs your code: it imports {file} and calls its {function}() for samples", file=sys.stderr)


def warn(text: str) -> None:
    """Say on stderr, while the work goes on, what looks wrong; it is said once more with the results."""
    print(f"warning: {text}", file=sys.stderr)


def check_preview(preview: str | None, calib: str | None) -> None:
    """Raise an error if `--preview` cannot be drawn, before the samples are read."""
    from coachc.calib.contact_sheet import need_pillow
    from coachc.calib.dataset import RANDOM
    from coachc.cli.files import check_place

    if preview is None:
        return
    if not preview.lower().endswith(".png"):
        raise UsageError(f"--preview '{preview}' is not the name of a .png file", hint="--preview preview.png")
    if calib is None or calib == RANDOM:
        raise UsageError("--preview shows calibration samples, and there are none", hint="give --calib real inputs")
    check_place(preview, "--preview")
    need_pillow()


def write_preview(report: DataReport | None, preview: str | None) -> None:
    """Draw the first samples, if that was asked for."""
    from coachc.calib.contact_sheet import contact_sheet
    from coachc.cli.files import write_file

    if preview is None or report is None:
        return
    write_file(preview, contact_sheet(report.observed.pictures, report.captions, report.preprocess))


def data_json(report: DataReport | None, preview: str | None) -> dict[str, Any] | None:
    """The JSON object `calibration_data`; None without real samples."""
    from coachc.runtime.bundle.skipped import skipped_json

    if report is None:
        return None
    return {
        "source": report.source,
        "form": report.form,
        "labels": report.labels,
        "samples": report.samples,
        "skipped": skipped_json(report.skipped),
        "preprocess": None if report.preprocess is None else report.preprocess._asdict(),
        "range_samples": report.observed.samples,
        "inputs": [
            {
                "name": one.name,
                "shape": list(one.shape),
                "dtype": one.dtype,
                "channels": [
                    {"min": _finite(c.low), "mean": _finite(c.mean), "max": _finite(c.high)} for c in one.channels
                ],
            }
            for one in report.observed.ranges
        ],
        "preview": preview,
        "warnings": list(report.doubts),
    }


def data_lines(report: DataReport | None, preview: str | None) -> list[str]:
    """The same for people, one fact a line; nothing without real samples."""
    from coachc.runtime.bundle.skipped import printable, skipped_text

    if report is None:
        return []
    found = [f"samples   {report.samples:,} {_FORMS[report.form]} {printable(report.source)}, {report.labels}"]
    if report.skipped:
        found.append(f"skipped   {skipped_text(report.skipped)}")
    pictures = "" if report.preprocess is None else preprocess_text(report.preprocess)
    if report.form == "pictures":
        found.append(f"input     {pictures}")
    else:
        found.append("input     as it comes, already preprocessed" + (f"; pictures: {pictures}" if pictures else ""))
    found += [f"range     {_range_text(one, report.observed.samples)}" for one in report.observed.ranges]
    if preview is not None:
        found.append(f"preview   {preview}, the first {len(report.observed.pictures)}")
    return found + [f"warning   {text}" for text in report.doubts]


_FORMS = {"pictures": "pictures of", "arrays": "samples of", "function": "samples from"}


def preprocess_text(preprocess: Preprocess) -> str:
    """Resize, crop and normalization in one line."""
    from coachc.runtime.bundle.preprocess import leaves_pixels

    size = "x".join(map(str, preprocess.size))
    resize_to = "x".join(map(str, preprocess.resize_to))
    letterbox = f"resized to fit {size} ({preprocess.resize})"
    fill = f"pixels {list(preprocess.fill)}"
    shorter = "shorter side " if len(preprocess.resize_to) == 1 else ""
    steps = {
        "none": f"resized to {size} ({preprocess.resize})",
        "center": f"{shorter}resized to {resize_to} ({preprocess.resize}), centre {size} cropped out",
        "center-square": f"centre square cropped out, resized to {size} ({preprocess.resize})",
        "letterbox": f"{letterbox}, in the middle of {fill}",
        "letterbox-corner": f"{letterbox}, at the left upper corner of {fill}",
    }[preprocess.crop]
    turned = "" if preprocess.orientation == "exif" else ", not turned upright"
    formula = f"(pixel / {preprocess.pixel_scale:g} - {list(preprocess.mean)}) / {list(preprocess.std)}"
    values = "pixels as they are" if leaves_pixels(preprocess) else formula
    return f"{steps}{turned}, {preprocess.color}, {preprocess.layout}, {values}"


def _range_text(one: InputRange, samples: int) -> str:
    channels = [f"{c.low:.4g} .. {c.mean:.4g} .. {c.high:.4g}" for c in one.channels]
    shown = channels[0] if len(channels) == 1 else ", ".join(f"[{i}] {text}" for i, text in enumerate(channels))
    return f"{one.name} {shown} (least .. mean .. largest of the first {samples})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
