"""YOLOv5 (and v7): boxes relative to anchors, a score for any object and one for each class."""

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .. import decode_spec as d
from ..pyramid import Grid, check_map, corners, grid_of, level_sizes
from ..scored_boxes import Head, Named, Rows, Scored
from ..squashing import sigmoid

ANCHORS = d.Key(
    d.optional(d.list_of(d.list_of(d.list_of(d.POSITIVE, 2)))),
    None,
    "by level a list of [width, height] in pixels, as in the model's yaml: [[[10, 13], [16, 30], [33, 23]], ...]",
)
KEYS = {
    "strides": d.STRIDES._replace(reader=d.optional(d.STRIDES.reader), default=None),
    "anchors": ANCHORS,
    "sigmoid": d.Key(d.optional(d.BOOL), None, "false where the maps have passed a sigmoid in the model"),
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """One output of rows (B, N, 5+C), which the model has decoded, or a map a level, which it has not."""
    if [len(shape) for shape in named.shapes] == [3]:
        return _decoded(fields, named)
    return _maps(fields, named)


def _decoded(fields: Dict[str, Any], named: Named) -> Rows:
    name, shape = named.names[0], named.shapes[0]
    d.refuse(fields, ("sigmoid",), "decoded rows")
    if shape[2] != 5 + named.classes:
        raise d.unfit(
            name,
            f"rows of 5 + {named.classes} classes",
            shape,
            "'classes' lists all classes of the model; else see yolov8",
        )
    if fields["strides"] is not None:
        each = _anchors_each(fields)
        if shape[1] % each:
            raise d.unfit(name, f"rows for {each} anchors a cell", shape, "list the model's own 'anchors'")
        level_sizes(named.input_size, fields["strides"], shape[1] // each, name, shape)

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        return [_scored(one) for one in arrays[0]]

    def _scored(one: np.ndarray) -> Scored:
        return Scored(one[:, 5:] * one[:, 4:5], lambda chosen: corners(one[chosen, :4]))

    return rows


def _anchors_each(fields: Dict[str, Any]) -> int:
    """Anchors a cell; three unless listed."""
    counts = {len(level) for level in fields["anchors"] or ()} or {3}
    if len(counts) > 1:
        raise d.wrong("anchors", "as many at every level", sorted(counts), "decoded rows have one number of them")
    return counts.pop()


def _maps(fields: Dict[str, Any], named: Named) -> Rows:
    strides, anchors = fields["strides"], fields["anchors"]
    for key, found in (("strides", strides), ("anchors", anchors)):
        if found is None or len(found) != len(named.names):
            expected = f"one entry for each of {len(named.names)} outputs that are maps"
            raise d.wrong(key, expected, found, KEYS[key].hint)
    width = 5 + named.classes
    cells, sizes = [], []
    for name, shape, stride, level in zip(named.names, named.shapes, strides, anchors):
        here = _map_size(name, shape, len(level), named.classes)
        check_map(name, here, named.input_size, stride)
        grid = grid_of([here], [stride])
        cells += [grid] * len(level)
        sizes.append(np.repeat(np.array(level, dtype=np.float32), len(grid.cells), axis=0))
    grid, anchor = Grid(*(np.concatenate(parts) for parts in zip(*cells))), np.concatenate(sizes)
    raw = fields["sigmoid"] in (None, True)

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        return [_scored(one) for one in np.concatenate([_rows(array, width) for array in arrays], axis=1)]

    def _scored(one: np.ndarray) -> Scored:
        scores = sigmoid(one[:, 4:]) if raw else one[:, 4:]

        def boxes(chosen: np.ndarray) -> np.ndarray:
            share = sigmoid(one[chosen, :4]) if raw else one[chosen, :4]
            middle = (share[:, :2] * 2 - np.float32(0.5) + grid.cells[chosen]) * grid.strides[chosen]
            return corners(np.concatenate([middle, (share[:, 2:] * 2) ** 2 * anchor[chosen]], axis=1))

        return Scored(scores[:, 1:] * scores[:, :1], boxes)

    return rows


def _map_size(name: str, shape: Tuple[int, ...], anchors: int, classes: int) -> Tuple[int, int]:
    """Height and width of a level's map, which is in one of two forms."""
    width = 5 + classes
    if len(shape) == 4 and shape[1] == anchors * width:
        return shape[2], shape[3]
    if len(shape) == 5 and (shape[1], shape[4]) == (anchors, width):
        return shape[2], shape[3]
    expected = (
        f"(B, {anchors}*{width}, H, W) or (B, {anchors}, H, W, {width}), for {anchors} anchors, {classes} classes"
    )
    raise d.unfit(name, expected, shape, "'anchors' and 'classes' are to be the model's own")


def _rows(array: np.ndarray, width: int) -> np.ndarray:
    """A level's map as rows (B, A*H*W, 5+C), anchor by anchor, cell by cell."""
    if array.ndim == 4:
        batch, _, height, wide = array.shape
        array = array.reshape(batch, -1, width, height, wide).transpose(0, 1, 3, 4, 2)
    return array.reshape(array.shape[0], -1, width)


HEAD = Head(KEYS, build)
