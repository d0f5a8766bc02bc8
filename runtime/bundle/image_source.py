"""Pictures as a stream of model inputs: a folder of images, frames of one video, or of a folder of videos."""

import itertools
from typing import Iterable, Iterator, List, Optional, Sequence, Union

import numpy as np

from ..errors import SourceError
from .feeds import Feed, Source, check_whole_batches, refuse_frame_rate, show_shape
from .image_folder import Pictures, find_pictures, is_video
from .manifest_types import Preprocess, TensorSpec
from .preprocess import IMAGE_DTYPES, leaves_pixels, normalize, pixels
from .video import choose_frames, read_clips


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
        found = find_pictures(path)
        rows = None if limit is None else limit * self._batch
        if found.videos:
            self._choose_frames(found, frames_per_second, rows)
            return
        refuse_frame_rate(path, "images", frames_per_second)
        check_whole_batches(path, len(found.paths), self._batch)
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
        rows = (normalize(image, self.preprocess, self._spec.dtype) for image in self.images())
        for _ in range(len(self)):
            batch = list(itertools.islice(rows, self._batch))
            yield {self._spec.name: np.concatenate(batch)}

    def images(self) -> Iterator[np.ndarray]:
        """Every picture as `preprocess.pixels` makes it: uint8, (H, W, C)."""
        pictures: Iterable[Union[str, np.ndarray]] = self.paths
        if self.frames is not None and self.groups is not None:
            pictures = read_clips(self.paths, self.frames, self.groups)
        for picture in pictures:
            yield pixels(picture, self.preprocess)


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
