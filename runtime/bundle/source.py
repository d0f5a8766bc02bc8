"""Input data: a .npz file of arrays, a folder of images, or videos, as a stream of model inputs.

A task takes as many consecutive rows as the model's input has in its first dimension. Rows are read as they are asked
for, so a large file does not have to fit in a device's memory.
"""

import abc
import itertools
import os
import tokenize
import zipfile
import zlib
from typing import IO, Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import SourceError
from .image_folder import Pictures, find_pictures, is_video
from .manifest_types import Preprocess, TensorSpec
from .preprocess import normalize, pixels
from .video import choose_frames, read_clips

Feed = Dict[str, np.ndarray]

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


class Source(abc.ABC):
    """Tasks in a fixed order.

    Attributes
    ----------
    labels : ndarray of int64, shape (rows,), or None
        One per row of the model's first input.
    groups : ndarray of int64, shape (rows,), or None
        The clip that each row belongs to. Rows of a clip resemble each other, so whoever splits rows in two keeps clips
        whole; a clip's rows are in order, so they can be replayed as a camera gives them.
    """

    labels: Optional[np.ndarray] = None
    groups: Optional[np.ndarray] = None

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of tasks."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Feed]:
        """Model input name -> array of the model's shape and dtype, one feed a task."""


def open_source(
    path: Union[str, "os.PathLike[str]"],
    inputs: Sequence[TensorSpec],
    preprocess: Optional[Preprocess],
    frames_per_second: Optional[float] = None,
    limit: Optional[int] = None,
) -> Source:
    """Open input data for a model.

    Parameters
    ----------
    path : path
        FILE.npz: one array per model input, already preprocessed, rows along the first dimension, and optionally
        `labels` and `groups`. DIR: images or videos in one folder per class (class index = position among the sorted
        folder names), or listed in `labels.csv` (columns file,label), or loose and without labels. Or one video.
        Each frame of a video is a row, and each video a group.
    inputs : sequence of TensorSpec
        The model's.
    preprocess : Preprocess or None
        Needed for images and videos.
    frames_per_second : float, optional
        Take that many frames of a video by their timestamps, instead of every frame.
    limit : int, optional
        At most that many tasks, the first ones; 1 or more.

    Raises
    ------
    SourceError
        If there is nothing at `path`, or what is there does not suit the model.

    Notes
    -----
    To know their number of frames, opening videos decodes them once, up to `limit`.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise SourceError(f"no such source: {name}")
    if os.path.isdir(name) or is_video(name):
        return ImageSource(name, inputs, preprocess, frames_per_second, limit)
    if not name.endswith(".npz"):
        raise SourceError(f"{name} is neither a folder of images nor a .npz file nor a video")
    refuse_frame_rate(name, "arrays", frames_per_second)
    return ArraySource(name, inputs, limit)


class ImageSource(Source):
    """Pictures for a model with one input: a folder of images, frames of one video, or of a folder of videos.

    A task's rows are of one video: the last frames of a video that do not fill a batch are left out.

    Attributes
    ----------
    paths : list of str
        The file of each row.
    frames : ndarray of int64, shape (rows,), or None
        Its position among the frames of that file; None for images.
    preprocess : Preprocess
    """

    def __init__(
        self,
        path: str,
        inputs: Sequence[TensorSpec],
        preprocess: Optional[Preprocess],
        frames_per_second: Optional[float] = None,
        limit: Optional[int] = None,
    ) -> None:
        if preprocess is None:
            held = "is a video" if is_video(path) else "holds images"
            raise SourceError(
                f"{path} {held}, but the bundle does not say how to preprocess them",
                hint="compile on a folder of images, or with --mean, --std, ...; or give a .npz of preprocessed arrays",
            )
        if len(inputs) != 1:
            raise SourceError(f"images suit models with one input, this one has {len(inputs)}")
        self._spec = inputs[0]
        self.preprocess = preprocess
        self._batch = _check_image_shape(self._spec, preprocess)
        self.frames: Optional[np.ndarray] = None
        found = find_pictures(path)
        rows = None if limit is None else limit * self._batch
        if found.videos:
            self._choose_frames(found, frames_per_second, rows)
            return
        refuse_frame_rate(path, "images", frames_per_second)
        _check_whole_batches(path, len(found.paths), self._batch)
        self.paths = found.paths[:rows]
        self.labels = None if found.labels is None else found.labels[:rows]

    def _choose_frames(self, found: Pictures, frames_per_second: Optional[float], rows: Optional[int]) -> None:
        clips: List[np.ndarray] = []
        left = rows
        for path in found.paths:
            if left == 0:
                break
            frames = choose_frames(path, frames_per_second, left)
            count = len(frames) // self._batch * self._batch
            if count == 0:
                raise SourceError(
                    f"{path} gives {len(frames)} frames, which do not fill a batch of {self._batch}",
                    hint="take more frames a second, or leave the file out",
                )
            clips.append(frames[:count])
            left = None if left is None else left - count
        self.groups = np.repeat(np.arange(len(clips), dtype=np.int64), [len(frames) for frames in clips])
        self.frames = np.concatenate(clips)
        self.paths = [found.paths[group] for group in self.groups]
        self.labels = None if found.labels is None else found.labels[self.groups]

    def __len__(self) -> int:
        return len(self.paths) // self._batch

    def __iter__(self) -> Iterator[Feed]:
        rows = (normalize(image, self.preprocess) for image in self.images())
        for _ in range(len(self)):
            batch = list(itertools.islice(rows, self._batch))
            yield {self._spec.name: np.concatenate(batch).astype(self._spec.dtype, copy=False)}

    def images(self) -> Iterator[np.ndarray]:
        """Every picture as `preprocess.pixels` makes it: uint8, (H, W, C)."""
        pictures: Iterable[Union[str, np.ndarray]] = self.paths
        if self.frames is not None and self.groups is not None:
            pictures = read_clips(self.paths, self.frames, self.groups)
        for picture in pictures:
            yield pixels(picture, self.preprocess)


class _Array(NamedTuple):
    """One array of the file: its member's name, dtype and shape, and the model input it feeds."""

    spec: TensorSpec
    dtype: np.dtype
    shape: Tuple[int, ...]

    @property
    def batch(self) -> int:
        return self.spec.shape[0]


class ArraySource(Source):
    """A .npz file whose arrays are named after the model's inputs."""

    def __init__(self, path: str, inputs: Sequence[TensorSpec], limit: Optional[int] = None) -> None:
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
        self._tasks = tasks.pop() if limit is None else min(tasks.pop(), limit)
        self.labels, self.groups = (self._read_integers(name, names) for name in ("labels", "groups"))

    def __len__(self) -> int:
        return self._tasks

    def __iter__(self) -> Iterator[Feed]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                streams = [archive.open(array.spec.name + ".npy") for array in self._arrays]
                for stream in streams:
                    read_header(stream)
                for _ in range(self._tasks):
                    yield {array.spec.name: self._next(array, stream) for array, stream in zip(self._arrays, streams)}
        except UNREADABLE as exc:
            raise SourceError(f"cannot read {self._path}: {exc}") from exc

    def _next(self, array: _Array, stream: IO[bytes]) -> np.ndarray:
        count = int(np.prod(array.spec.shape, dtype=np.int64))
        data = stream.read(count * array.dtype.itemsize)
        if len(data) != count * array.dtype.itemsize:
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
                f"array '{spec.name}' has shape {_show(shape)}, the model takes {_show(spec.shape)}",
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
        _check_whole_batches(self._path, shape[0], spec.shape[0])
        return _Array(spec, dtype, shape)

    def _read_integers(self, name: str, names: Sequence[str]) -> Optional[np.ndarray]:
        """An array that says something about each row, where the file has it and it is not one of the inputs."""
        if name not in names or name in [array.spec.name for array in self._arrays]:
            return None
        rows = self._arrays[0].shape[0]
        with np.load(self._path, allow_pickle=False) as arrays:
            found = arrays[name]
        if found.dtype.kind not in "iu" or found.shape != (rows,):
            raise SourceError(
                f"'{name}' in {self._path} has dtype {found.dtype} and shape {_show(found.shape)}, "
                f"expected integers of shape {_show((rows,))}"
            )
        return found[: self._tasks * self._arrays[0].batch].astype(np.int64)


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


def refuse_frame_rate(path: str, held: str, frames_per_second: Optional[float]) -> None:
    """Raise SourceError where a frame rate is asked of what has none."""
    if frames_per_second is not None:
        raise SourceError(
            f"{frames_per_second:g} frames a second can be taken of videos, and {path} holds {held}",
            hint="leave the frame rate out",
        )


def _check_image_shape(spec: TensorSpec, preprocess: Preprocess) -> int:
    """The batch size, if the images suit the input."""
    height, width = preprocess.size
    channels = len(preprocess.mean)
    row = (channels, height, width) if preprocess.layout == "nchw" else (height, width, channels)
    if len(spec.shape) != 4 or spec.shape[1:] != row or spec.shape[0] == 0:
        raise SourceError(f"images are preprocessed to {_show((1,) + row)}, the model takes {_show(spec.shape)}")
    return spec.shape[0]


def _check_whole_batches(path: str, rows: int, batch: int) -> None:
    if rows == 0:
        raise SourceError(f"{path} has no rows")
    if rows % batch:
        raise SourceError(
            f"{path} has {rows} rows, which do not fill batches of {batch}",
            hint=f"leave {rows % batch} out or add {batch - rows % batch}",
        )


def _show(shape: Sequence[int]) -> str:
    return "({})".format(",".join(str(length) for length in shape))
