"""Frames of videos in any order: each video is decoded once, from its beginning on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from coachc.calib.activation_cache import Tensors
from coachc.calib.spool import Spool
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.preprocess import pixels
from coachc.runtime.bundle.video import read_clips


class DecodedFrames:
    """The pixels of these frames, made once and only as far as they are asked for.

    They are decoded in the order of the videos into a temporary file, and read there in the order that was asked for.

    Parameters
    ----------
    paths : sequence of str
        The file of each row.
    frames, groups : ndarray of int64, shape (rows,)
        Its position in that file, and which video it is; in any order.
    preprocess : Preprocess
    """

    def __init__(self, paths: Sequence[str], frames: np.ndarray, groups: np.ndarray, preprocess: Preprocess) -> None:
        in_file = np.lexsort((frames, groups))
        self._places = np.argsort(in_file).tolist()
        self._paths = [paths[row] for row in in_file]
        self._frames, self._groups = frames[in_file], groups[in_file]
        self._preprocess = preprocess
        self._kept = Spool()
        self._decoder: Iterator[np.ndarray] | None = None

    def __iter__(self) -> Iterator[Tensors]:
        for place in self._places:
            while len(self._kept) <= place:
                self._keep_next()
            yield {"pixels": self._kept[place][0]}

    def _keep_next(self) -> None:
        if self._decoder is None:
            decoder = read_clips(self._paths, self._frames, self._groups)
            self._decoder = itertools.islice(decoder, len(self._kept), None)
        try:
            self._kept.append([pixels(next(self._decoder), self._preprocess)])
        except Exception:
            # A generator that failed ends; whoever asks again is to hear the same.
            self._decoder = None
            raise
