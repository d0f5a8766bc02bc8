"""Calibration samples: from a folder, a file, videos or the user's code, or noise that has to be asked for."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from coachc.calib.arrays import CalibrationArrays
from coachc.calib.images import CalibrationImages
from coachc.calib.script import ScriptSource, script_of
from coachc.core.graph import Value
from coachc.errors import DataError
from coachc.runtime.bundle.feeds import Source, refuse_frame_rate
from coachc.runtime.bundle.image_folder import is_video
from coachc.runtime.bundle.label_check import check_labels
from coachc.runtime.bundle.manifest_types import DTYPES, Preprocess, TensorSpec
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.spread import spread_over_classes

Feed = Mapping[str, np.ndarray]

#: What `--calib` says when noise is wanted.
RANDOM = "random"
#: Noise samples: enough for a value range, and nothing more can be learnt from noise.
RANDOM_SAMPLES = 16


@dataclass
class Dataset:
    """Samples to iterate over as often as needed, read again each time.

    Attributes
    ----------
    kind : str
        "labels", "unlabelled" or "random".
    samples : int
        Number of feeds.
    labels : ndarray of int64, shape (samples * batch,), or None
    source : Source or None
        None for noise.
    feeds : sequence of feeds, or None
        Samples that are in memory: noise.
    watch : callable or None
        Told of each sample that is read: its index and its feed.
    groups : ndarray of int64, shape (samples * batch,), or None
        The clip that each row belongs to, where the source says; see `runtime.bundle.feeds.Source`.
    positions : ndarray of int64, shape (samples * batch,), or None
        Place of each row in the source; None where samples are in its order.
    """

    kind: str
    samples: int
    labels: np.ndarray | None
    source: Source | None
    feeds: Sequence[Feed] | None = field(default=None, repr=False)
    watch: Callable[[int, Feed], None] | None = None
    groups: np.ndarray | None = None
    positions: np.ndarray | None = None

    def __iter__(self) -> Iterator[Feed]:
        feeds = self.source if self.feeds is None else self.feeds
        assert feeds is not None
        for index, feed in enumerate(itertools.islice(feeds, self.samples)):
            if self.watch is not None:
                self.watch(index, feed)
            yield feed

    def part(self, wanted: np.ndarray) -> Iterator[tuple[int, Feed]]:
        """Some samples with their places, in order; `wanted`: ndarray of bool, shape (samples,)."""
        places = np.flatnonzero(wanted)
        end = int(places[-1]) + 1 if len(places) else 0
        for place, feed in enumerate(itertools.islice(self, end)):
            if wanted[place]:
                yield place, feed


def open_dataset(
    path: str,
    inputs: Sequence[Value],
    preprocess: Preprocess | None,
    *,
    max_samples: int,
    seed: int = 0,
    ordered: bool = False,
    frames_per_second: float | None = None,
    classes: int | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Open `--calib`.

    Parameters
    ----------
    path : str
        A .npz file, a folder of images or videos, a video, "file.py:function", or "random".
    inputs : sequence of Value
        The model's inputs, batch included.
    preprocess : Preprocess or None
        How images become tensors; needed for folders and videos.
    max_samples : int
        Use at most this many; of labelled ones each class its share.
    seed : int
        Of the noise, and of the choice and order of real samples. They come shuffled: folders are sorted by class, and
        whoever looks at the first few has to see all classes. A function's samples are its first, in its order.
    ordered : bool
        The first samples as they are in the source instead, for whoever replays continuous frames.
    frames_per_second : float, optional
        Take that many frames of a video by their timestamps; without, every frame.
    classes : int, optional
        Labels have to be below this.
    advance : callable
        (images decoded, images in all), while it is found out which of them can be read.

    Raises
    ------
    coachc.errors.DataError, runtime.errors.SourceError
        Nothing there, nothing in it, or it does not suit the model.
    """
    for value in inputs:
        if value.dtype not in DTYPES:
            raise DataError(
                f"input '{value.name}' takes {value.dtype}, which no sample can be given as: NumPy has no such type",
                hint="export the model with an input of float32 or float16",
            )
    if path == RANDOM:
        refuse_frame_rate(path, "noise", frames_per_second)
        rng = np.random.default_rng(seed)
        feeds = [{value.name: _noise(value, rng) for value in inputs} for _ in range(min(RANDOM_SAMPLES, max_samples))]
        return Dataset(RANDOM, len(feeds), None, None, feeds)
    specs = tuple(TensorSpec(value.name, value.dtype, value.shape) for value in inputs)
    source = _open(path, specs, preprocess, max_samples, max_samples if ordered else None, frames_per_second)
    positions = None
    check_labels(source.labels, classes, source.name_of)
    if isinstance(source, CalibrationImages | CalibrationArrays) and not ordered:
        batch = inputs[0].shape[0]
        order = _drawn(source.labels, len(source), batch, max_samples, seed)
        source.take(order)
        positions = (order[:, None] * batch + np.arange(batch)).ravel()
    if isinstance(source, CalibrationImages):
        kept = source.leave_out_unreadable(advance)
        positions = None if positions is None else positions[kept]
    kind = "unlabelled" if source.labels is None else "labels"
    return Dataset(kind, len(source), source.labels, source, groups=source.groups, positions=positions)


def _drawn(labels: np.ndarray | None, count: int, batch: int, max_samples: int, seed: int) -> np.ndarray:
    """Samples, shuffled; where some are left out, those that are spread over the classes."""
    order = np.random.default_rng(seed).permutation(count)
    if labels is None or max_samples >= count:
        return order[:max_samples]
    return order[np.isin(order, spread_over_classes(labels[::batch], max_samples, seed))]


def _open(
    path: str,
    inputs: Sequence[TensorSpec],
    preprocess: Preprocess | None,
    max_samples: int,
    limit: int | None,
    frames_per_second: float | None,
) -> Source:
    script = script_of(path)
    if script is not None:
        refuse_frame_rate(path, "samples of its own", frames_per_second)
        return ScriptSource(*script, inputs, max_samples)
    if os.path.exists(path) and (os.path.isdir(path) or is_video(path)):
        return CalibrationImages(path, inputs, preprocess, frames_per_second, limit)
    if path.endswith(".npz") and os.path.exists(path):
        refuse_frame_rate(path, "arrays", frames_per_second)
        return CalibrationArrays(path, inputs, limit)
    return open_source(path, inputs, preprocess)


def _noise(value: Value, rng: np.random.Generator) -> np.ndarray:
    if value.quantizable:
        return rng.standard_normal(value.shape).astype(value.dtype)
    return np.zeros(value.shape, value.dtype)
