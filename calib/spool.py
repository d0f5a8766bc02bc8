"""Arrays in a temporary file instead of in memory, to be read again in any order."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from typing import IO

import numpy as np

from coachc.errors import DataError

#: Of the free space of the temporary folder, what one file may take: other programs need some, and so do our others.
FREE_SHARE = 0.5

_Specs = tuple[tuple[np.dtype, tuple[int, ...]], ...]


class Spool:
    """A list of tuples of arrays, kept in a file.

    Plain reads and writes rather than a memory map: mapped pages count as resident memory of the process.

    The file is in the system's temporary folder (``TMPDIR``). Where the system allows it, it has no name, so that it is
    gone when the process ends, however it ends.

    Parameters
    ----------
    limit_bytes : int, optional
        The file takes no more than that, nor more than `FREE_SHARE` of what is free when it is made. Without a limit
        a full disk is an error.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._file: IO[bytes] | None = None
        self._size_bytes = 0
        self._places: list[tuple[int, _Specs]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        assert self._file is not None
        offset, specs = self._places[index]
        self._file.seek(offset)
        return tuple(read_array(self._file, dtype, shape) for dtype, shape in specs)

    def append(self, arrays: Sequence[np.ndarray]) -> bool:
        """Keep these arrays; False, and nothing kept, where they do not fit any more.

        Raises
        ------
        DataError
            The disk is full, and no limit was given.
        """
        size_bytes = sum(array.nbytes for array in arrays)
        try:
            if self._file is None:
                self._file = self._open()
                weakref.finalize(self, self._file.close)
            if self._limit_bytes is not None and self._size_bytes + size_bytes > self._limit_bytes:
                return False
            self._file.seek(self._size_bytes)
            for array in arrays:
                _write(self._file, array)
        except OSError as exc:
            if self._limit_bytes is not None:
                return False
            raise DataError(
                f"cannot keep {self._size_bytes + size_bytes:,} bytes in {tempfile.gettempdir()}: {exc.strerror}",
                hint="set TMPDIR to a folder with more space, or lower --samples",
            ) from exc
        specs = tuple((array.dtype, array.shape) for array in arrays)
        if self._places and self._places[-1][1] == specs:
            specs = self._places[-1][1]
        self._places.append((self._size_bytes, specs))
        self._size_bytes += size_bytes
        return True

    def _open(self) -> IO[bytes]:
        if self._limit_bytes is not None:
            free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
            self._limit_bytes = min(self._limit_bytes, int(free_bytes * FREE_SHARE))
        # Unbuffered: a failed write must not come back when the file is closed.
        return tempfile.TemporaryFile(prefix="coachc-", buffering=0)


def read_array(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array at a file's position.

    Raises
    ------
    EOFError
        The file ends before the array does.
    """
    array = np.empty(shape, dtype)
    view = array.reshape(-1).view(np.uint8).data
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError("the file is cut short")
        view = view[count:]
    return array


def _write(file: IO[bytes], array: np.ndarray) -> None:
    view = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    while view:
        view = view[file.write(view) :]
