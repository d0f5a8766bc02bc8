"""What a pass over the samples makes, remembered for the passes that follow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from coachc.calib.spool import Spool

#: Kept on disk of one pass: a thousand activations of the largest layers that are worth a cut, 3 MB each.
CACHE_BYTES = 4 << 30

Tensors = Mapping[str, np.ndarray]


class Remembered:
    """What a pass over the samples makes, made once and only as far as it is asked for.

    Kept in a temporary file up to `CACHE_BYTES`; what lies beyond is made again in every pass.

    Parameters
    ----------
    make : callable
        Starts a pass: the same tensors each time, under the same names.
    """

    def __init__(self, make: Callable[[], Iterator[Tensors]]) -> None:
        self._make = make
        self._kept = Spool(CACHE_BYTES)
        self._names: tuple[str, ...] = ()
        self._source: Iterator[Tensors] | None = None
        self._full = False

    def __iter__(self) -> Iterator[Tensors]:
        for index in itertools.count():
            if index < len(self._kept):
                yield dict(zip(self._names, self._kept[index], strict=True))
                continue
            if self._full:
                yield from itertools.islice(self._make(), index, None)
                return
            if self._source is None:
                self._source = self._make()
            source = self._source
            made = next(source, None)
            if made is None:
                return
            self._names = tuple(made)
            self._full = not self._kept.append(list(made.values()))
            yield made
            if self._full:
                self._source = None
                yield from source
                return
