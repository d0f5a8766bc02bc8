"""Pictures as a stream of model inputs: a folder of images, frames of one video, or of a folder of videos."""

import itertools
import os
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..decode.detections import Placement
from ..errors import SourceError, UnreadablePicture
from .feeds import Feed, Source, check_whole_batches, refuse_frame_rate, show_shape
from .image_file import picture_size
from .image_folder import Pictures, find_pictures, is_video
from .manifest_types import Preprocess, TensorSpec
from .preprocess import IMAGE_DTYPES, leaves_pixels, normalize, pixels, placement_of
from .skipped import Skipped, printable, skipped_text
from .spread import spread_over_classes
from .video import choose_frames, read_clips, read_frames


class ImageSource(Source):
    """Pictures for a model with one input: a folder of images, frames of one video, or of a folder of videos.

    A task's rows are of one video: the last frames of a video that do not fill a batch are left out. So are images that
    cannot be read, which shows when they are: `paths` and `labels` are without them after a pass.

    Parameters
    ----------
    limit : int, optional
        At most that many tasks.
    spread : bool
        Draw them across the classes where there are any: images in their order, of each video the first frames.
    strict : bool
        An image that cannot be read is an error.

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
        spread: bool = True,
        strict: bool = False,
    ) -> None:
        if len(inputs) != 1:
            raise SourceError(f"images suit models with one input, this one has {len(inputs)}")
        if inputs[0].dtype not in IMAGE_DTYPES:
            raise SourceError(
                f"images do not suit input '{inputs[0].name}': it takes {inputs[0].dtype}",
                ["expected  " + ", ".join(IMAGE_DTYPES)],
                "give a .npz of arrays made for it",
            )
        if preprocess is None:
            held = "is a video" if is_video(path) else "holds images"
            raise SourceError(
                f"{path} {held}, but the bundle does not say how to preprocess them",
                hint="compile on a folder of images, or with --mean, --std, ...; or give a .npz of preprocessed arrays",
            )
        self._spec = inputs[0]
        self.preprocess = preprocess
        self._batch = _check_image_shape(self._spec, preprocess)
        self.frames: Optional[np.ndarray] = None
        self._path, self._strict = path, strict
        self._sizes: Dict[str, Tuple[int, int]] = {}
        found = find_pictures(path)
        self.skipped = found.skipped
        if found.videos:
            self._choose_frames(found, frames_per_second, limit, spread)
            return
        refuse_frame_rate(path, "images", frames_per_second)
        check_whole_batches(path, len(found.paths), self._batch)
        self.paths, self.labels = found.paths, found.labels
        if limit is not None and limit < len(self):
            tasks = np.arange(limit)
            if spread and found.labels is not None:
                tasks = spread_over_classes(found.labels[:: self._batch], limit)
            self._take_rows((tasks[:, np.newaxis] * self._batch + np.arange(self._batch)).ravel())

    def _take_rows(self, rows: np.ndarray) -> None:
        """Keep these rows, in this order."""
        self.paths = [self.paths[row] for row in rows.tolist()]
        self.labels, self.frames, self.groups = (
            None if array is None else array[rows] for array in (self.labels, self.frames, self.groups)
        )

    def _choose_frames(
        self, found: Pictures, frames_per_second: Optional[float], limit: Optional[int], spread: bool
    ) -> None:
        """All frames, or the first ones up to a limit; `spread`: of videos of all classes, each an equal part of it."""
        if limit is not None and spread and found.labels is not None:
            videos = spread_over_classes(found.labels, limit)
            found = found._replace(paths=[found.paths[video] for video in videos], labels=found.labels[videos])
        clips: List[np.ndarray] = []
        left = limit
        for index, path in enumerate(found.paths):
            if left == 0:
                break
            tasks = left
            if left is not None and spread and found.labels is not None:
                tasks = -(-left // (len(found.paths) - index))
            frames = choose_frames(path, frames_per_second, None if tasks is None else tasks * self._batch)
            count = len(frames) // self._batch * self._batch
            if count == 0:
                raise SourceError(
                    f"{path} gives {len(frames)} frames, which do not fill a batch of {self._batch}",
                    hint="take more frames a second, or leave the file out",
                )
            clips.append(frames[:count])
            left = None if left is None else left - count // self._batch
        self.groups = np.repeat(np.arange(len(clips), dtype=np.int64), [len(frames) for frames in clips])
        self.frames = np.concatenate(clips)
        self.paths = [found.paths[group] for group in self.groups]
        self.labels = None if found.labels is None else found.labels[self.groups]

    @property
    def folder(self) -> str:
        """Where the pictures are."""
        return self._path

    def __len__(self) -> int:
        return len(self.paths) // self._batch

    def name_of(self, row: int) -> str:
        shown = os.path.relpath(self.paths[row], self._path) if os.path.isdir(self._path) else self._path
        return printable(shown)

    def placement(self, row: int) -> Optional[Placement]:
        path = self.paths[row]
        if path not in self._sizes:
            self._sizes[path] = self._size_of(path)
        return placement_of(self.preprocess, *self._sizes[path])

    def _size_of(self, path: str) -> Tuple[int, int]:
        """(width, height) of a picture, or of the frames of a video."""
        if self.frames is None:
            return picture_size(path, self.preprocess.orientation)
        height, width = next(iter(read_frames(path, [0]))).shape[:2]
        return width, height

    def __iter__(self) -> Iterator[Feed]:
        rows = (normalize(image, self.preprocess, self._spec.dtype) for image in self.images())
        while True:
            batch = list(itertools.islice(rows, self._batch))
            if len(batch) < self._batch:
                break
            yield {self._spec.name: np.concatenate(batch)}
        for _ in batch:
            self._leave_out(len(self.paths) - 1, f"left over, fills no batch of {self._batch}")

    def images(self) -> Iterator[np.ndarray]:
        """Every picture as `preprocess.pixels` makes it: uint8, (H, W, C).

        Raises
        ------
        SourceError
            None of them can be read.
        UnreadablePicture
            One of them cannot, where that is an error.
        """
        if self.frames is not None and self.groups is not None:
            for frame in read_clips(self.paths, self.frames, self.groups):
                yield pixels(frame, self.preprocess)
            return
        row = 0
        for path in list(self.paths):
            try:
                image = pixels(path, self.preprocess)
            except UnreadablePicture as exc:
                if self._strict:
                    raise
                self._leave_out(row, "cannot be read: " + exc.reason)
                continue
            row += 1
            yield image
        if not row:
            raise none_readable(self._path, self.skipped)

    def _leave_out(self, row: int, reason: str) -> None:
        self.skipped += (Skipped(self.name_of(row), reason),)
        self._take_rows(np.delete(np.arange(len(self.paths)), row))


def none_readable(path: str, skipped: Sequence[Skipped]) -> SourceError:
    """The error where no image of a folder can be read."""
    return SourceError(f"no image of {path} can be read", [f"left out  {skipped_text(skipped)}"])


def _check_image_shape(spec: TensorSpec, preprocess: Preprocess) -> int:
    """The batch size, if the images suit the input."""
    height, width = preprocess.size
    channels = len(preprocess.mean)
    row = (channels, height, width) if preprocess.layout == "nchw" else (height, width, channels)
    if len(spec.shape) != 4 or spec.shape[1:] != row or spec.shape[0] == 0:
        raise SourceError(
            f"images are preprocessed to {show_shape((1,) + row)}, the model takes {show_shape(spec.shape)}"
        )
    if spec.dtype == "uint8" and not leaves_pixels(preprocess):
        raise SourceError(
            f"input '{spec.name}' takes pixels as they are (uint8), and the bundle says to change them",
            [f"found  pixel_scale {preprocess.pixel_scale:g}, mean {preprocess.mean}, std {preprocess.std}"],
            "compile the model again",
        )
    return spec.shape[0]
