""".npz files for calibration: rows in any order, none of them kept in memory."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np

from coachc.errors import DataError
from coachc.runtime.bundle.array_source import UNREADABLE, ArraySource, read_header
from coachc.runtime.bundle.feeds import Feed
from coachc.runtime.bundle.manifest_types import TensorSpec
from coachc.runtime.errors import SourceError

_LOCAL_HEADER_BYTES = 30


class CalibrationArrays(ArraySource):
    """The arrays of a .npz file, in an order of the caller's.

    Rows are read where they lie in the file. Compressed arrays have no such place, so the first pass unpacks them into
    temporary files.
    """

    def __init__(self, path: str, inputs: Sequence[TensorSpec], limit: int | None = None) -> None:
        super().__init__(path, inputs, limit)
        self._streams: list[tuple[IO[bytes], int]] = []

    def take(self, tasks: np.ndarray) -> None:
        """Go over these tasks only, in this order."""
        self._tasks = tasks
        batch = self._arrays[0].batch
        rows = (tasks[:, None] * batch + np.arange(batch)).ravel()
        self.labels, self.groups = (None if array is None else array[rows] for array in (self.labels, self.groups))

    def __iter__(self) -> Iterator[Feed]:
        try:
            if not self._streams:
                self._streams = [self._opened(array.spec.name) for array in self._arrays]
            for task in self._tasks.tolist():
                feed = {}
                for array, (stream, offset) in zip(self._arrays, self._streams, strict=True):
                    task_bytes = math.prod(array.spec.shape) * array.dtype.itemsize
                    stream.seek(offset + task * task_bytes)
                    feed[array.spec.name] = self._next(array, stream)
                yield feed
        except UNREADABLE as exc:
            raise SourceError(f"cannot read {self._path}: {exc}") from exc

    def _opened(self, name: str) -> tuple[IO[bytes], int]:
        """A file that holds one array as it is in memory, and where its first row is."""
        with zipfile.ZipFile(self._path) as archive:
            member = archive.getinfo(name + ".npy")
            if member.compress_type == zipfile.ZIP_STORED:
                stream: IO[bytes] = open(self._path, "rb")  # noqa: SIM115  (lives as long as the source)
                weakref.finalize(self, stream.close)
                stream.seek(_place(stream, member))
            else:
                # Unbuffered: a failed write must not come back when the file is closed.
                stream = tempfile.TemporaryFile(prefix="coachc-", buffering=0)  # noqa: SIM115
                weakref.finalize(self, stream.close)
                self._unpack(archive, member, stream)
                stream.seek(0)
        read_header(stream)
        return stream, stream.tell()

    def _unpack(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, stream: IO[bytes]) -> None:
        free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
        if member.file_size > free_bytes:
            raise DataError(
                f"{self._path} is compressed, and {tempfile.gettempdir()} has no space for {member.filename}",
                context=[f"needed  {member.file_size:,} bytes", f"free    {free_bytes:,} bytes"],
                hint="set TMPDIR to a folder with more space, or write the file with numpy.savez",
            )
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, stream, 1 << 20)


def _place(stream: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: behind a header with a name and an extra field of any length."""
    stream.seek(member.header_offset)
    header = stream.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise ValueError(f"{member.filename} has no local header")
    name_bytes, extra_bytes = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
    return member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
