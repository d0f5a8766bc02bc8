"""A .npz file of arrays as a stream of model inputs.

Rows are read as they are asked for, so a large file does not have to fit in a device's memory.
"""

import io
import tokenize
import zipfile
import zlib
from typing import IO, Any, Iterator, NamedTuple, Optional, Sequence, Tuple, cast

import numpy as np

from ..errors import SourceError
from .feeds import Feed, Source, check_whole_batches, show_shape
from .manifest_types import TensorSpec
from .skipped import printable
from .spread import spread_over_classes

# What zipfile, zlib and numpy raise for damaged, truncated, encrypted or unsupported archives; what Python's tokenizer
# raises, too, because numpy reads headers with it.
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


#: Read at once of each array: a row at a time takes longer than the rows of small models.
AHEAD_BYTES = 1 << 18


class _Array(NamedTuple):
    """One array of the file: its member's name, dtype and shape, the model input it feeds, and bytes of one task."""

    spec: TensorSpec
    dtype: np.dtype
    shape: Tuple[int, ...]
    task_bytes: int

    @property
    def batch(self) -> int:
        return self.spec.shape[0]


class ArraySource(Source):
    """A .npz file whose arrays are named after the model's inputs.

    `spread`: a limit draws rows across their classes, where the file holds labels and no clips; else the first ones.
    """

    def __init__(
        self, path: str, inputs: Sequence[TensorSpec], limit: Optional[int] = None, spread: bool = False
    ) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
                self._arrays = [self._inspect(archive, spec, names) for spec in inputs]
        except UNREADABLE as exc:
            raise SourceError(f"cannot read {path}: {exc}") from exc
        tasks = {array.shape[0] // array.batch for array in self._arrays}
        if len(tasks) != 1:
            rows = ", ".join(f"'{a.spec.name}' {a.shape[0]}" for a in self._arrays)
            raise SourceError(f"the arrays of {path} have rows for different numbers of tasks: {rows}")
        count = tasks.pop()
        self._tasks = np.arange(count)
        self.labels, self.groups = (self._read_integers(name, names) for name in ("labels", "groups"))
        if limit is not None and limit < count:
            self._take_first(limit, spread)

    def _take_first(self, limit: int, spread: bool) -> None:
        batch = self._arrays[0].batch
        self._tasks = self._tasks[:limit]
        if spread and self.labels is not None and self.groups is None:
            self._tasks = spread_over_classes(self.labels[::batch], limit)
        rows = (self._tasks[:, None] * batch + np.arange(batch)).ravel()
        self.labels, self.groups = (None if array is None else array[rows] for array in (self.labels, self.groups))

    def __len__(self) -> int:
        return len(self._tasks)

    def name_of(self, row: int) -> str:
        batch = self._arrays[0].batch
        return "row {} of {}".format(int(self._tasks[row // batch]) * batch + row % batch, printable(self._path))

    def __iter__(self) -> Iterator[Feed]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                opened = [archive.open(array.spec.name + ".npy") for array in self._arrays]
                streams = [io.BufferedReader(cast(io.RawIOBase, stream), AHEAD_BYTES) for stream in opened]
                for stream in streams:
                    read_header(stream)
                wanted = set(self._tasks.tolist())
                for task in range(max(wanted) + 1):
                    feed = {array.spec.name: self._next(array, stream) for array, stream in zip(self._arrays, streams)}
                    if task in wanted:
                        yield feed
        except UNREADABLE as exc:
            raise SourceError(f"cannot read {self._path}: {exc}") from exc

    def _next(self, array: _Array, stream: IO[bytes]) -> np.ndarray:
        data = stream.read(array.task_bytes)
        if len(data) != array.task_bytes:
            raise SourceError(f"array '{array.spec.name}' in {self._path} is cut short")
        flat = np.frombuffer(data, dtype=array.dtype).astype(array.spec.dtype, copy=False)
        return flat.reshape(array.spec.shape)

    def _inspect(self, archive: zipfile.ZipFile, spec: TensorSpec, names: Sequence[str]) -> _Array:
        if spec.name not in names:
            raise SourceError(
                f"{self._path} has no array '{spec.name}'",
                ["found  " + (", ".join(sorted(names)) or "no array")],
                "name the arrays after the model's inputs",
            )
        with archive.open(spec.name + ".npy") as stream:
            shape, fortran, dtype = read_header(stream)
        if not spec.shape or spec.shape[0] == 0:
            raise SourceError(f"model input '{spec.name}' has no first dimension to take rows for")
        if len(shape) != len(spec.shape) or shape[1:] != spec.shape[1:]:
            raise SourceError(
                f"array '{spec.name}' has shape {show_shape(shape)}, the model takes {show_shape(spec.shape)}",
                hint="the first dimension counts rows, the others have to agree",
            )
        floats = dtype.kind == "f" and np.dtype(spec.dtype).kind == "f"
        if dtype.newbyteorder("=") != np.dtype(spec.dtype) and not floats:
            raise SourceError(f"array '{spec.name}' has dtype {dtype}, the model takes {spec.dtype}")
        if fortran and len(shape) > 1:
            raise SourceError(
                f"array '{spec.name}' is in Fortran order and cannot be read row by row",
                hint="save numpy.ascontiguousarray(array)",
            )
        check_whole_batches(self._path, shape[0], spec.shape[0])
        return _Array(spec, dtype, shape, dtype.itemsize * int(np.prod(spec.shape, dtype=np.int64)))

    def _read_integers(self, name: str, names: Sequence[str]) -> Optional[np.ndarray]:
        """An array that says something about each row, where the file has it and it is not one of the inputs."""
        if name not in names or name in [array.spec.name for array in self._arrays]:
            return None
        rows = self._arrays[0].shape[0]
        with np.load(self._path, allow_pickle=False) as arrays:
            found = arrays[name]
        if found.dtype.kind not in "iu" or found.shape != (rows,):
            raise SourceError(
                f"'{name}' in {self._path} has dtype {found.dtype} and shape {show_shape(found.shape)}, "
                f"expected integers of shape {show_shape((rows,))}"
            )
        return found.astype(np.int64)


def read_header(stream: IO[bytes]) -> Any:
    """(shape, fortran order, dtype) of a .npy stream; leaves it at the first row."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"unsupported .npy version {version}")
    if dtype.hasobject:
        raise ValueError("an array holds Python objects")
    return shape, fortran, dtype
