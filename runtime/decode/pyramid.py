"""Levels of feature maps: how many cells each has, where they lie, and boxes around their points."""

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from .decode_spec import unfit

Size = Tuple[int, int]


class Grid(NamedTuple):
    """The cells of all levels, row by row.

    Attributes
    ----------
    cells : ndarray of float32, shape (n, 2)
        Column and row of each.
    strides : ndarray of float32, shape (n, 1)
        Pixels a cell.
    """

    cells: np.ndarray
    strides: np.ndarray


def level_sizes(input_size: Size, strides: Sequence[int], count: int, name: str, shape: Tuple[int, ...]) -> List[Size]:
    """Height and width of each level whose cells, of all levels together, are `count`.

    Raises
    ------
    BundleError
        If they are not, whether a part of a cell counts or not.
    """
    sums = []
    for up in (0, 1):
        sizes = [
            ((input_size[0] + up * (stride - 1)) // stride, (input_size[1] + up * (stride - 1)) // stride)
            for stride in strides
        ]
        sums.append(sum(height * width for height, width in sizes))
        if sums[-1] == count:
            return sizes
    raise unfit(
        name,
        "{} rows, for an input of {}x{} and strides {}".format(sums[0], *input_size, list(strides)),
        shape,
        "set 'strides' to those the model was built with, finest first",
    )


def check_map(name: str, size: Tuple[int, ...], input_size: Size, stride: int) -> None:
    """Raise BundleError unless a map of this height and width is the input's, divided by `stride`."""
    for have, length in zip(size, input_size):
        if have not in (length // stride, -(-length // stride)):
            expected = "a map of {}x{}, for stride {}".format(input_size[0] // stride, input_size[1] // stride, stride)
            raise unfit(name, expected, size, "list 'strides' and 'outputs' in the same order of levels")


def grid_of(sizes: Sequence[Size], strides: Sequence[int]) -> Grid:
    """The cells of levels of these heights and widths."""
    cells, steps = [], []
    for (height, width), stride in zip(sizes, strides):
        rows, columns = np.mgrid[:height, :width]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        steps.append(np.full((height * width, 1), stride))
    return Grid(np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32))


def rows_of(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Maps (B, K, H, W) of all levels as rows (B, n, K), cell by cell as `grid_of` counts them."""
    return np.concatenate([one.reshape(one.shape[:2] + (-1,)).transpose(0, 2, 1) for one in maps], axis=1)


def around(points: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) from points (n, 2) and their distances (n, 4) to the left, top, right and bottom side."""
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)


def corners(boxes: np.ndarray) -> np.ndarray:
    """x1, y1, x2, y2 from the centre and size (n, 4)."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def clipped(boxes: np.ndarray, input_size: Size) -> np.ndarray:
    """Boxes (n, 4) clipped to the input; what is no number stays none."""
    limit = np.array([input_size[1], input_size[0]] * 2, dtype=np.float32)
    inside = np.minimum(np.maximum(boxes, 0), limit)
    # An infinite side is no finding, and clipping would make one of it.
    return np.where(np.isfinite(boxes), inside, np.float32(np.nan))
