"""Input data: a .npz file of arrays, a folder of images, or videos, as a stream of model inputs."""

import os
from typing import Optional, Sequence, Union

from ..errors import SourceError
from .array_source import ArraySource
from .feeds import Source, refuse_frame_rate
from .image_folder import is_video
from .image_source import ImageSource
from .manifest_types import Preprocess, TensorSpec


def open_source(
    path: Union[str, "os.PathLike[str]"],
    inputs: Sequence[TensorSpec],
    preprocess: Optional[Preprocess],
    frames_per_second: Optional[float] = None,
    limit: Optional[int] = None,
    spread: Optional[bool] = None,
    strict: bool = False,
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
        At most that many tasks; 1 or more.
    spread : bool, optional
        Whether a limit draws labelled tasks across their classes, in their order, instead of taking the first ones.
        Not said: of images, which lie sorted by class, but not of arrays, which may be a stream.
    strict : bool
        A picture that cannot be read is an error, instead of being left out.

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
        return ImageSource(name, inputs, preprocess, frames_per_second, limit, spread is not False, strict)
    if not name.endswith(".npz"):
        raise SourceError(f"{name} is neither a folder of images nor a .npz file nor a video")
    refuse_frame_rate(name, "arrays", frames_per_second)
    return ArraySource(name, inputs, limit, spread is True)
