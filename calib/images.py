"""Pictures for calibration, of folders or videos: in any order, decoded once, none of them kept in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np

from coachc.calib.activation_cache import Remembered, Tensors
from coachc.calib.decoded_frames import DecodedFrames
from coachc.runtime.bundle.image_source import ImageSource
from coachc.runtime.bundle.labels_table import LABELS_FILE
from coachc.runtime.bundle.manifest_types import Preprocess, TensorSpec
from coachc.runtime.bundle.preprocess import pixels

#: Pictures decoded at once: beside ONNX Runtime, which also uses every core, more do not help.
DECODERS = min(4, os.cpu_count() or 1)
#: Pictures decoded before they are asked for.
LOOK_AHEAD = 4 * DECODERS


class CalibrationImages(ImageSource):
    """The pictures of a folder or of videos, in an order of the caller's.

    The first pass decodes images in a few threads, videos from their beginning on. Their pixels go to a temporary file,
    since decoding a photograph again for every cut that is measured takes longer than running the model on it.

    Attributes
    ----------
    class_names : tuple of str
        Name of each class, where folders are classes; else empty.
    layout : str
        What the folder looks like, in words.
    """

    def __init__(
        self,
        path: str,
        inputs: Sequence[TensorSpec],
        preprocess: Preprocess | None,
        frames_per_second: float | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(path, inputs, preprocess, frames_per_second, limit)
        self.class_names: tuple[str, ...] = ()
        self.layout = "no labels"
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
        rows = (tasks[:, None] * self._batch + np.arange(self._batch)).ravel()
        self.paths = [self.paths[row] for row in rows]
        self.labels, self.frames, self.groups = (
            None if array is None else array[rows] for array in (self.labels, self.frames, self.groups)
        )
        self._pixels = self._undecoded()

    def images(self) -> Iterator[np.ndarray]:
        """Every image as `preprocess.pixels` makes it: uint8, (H, W, C)."""
        return (kept["pixels"] for kept in self._pixels)

    def _undecoded(self) -> Iterable[Tensors]:
        if self.frames is not None and self.groups is not None:
            return DecodedFrames(self.paths, self.frames, self.groups, self.preprocess)
        return Remembered(partial(_decoded, self.paths, self.preprocess))


def _decoded(paths: Sequence[str], preprocess: Preprocess) -> Iterator[Tensors]:
    waiting: deque[Future[np.ndarray]] = deque()
    pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
    try:
        for path in paths:
            waiting.append(pool.submit(pixels, path, preprocess))
            if len(waiting) > LOOK_AHEAD:
                yield {"pixels": waiting.popleft().result()}
        while waiting:
            yield {"pixels": waiting.popleft().result()}
    finally:
        pool.shutdown(cancel_futures=True)


def _folder(path: str) -> str:
    return os.path.basename(os.path.dirname(path))
