"""A source of model inputs: what every one of them is, and what none of them takes.

A task takes as many consecutive rows as the model's input has in its first dimension.
"""

import abc
from typing import Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ..decode.detections import Placement
from ..errors import SourceError
from .skipped import Skipped

Feed = Dict[str, np.ndarray]


class Source(abc.ABC):
    """Tasks in a fixed order.

    Attributes
    ----------
    labels : ndarray of int64, shape (rows,), or None
        One per row of the model's first input.
    groups : ndarray of int64, shape (rows,), or None
        The clip that each row belongs to. Rows of a clip resemble each other, so whoever splits rows in two keeps clips
        whole; a clip's rows are in order, so they can be replayed as a camera gives them.
    skipped : tuple of Skipped
        What is left out. It grows, and `labels` shrink with it, while pictures are read that turn out to be none.
    """

    labels: Optional[np.ndarray] = None
    groups: Optional[np.ndarray] = None
    skipped: Tuple[Skipped, ...] = ()

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of tasks."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Feed]:
        """Model input name -> array of the model's shape and dtype, one feed a task."""

    def name_of(self, row: int) -> str:
        """What a row is called, for errors."""
        return f"row {row}"

    def placement(self, row: int) -> Optional[Placement]:
        """Where the picture of a row that has been read lies in the model's input; None where rows are no pictures."""
        return None


def refuse_frame_rate(path: str, held: str, frames_per_second: Optional[float]) -> None:
    """Raise SourceError where a frame rate is asked of what has none."""
    if frames_per_second is not None:
        raise SourceError(
            f"{frames_per_second:g} frames a second can be taken of videos, and {path} holds {held}",
            hint="leave the frame rate out",
        )


def check_whole_batches(path: str, rows: int, batch: int) -> None:
    """Raise SourceError where rows are left over that fill no task."""
    if rows == 0:
        raise SourceError(f"{path} has no rows")
    if rows % batch:
        raise SourceError(
            f"{path} has {rows} rows, which do not fill batches of {batch}",
            hint=f"leave {rows % batch} out or add {batch - rows % batch}",
        )


def show_shape(shape: Sequence[int]) -> str:
    """(1,3,224,224)"""
    return "({})".format(",".join(str(length) for length in shape))
