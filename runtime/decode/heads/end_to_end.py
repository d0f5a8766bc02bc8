"""Models that suppress by themselves: what is left is to read their rows.

Rows that speak of no class, picture or box there is are left out, as the padding of such outputs is.
"""

from typing import Any, Dict, List, Sequence

import numpy as np

from .. import decode_spec as d
from ..pyramid import corners
from ..scored_boxes import Head, Named, Rows, Scored

COLUMNS = ("x1", "y1", "x2", "y2", "score", "class")
#: As YOLOv7's end-to-end export writes them (WongKinYiu/yolov7 134a36f, models/experimental.py ONNX_ORT).
BATCH_COLUMNS = ("batch", "x1", "y1", "x2", "y2", "class", "score")
FORMS = ("rows", "efficient_nms", "torchvision", "selected_indices")
KEYS = {
    "form": d.Key(d.one_of(*FORMS), hint="which outputs the model has: see the table in runtime/decode/decode_spec.py"),
    "columns": d.Key(
        d.optional(d.list_of(d.one_of(*BATCH_COLUMNS))),
        None,
        "x1, y1, x2, y2, score and class in the order they stand in a row, and batch if it is there",
    ),
    "boxes": d.Key(d.one_of("xyxy", "yxyx", "xywh"), "xyxy", "yxyx in models from TensorFlow"),
    "normalised": d.Key(d.BOOL, False, "true where boxes reach from 0 to 1"),
    "background": d.Key(d.optional(d.INDEX), None, "0 in torchvision: its first class is the background"),
    "batch": d.Key(d.COUNT, 1),
}


def build(fields: Dict[str, Any], named: Named) -> Rows:
    """One of four forms of outputs."""
    count, read = BUILDERS[fields["form"]]
    if len(named.names) != count:
        raise d.wrong("outputs", f"{count} names for form {fields['form']}", list(named.names), d.OUTPUTS.hint)
    if fields["form"] != "rows":
        d.refuse(fields, ("columns",), "form " + fields["form"])
    if fields["background"] is not None and fields["background"] > named.classes:
        raise d.wrong("background", f"at most {named.classes}", fields["background"], KEYS["background"].hint)
    return read(fields, named)


def _read(fields: Dict[str, Any], named: Named, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> Scored:
    """One picture's boxes (n, 4), scores (n,) and classes (n,) as a model says them."""
    background = fields["background"]
    # What is no number turns into no class before it is made an integer, which would give any number.
    known = np.where(np.isfinite(classes) & (np.abs(classes) < d.LARGEST_COUNT), classes, -1)
    labels = np.rint(known).astype(np.int64)
    if background is not None:
        labels = np.where(labels == background, -1, labels - (labels > background))
    fit = np.flatnonzero((labels >= 0) & (labels < named.classes))
    boxes, height, width = boxes[fit], named.input_size[0], named.input_size[1]

    def in_pixels(chosen: np.ndarray) -> np.ndarray:
        found = boxes[chosen].astype(np.float32)
        if fields["boxes"] == "yxyx":
            found = found[:, [1, 0, 3, 2]]
        found = corners(found) if fields["boxes"] == "xywh" else found
        return found * np.array([width, height] * 2, dtype=np.float32) if fields["normalised"] else found

    return Scored(scores[fit].astype(np.float32), in_pixels, labels[fit])


def _rows(fields: Dict[str, Any], named: Named) -> Rows:
    name, shape = named.names[0], named.shapes[0]
    columns = fields["columns"] or (BATCH_COLUMNS if shape[-1:] == (7,) else COLUMNS)
    if sorted(columns) not in (sorted(COLUMNS), sorted(BATCH_COLUMNS)):
        raise d.wrong("columns", "each column once", list(columns), KEYS["columns"].hint)
    batched = "batch" in columns
    if len(shape) < (2 if batched else 3) or shape[-1] != len(columns) or (not batched and len(shape) > 3):
        expected = "(..., 7)" if batched else "(B, N, 6)"
        raise d.unfit(name, f"rows {expected} of {', '.join(columns)}", shape, KEYS["columns"].hint)
    at = {column: columns.index(column) for column in columns}
    sides = [at[column] for column in COLUMNS[:4]]

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        if not batched:
            return [read(one) for one in arrays[0]]
        every = arrays[0].reshape(-1, len(columns))
        return [read(every[every[:, at["batch"]] == picture]) for picture in range(fields["batch"])]

    def read(one: np.ndarray) -> Scored:
        return _read(fields, named, one[:, sides], one[:, at["score"]], one[:, at["class"]])

    return rows


def _efficient(fields: Dict[str, Any], named: Named) -> Rows:
    most = named.shapes[1][1] if len(named.shapes[1]) == 3 else -1
    for name, shape, wanted in zip(named.names, named.shapes, ((1,), (most, 4), (most,), (most,))):
        if shape[1:] != wanted and not (wanted == (1,) and len(shape) == 1):
            expected = "number (B, 1), boxes (B, M, 4), scores (B, M), classes (B, M)"
            raise d.unfit(name, expected, shape, "list the outputs of EfficientNMS_TRT in this order")

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        numbers = arrays[0].reshape(-1)
        return [
            _read(fields, named, *(array[picture, : max(int(number), 0)] for array in arrays[1:]))
            for picture, number in enumerate(numbers)
        ]

    return rows


def _torchvision(fields: Dict[str, Any], named: Named) -> Rows:
    for name, shape, wanted in zip(named.names, named.shapes, (2, 1, 1)):
        if len(shape) != wanted or (wanted == 2 and shape[1] != 4):
            expected = "boxes (N, 4), labels (N,), scores (N,)"
            raise d.unfit(name, expected, shape, "list the outputs in this order")
    return lambda arrays: [_read(fields, named, arrays[0], arrays[2], arrays[1])]


def _selected(fields: Dict[str, Any], named: Named) -> Rows:
    picked, boxes, scores = named.shapes
    width = named.classes + (fields["background"] is not None)
    fitting = (
        len(picked) == 2 and picked[1] == 3,
        len(boxes) == 3 and boxes[2] == 4,
        len(scores) == 3 and len(boxes) == 3 and scores[1:] == (width, boxes[1]),
    )
    for name, shape, fits in zip(named.names, named.shapes, fitting):
        if not fits:
            expected = f"selected indices (M, 3), boxes (B, N, 4), scores (B, {width}, N), for {named.classes} classes"
            raise d.unfit(name, expected, shape, "list the output of NonMaxSuppression first, then what it reads")

    def rows(arrays: Sequence[np.ndarray]) -> List[Scored]:
        chosen = arrays[0].astype(np.int64)
        limit = np.array(arrays[2].shape)
        chosen = chosen[((chosen >= 0) & (chosen < limit)).all(axis=1)]
        found = []
        for picture in range(limit[0]):
            of, box = chosen[chosen[:, 0] == picture, 1:].T
            found.append(_read(fields, named, arrays[1][picture, box], arrays[2][picture, of, box], of))
        return found

    return rows


BUILDERS: Dict[str, Any] = {
    "rows": (1, _rows),
    "efficient_nms": (4, _efficient),
    "torchvision": (3, _torchvision),
    "selected_indices": (3, _selected),
}

HEAD = Head(KEYS, build, iou=None)
