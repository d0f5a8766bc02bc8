"""Calibration samples: real ones from a file or folder, or seeded noise that has to be asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from coachc.core.graph import Value
from runtime.bundle.manifest_types import Preprocess, TensorSpec
from runtime.bundle.source import ImageSource, Source, open_source

Feed = Mapping[str, np.ndarray]

#: What `--calib` says when noise is wanted.
RANDOM = "random"
#: Noise samples: enough for a value range, and nothing more can be learnt from noise.
RANDOM_SAMPLES = 16
#: Samples are kept in memory up to this size, and read again for every pass beyond it.
CACHE_BYTES = 1 << 30
#: Samples that others are blended with.
MIX_PARTNERS = 64


@dataclass
class Dataset:
    """Samples to iterate over as often as needed.

    Attributes
    ----------
    kind : str
        "labels", "unlabelled" or "random".
    samples : int
        Number of feeds.
    labels : ndarray of int64, shape (samples * batch,), or None
    source : Source or None
        None for noise.
    """

    kind: str
    samples: int
    labels: np.ndarray | None
    source: Source | None
    _cached: list[Feed] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Feed]:
        if self._cached is not None:
            return iter(self._cached)
        assert self.source is not None
        return self._read(self.source)

    def _read(self, source: Source) -> Iterator[Feed]:
        kept: list[Feed] | None = []
        size = 0
        for feed in itertools.islice(source, self.samples):
            yield feed
            size += sum(array.nbytes for array in feed.values())
            if kept is not None:
                kept.append(feed)
            if size > CACHE_BYTES:
                kept = None
        self._cached = kept

    def mixed(self, seed: int = 0) -> Mixed:
        """The same samples, each blended with another one; see `Mixed`."""
        step = max(self.samples // MIX_PARTNERS, 1)
        return Mixed(self, list(itertools.islice(self, 0, None, step)), seed)


@dataclass(frozen=True)
class Mixed:
    """Samples blended in pairs, at least half of each picture its own; labels stay.

    For a model that was trained on the samples they stand for pictures it has not seen: its margins on them are no
    longer those of training. Blending is mixup's (Zhang et al., 2018), used here to test instead of to train.

    Attributes
    ----------
    data : Dataset
    partners : list of feeds
        What is blended in.
    seed : int
    """

    data: Dataset
    partners: list[Feed]
    seed: int

    @property
    def samples(self) -> int:
        return self.data.samples

    def __iter__(self) -> Iterator[Feed]:
        rng = np.random.default_rng(self.seed)
        for feed in self.data:
            share = rng.uniform(0.5, 1.0)
            other = self.partners[rng.integers(len(self.partners))]
            yield {name: _blend(array, other[name], share) for name, array in feed.items()}


def open_dataset(
    path: str, inputs: Sequence[Value], preprocess: Preprocess | None, *, max_samples: int, seed: int = 0
) -> Dataset:
    """Open `--calib`.

    Parameters
    ----------
    path : str
        An .npz file, a folder of images, or "random".
    inputs : sequence of Value
        The model's inputs, batch included.
    preprocess : Preprocess or None
        How images become tensors; needed for a folder.
    max_samples : int
        Use at most this many.
    seed : int
        Of the noise, and of the order of real samples. They come shuffled: folders are sorted by class, and whoever
        looks at the first few has to see all classes. Arrays beyond `CACHE_BYTES` keep the order of their file.

    Raises
    ------
    runtime.errors.SourceError
        Nothing there, nothing in it, or the wrong shape.
    """
    if path == RANDOM:
        rng = np.random.default_rng(seed)
        feeds = [{value.name: _noise(value, rng) for value in inputs} for _ in range(RANDOM_SAMPLES)]
        return Dataset(RANDOM, len(feeds), None, None, list(feeds))
    specs = tuple(TensorSpec(value.name, value.dtype, value.shape) for value in inputs)
    source = open_source(path, specs, preprocess)
    return _shuffled(source, min(len(source), max_samples), inputs, seed)


def _shuffled(source: Source, samples: int, inputs: Sequence[Value], seed: int) -> Dataset:
    batch = inputs[0].shape[0]
    order = np.random.default_rng(seed).permutation(len(source))[:samples]
    fits = len(source) * sum(value.size_bytes for value in inputs) <= CACHE_BYTES
    cached = None
    if isinstance(source, ImageSource):
        rows = (order[:, None] * batch + np.arange(batch)).ravel()
        source.paths = [source.paths[row] for row in rows]
        source.labels = None if source.labels is None else source.labels[rows]
        order = np.arange(samples)
    elif fits:
        feeds = list(source)
        cached = [feeds[index] for index in order]
    else:
        order = np.arange(samples)
    rows = (order[:, None] * batch + np.arange(batch)).ravel()
    labels = None if source.labels is None else np.asarray(source.labels)[rows]
    return Dataset("unlabelled" if labels is None else "labels", samples, labels, source, cached)


def _noise(value: Value, rng: np.random.Generator) -> np.ndarray:
    if value.quantizable:
        return rng.standard_normal(value.shape).astype(value.dtype)
    return np.zeros(value.shape, value.dtype)


def _blend(array: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    return (array * share + other * (1.0 - share)).astype(array.dtype)
