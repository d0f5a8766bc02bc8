"""Folders of pictures for calibration: in any order, decoded once, none of them kept in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np

from calib.activations import Remembered, Tensors
from runtime.bundle.image_folder import LABELS_FILE
from runtime.bundle.manifest_types import Preprocess, TensorSpec
from runtime.bundle.preprocess import pixels
from runtime.bundle.source import ImageSource

#: Pictures decoded at once: beside ONNX Runtime, which also uses every core, more do not help.
DECODERS = min(4, os.cpu_count() or 1)
#: Pictures decoded before they are asked for.
LOOK_AHEAD = 4 * DECODERS


class CalibrationImages(ImageSource):
    """The pictures of a folder, in an order of the caller's.

    The first pass decodes them in a few threads. Their pixels go to a temporary file, since decoding a photograph again
    for every cut that is measured takes longer than running the model on it.

    Attributes
    ----------
    class_names : tuple of str
        Name of each class, where folders are classes; else empty.
    layout : str
        What the folder looks like, in words.
    """

    def __init__(self, root: str, inputs: Sequence[TensorSpec], preprocess: Preprocess | None) -> None:
        super().__init__(root, inputs, preprocess)
        self.class_names: tuple[str, ...] = ()
        self.layout = "no labels"
        if os.path.isfile(os.path.join(root, LABELS_FILE)):
            self.layout = f"labels from {LABELS_FILE}"
        elif self.labels is not None:
            named = dict(zip(self.labels.tolist(), map(_folder, self.paths), strict=True))
            self.class_names = tuple(named.get(label, str(label)) for label in range(max(named) + 1))
            self.layout = f"one folder per class, {len(named)} classes"
        self._pixels = Remembered(partial(_decoded, self.paths, self.preprocess))

    def take(self, tasks: np.ndarray) -> None:
        """Go over these tasks only, in this order."""
        rows = (tasks[:, None] * self._batch + np.arange(self._batch)).ravel()
        self.paths = [self.paths[row] for row in rows]
        self.labels = None if self.labels is None else self.labels[rows]
        self._pixels = Remembered(partial(_decoded, self.paths, self.preprocess))

    def images(self) -> Iterator[np.ndarray]:
        """Every image as `preprocess.pixels` makes it: uint8, (H, W, C)."""
        return (kept["pixels"] for kept in self._pixels)


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
