"""Pictures for calibration, of folders or videos: in any order, decoded once, none of them kept in memory."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from coachc.calib.activation_cache import Remembered, Tensors
from coachc.calib.decoded_frames import DecodedFrames
from coachc.core.ahead import ahead
from coachc.runtime.bundle.image_source import ImageSource, none_readable
from coachc.runtime.bundle.labels_table import LABELS_FILE
from coachc.runtime.bundle.manifest_types import Preprocess, TensorSpec
from coachc.runtime.bundle.preprocess import normalize, pixels
from coachc.runtime.bundle.skipped import Skipped
from coachc.runtime.bundle.video import read_frames
from coachc.runtime.errors import UnreadablePicture

#: Pictures decoded at once: beside ONNX Runtime, which also uses every core, more do not help.
DECODERS = min(4, os.cpu_count() or 1)
#: Pictures decoded before they are asked for, by each of them.
LOOK_AHEAD = 4
#: Pictures that are timed from file to input.
TIMED = 9


class CalibrationImages(ImageSource):
    """The pictures of a folder or of videos, in an order of the caller's.

    The first pass decodes images in a few threads, videos from their beginning on; `leave_out_unreadable` comes before
    it, since the samples have to be known by then. Their pixels go to a temporary file,
    since decoding a photograph again for every cut that is measured takes longer than running the model on it.

    Attributes
    ----------
    class_names : tuple of str
        Name of each class, where folders are classes; else empty.
    layout : str
        What the folder looks like, in words.
    unreadable : tuple of Skipped
        Those of `skipped` that are images and cannot be read, once that is known.
    """

    def __init__(
        self,
        path: str,
        inputs: Sequence[TensorSpec],
        preprocess: Preprocess | None,
        frames_per_second: float | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(path, inputs, preprocess, frames_per_second, limit, spread=False)
        self.class_names: tuple[str, ...] = ()
        self.layout = "no labels"
        self.unreadable: tuple[Skipped, ...] = ()
        if os.path.isfile(os.path.join(path, LABELS_FILE)):
            self.layout = f"labels from {LABELS_FILE}"
        elif self.labels is not None:
            named = dict(zip(self.labels.tolist(), map(_folder, self.paths), strict=True))
            self.class_names = tuple(named.get(label, str(label)) for label in range(max(named) + 1))
            self.layout = f"one folder per class, {len(named)} classes"
        if self.groups is not None:
            videos = int(self.groups[-1]) + 1
            self.layout += f", frames of {videos} video{'s' if videos > 1 else ''}"
        self._pixels = self._undecoded()

    def take(self, tasks: np.ndarray) -> None:
        """Go over these tasks only, in this order."""
        self._take_rows((tasks[:, None] * self._batch + np.arange(self._batch)).ravel())
        self._pixels = self._undecoded()

    def leave_out_unreadable(self, advance: Callable[[int, int], None] = lambda done, total: None) -> np.ndarray:
        """Decode all images, once and for all passes, and go over those only that can be read.

        Parameters
        ----------
        advance : callable
            (images decoded, images in all).

        Returns
        -------
        ndarray of int64
            Which of the rows are left: as many as fill whole batches. Videos keep theirs.

        Raises
        ------
        SourceError
            No image can be read, or too few for one batch.
        """
        total = len(self.paths)
        if self.frames is not None:
            return np.arange(total)
        for done, _ in enumerate(self._pixels, 1):
            advance(done, total)
        kept = np.delete(np.arange(total), list(self._unreadable))
        self.unreadable = tuple(Skipped(self.name_of(row), why) for row, why in sorted(self._unreadable.items()))
        over = kept[len(kept) // self._batch * self._batch :].tolist()
        left_over = tuple(Skipped(self.name_of(row), f"left over, fills no batch of {self._batch}") for row in over)
        self.skipped += self.unreadable + left_over
        kept = kept[: len(kept) - len(over)]
        if not len(kept):
            raise none_readable(self._path, self.skipped)
        # What is decoded stays: it is without the unreadable ones, too.
        self._take_rows(kept)
        return kept

    def images(self) -> Iterator[np.ndarray]:
        """Every image as `preprocess.pixels` makes it: uint8, (H, W, C)."""
        return (kept["pixels"] for kept in itertools.islice(self._pixels, len(self.paths)))

    def picture_s(self) -> float:
        """Seconds from a file, or a frame of one, to the model's input: the median of a few, one after the other."""
        pictures: Iterator[str | np.ndarray] = iter(self.paths[:TIMED])
        if self.frames is not None and self.groups is not None:
            first = np.sort(self.frames[self.groups == self.groups[0]])
            pictures = read_frames(self.paths[0], first[:TIMED].tolist())
        times = []
        start_s = time.perf_counter()
        for picture in pictures:
            normalize(pixels(picture, self.preprocess), self.preprocess, self._spec.dtype)
            times.append(time.perf_counter() - start_s)
            start_s = time.perf_counter()
        return statistics.median(times)

    def _undecoded(self) -> Iterable[Tensors]:
        if self.frames is not None and self.groups is not None:
            return DecodedFrames(self.paths, self.frames, self.groups, self.preprocess)
        self._unreadable: dict[int, str] = {}
        return Remembered(partial(_decoded, tuple(self.paths), self.preprocess, self._unreadable))


def _decoded(paths: Sequence[str], preprocess: Preprocess, unreadable: dict[int, str]) -> Iterator[Tensors]:
    """Pixels of the images that can be read; the others' places and reasons go to `unreadable`."""
    for row, found in enumerate(
        ahead(partial(_read, preprocess=preprocess), paths, workers=DECODERS, waiting=LOOK_AHEAD)
    ):
        if isinstance(found, UnreadablePicture):
            unreadable[row] = "cannot be read: " + found.reason
        else:
            yield {"pixels": found}


def _read(path: str, preprocess: Preprocess) -> np.ndarray | UnreadablePicture:
    try:
        return pixels(path, preprocess)
    except UnreadablePicture as exc:
        return exc


def _folder(path: str) -> str:
    return os.path.basename(os.path.dirname(path))
