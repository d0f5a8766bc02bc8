"""YOLOv8, v9, v11: distances to the four sides, each a distribution over bins, and a score for each class."""

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .. import decode_spec as d
from ..pyramid import around, check_map, corners, grid_of, level_sizes, rows_of
from ..scored_boxes import Head, Named, Rows, Scored
from ..squashing import expectation, sigmoid

KEYS = {
    "strides": d.STRIDES._replace(reader=d.optional(d.STRIDES.reader), default=None),
    "axis": d.Key(d.optional(d.one_of(1, 2)), None, "axis of the channels: 1 for (B, 4+C, N), 2 for (B, N, 4+C)"),
    "boxes": d.Key(d.optional(d.one_of("xywh", "xyxy")), None, "xywh unless the model was exported otherwise"),
    "bins": d.Key(d.optional(d.COUNT), None, "the model's reg_max, mostly 16"),
    "sigmoid": d.Key(d.optional(d.BOOL), None, "false where class maps have passed a sigmoid in the model"),
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """One output of three axes, which the model has decoded, or one map or two a level, which it has not."""
    if [len(shape) for shape in named.shapes] == [3]:
        return _decoded(fields, named)
    return _maps(fields, named)


def _decoded(fields: Dict[str, Any], named: Named) -> Rows:
    name, shape, width = named.names[0], named.shapes[0], 4 + named.classes
    d.refuse(fields, ("bins", "sigmoid"), "a decoded output")
    fitting = [axis for axis in (1, 2) if shape[axis] == width and fields["axis"] in (None, axis)]
    if not fitting:
        raise d.unfit(
            name,
            f"(B, 4 + {named.classes}, N) or (B, N, 4 + {named.classes}), for {named.classes} classes",
            shape,
            "'classes' lists all classes of the model; rows of 5 + classes are a yolov5's or a yolox's",
        )
    if len(fitting) > 1:
        raise d.wrong("axis", "1 or 2, where both axes are as long", None, KEYS["axis"].hint)
    axis = fitting[0]
    if fields["strides"] is not None:
        level_sizes(named.input_size, fields["strides"], shape[3 - axis], name, shape)
    as_corners = fields["boxes"] == "xyxy"

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        return [_scored(one if axis == 2 else one.T) for one in arrays[0]]

    def _scored(one: np.ndarray) -> Scored:
        return Scored(one[:, 4:], lambda chosen: one[chosen, :4] if as_corners else corners(one[chosen, :4]))

    return rows


def _maps(fields: Dict[str, Any], named: Named) -> Rows:
    strides = fields["strides"]
    d.refuse(fields, ("axis", "boxes"), "maps")
    count = len(named.names)
    if strides is None or count not in (len(strides), 2 * len(strides)):
        expected = f"as many as there are levels, in {count} outputs: one or two a level"
        raise d.wrong("strides", expected, strides, d.STRIDES.hint)
    each = count // len(strides)
    bins = _bins(fields, named, each)
    for place, (name, shape) in enumerate(zip(named.names, named.shapes)):
        channels = (4 * bins + named.classes,) if each == 1 else (4 * bins, named.classes)
        if len(shape) != 4 or shape[1] != channels[place % each]:
            raise d.unfit(
                name,
                f"(B, {channels[place % each]}, H, W), for {bins} bins and {named.classes} classes",
                shape,
                "two maps a level are listed level by level: distances, then classes",
            )
        check_map(name, shape[2:], named.input_size, strides[place // each])
    grid = grid_of([shape[2:] for shape in named.shapes[::each]], strides)  # type: ignore[misc]
    points = grid.cells + np.float32(0.5)
    raw = fields["sigmoid"] in (None, True)

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        distances = rows_of([one[:, : 4 * bins] for one in arrays[::each]])
        classes = rows_of(arrays[1::2] if each == 2 else [one[:, 4 * bins :] for one in arrays])
        return [_scored(*one) for one in zip(distances, classes)]

    def _scored(distances: np.ndarray, classes: np.ndarray) -> Scored:
        def boxes(chosen: np.ndarray) -> np.ndarray:
            return around(points[chosen], expectation(distances[chosen], bins)) * grid.strides[chosen]

        return Scored(sigmoid(classes) if raw else classes, boxes)

    return rows


def _bins(fields: Dict[str, Any], named: Named, each: int) -> int:
    """Length of a distribution: as stated, else what the first map's channels leave."""
    if fields["bins"] is not None:
        return int(fields["bins"])
    shape: Tuple[int, ...] = named.shapes[0]
    channels = (shape[1] if len(shape) == 4 else 0) - (named.classes if each == 1 else 0)
    if channels < 4 or channels % 4:
        expected = f"(B, 4*R + {named.classes}, H, W), for {named.classes} classes" if each == 1 else "(B, 4*R, H, W)"
        raise d.unfit(named.names[0], expected, shape, "'classes' lists all classes of the model")
    return channels // 4


HEAD = Head(KEYS, build)
