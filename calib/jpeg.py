"""Cloud-only with JPEG: the bytes and the accuracy of sending a compressed picture instead of features.

Where the samples are pictures both are measured. Where they are arrays, which were pictures once, the size is measured
on pictures made back from them; without real samples it is estimated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec

import numpy as np
import onnx

from coachc.calib.certificate import UnitLosses, by_unit, expects_proof
from coachc.calib.judges import losses_of
from coachc.calib.precision_chooser import measured_accuracy
from coachc.calib.proof import Step
from coachc.calib.reference_answers import Trial
from coachc.core.graph import Value
from coachc.core.plan import Accuracy
from coachc.frontend import ort
from coachc.runtime.bundle.image_source import ImageSource
from coachc.runtime.bundle.preprocess import decode_jpeg, encode_jpeg, normalize

QUALITY = 90
#: A JPEG at quality 90 by Pillow, by its channels: bytes before the first block, and bits a pixel of a photograph
#: 160 pixels wide or more. Mean over 100 ImageNet photographs; smaller copies of a picture hold more detail a pixel.
FILE_HEADER_BYTES = {1: 331, 3: 629}
PHOTO_BITS_PER_PIXEL = {1: 2.2, 3: 2.5}
_SMALL_SIDE, _SMALL_POWER = 160, 0.26
#: Arrays whose JPEG size is measured.
SIZE_SAMPLES = 64
#: Pixels a second, one core. Guesses: libjpeg-turbo on an ARM Cortex-A57, and on a server.
ENCODE_PIXELS_PER_S = 40e6
DECODE_PIXELS_PER_S = 150e6


@dataclass(frozen=True, slots=True)
class JpegCost:
    """What sending one JPEG takes.

    Attributes
    ----------
    size_bytes : int
        Mean.
    encode_s, decode_s : float
        Guesses, see `ENCODE_PIXELS_PER_S`.
    accuracy : Accuracy or None
        None if the pixels are not at hand.
    keeps_budget : bool
        Whether that accuracy is within the budget.
    note : str
        What the size rests on.
    lost : UnitLosses or None
        On the samples that are seen, where the pixels are at hand.
    """

    size_bytes: int
    encode_s: float
    decode_s: float
    accuracy: Accuracy | None
    keeps_budget: bool
    note: str
    lost: UnitLosses | None = field(default=None, compare=False, repr=False)


def measure_jpeg(model: onnx.ModelProto, inputs: Sequence[Value], trial: Trial, budget: float) -> JpegCost | None:
    """Cost of sending JPEGs of quality 90; None if the model does not take one picture of one or three channels.

    What it loses is measured on the samples that are seen; `jpeg_step` proves it on the others.
    """
    estimated, data = estimate_jpeg(inputs), trial.data
    if estimated is None:
        return None
    times = estimated.encode_s, estimated.decode_s
    channels_first = inputs[0].shape[1] in (1, 3)
    if isinstance(data.source, ImageSource):
        sizes, losses = _on_pictures(model, inputs[0], trial, kept=False)
        lost = _by_unit(trial, losses, kept=False)
        accuracy = measured_accuracy(trial, lost, kept=False)
        keeps = accuracy.loss <= budget
        if trial.division.proves:
            keeps = expects_proof(lost, trial.division.kept_size, budget)
        note = f"quality {QUALITY}, size measured on {len(sizes)} images"
        return JpegCost(round(sum(sizes) / len(sizes)), *times, accuracy, keeps, note, lost)
    if data.kind == "random" or find_spec("PIL") is None:
        return estimated
    pictures = [_picture(feed[inputs[0].name], channels_first) for feed in itertools.islice(data, SIZE_SAMPLES)]
    size_bytes = round(sum(len(encode_jpeg(picture, QUALITY)) for picture in pictures) / len(pictures))
    note = f"quality {QUALITY}, size measured on {len(pictures)} pictures made back from the arrays"
    return JpegCost(size_bytes, *times, None, False, note)


def jpeg_step(model: onnx.ModelProto, taken: Value, trial: Trial, lost: UnitLosses) -> Step:
    """What pictures lose when they travel as JPEGs, beside what was `lost` on the samples that are seen."""

    @cache
    def kept() -> UnitLosses:
        _, losses = _on_pictures(model, taken, trial, kept=True)
        return _by_unit(trial, losses, kept=True)

    return Step(lambda: lost, kept)


def estimate_jpeg(inputs: Sequence[Value]) -> JpegCost | None:
    """Cost of sending a photograph of the model's input size; None if it does not take one picture."""
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[0] != 1 or not {shape[1], shape[3]} & {1, 3}:
        return None
    channels, height, width = shape[1:] if shape[1] in (1, 3) else (shape[3], *shape[1:3])
    pixels = height * width
    detail = max(_SMALL_SIDE / max(math.sqrt(pixels), 1.0), 1.0) ** _SMALL_POWER
    bits = PHOTO_BITS_PER_PIXEL[channels] * detail
    note = f"quality {QUALITY}, size estimated at {bits:.2f} bits a pixel"
    size_bytes = FILE_HEADER_BYTES[channels] + round(pixels * bits / 8)
    return JpegCost(size_bytes, pixels / ENCODE_PIXELS_PER_S, pixels / DECODE_PIXELS_PER_S, None, False, note)


def _by_unit(trial: Trial, losses: np.ndarray, *, kept: bool) -> UnitLosses:
    division = trial.division
    return by_unit(losses, division.units[division.kept == kept], division.longest, whole=trial.judge.whole_losses)


def _on_pictures(model: onnx.ModelProto, taken: Value, trial: Trial, *, kept: bool) -> tuple[list[int], np.ndarray]:
    """Bytes of each picture of a part, and what each sample loses, shape (samples, measures)."""
    source = trial.data.source
    assert isinstance(source, ImageSource)
    session = ort.session(model, level="all")
    sizes: list[int] = []

    def answered() -> Iterator[tuple[int, list[np.ndarray]]]:
        for place, image in enumerate(itertools.islice(source.images(), trial.data.samples)):
            if bool(trial.division.kept[place]) != kept:
                continue
            data = encode_jpeg(image, QUALITY)
            sizes.append(len(data))
            decoded = normalize(decode_jpeg(data, source.preprocess), source.preprocess, taken.dtype)
            yield place, ort.run_sample(session, {taken.name: decoded})

    return sizes, losses_of(trial.judge, answered())


def _picture(array: np.ndarray, channels_first: bool) -> np.ndarray:
    """Pixels of a preprocessed picture, each channel stretched to 0..255."""
    # In float: differences of int8 overflow, bool has none.
    image = (array[0].transpose(1, 2, 0) if channels_first else array[0]).astype(np.float32)
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    return np.rint((image - low) / np.maximum(high - low, 1e-12) * 255).astype(np.uint8)
