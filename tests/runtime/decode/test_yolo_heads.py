"""YOLOv5, v8 and X against their formulas, written out cell by cell."""

import numpy as np
import pytest

SIZE = (64, 96)
STRIDES = [8, 16, 32]
LEVELS = [(8, 12), (4, 6), (2, 3)]
CELLS = 126
CLASSES = 3
ANCHORS = [[[10, 13], [16, 30]], [[30, 61], [62, 45]], [[116, 90], [156, 198]]]


def cells():
    """Stride, row and column of every cell, finest level first."""
    for stride, (height, width) in zip(STRIDES, LEVELS):
        for row in range(height):
            for column in range(width):
                yield stride, row, column


def normal(seed, *shape):
    return np.random.RandomState(seed).normal(-1, 1.5, shape).astype(np.float32)


def shares(seed, *shape):
    return np.random.RandomState(seed).uniform(0, 1, shape).astype(np.float32)


def named(arrays):
    return {f"out{place}": array for place, array in enumerate(arrays)}


def rows_in_pixels(width, seed=0, batch=2):
    return np.concatenate([shares(seed, batch, CELLS, 4) * 60, shares(seed + 1, batch, CELLS, width - 4)], axis=2)


@pytest.mark.parametrize("more", [{}, {"strides": STRIDES}, {"strides": STRIDES, "anchors": [[[3, 4]]] * 3}])
def test_yolov5_rows(more, check, formulas):
    rows = rows_in_pixels(5 + CLASSES)
    if more == {"strides": STRIDES}:
        rows = np.tile(rows, (1, 3, 1))  # three anchors a cell unless they are listed
        rows[:, :, 4] *= np.linspace(0.5, 1, rows.shape[1], dtype=np.float32)
    pictures = [[(formulas.corners(*row[:4]), row[5:] * row[4]) for row in picture] for picture in rows]
    check(dict(head="yolov5", classes=CLASSES, outputs=["out0"], **more), named([rows]), SIZE, pictures)


@pytest.mark.parametrize("five", [False, True])
@pytest.mark.parametrize("squashed", [False, True])
def test_yolov5_maps(five, squashed, check, formulas):
    width = 5 + CLASSES
    maps = [normal(level, 2, 2, width, *size) for level, size in enumerate(LEVELS)]
    pictures = [[], []]
    for level, one in enumerate(maps):
        for picture, anchor, row, column in np.ndindex(2, 2, *LEVELS[level]):
            s = [formulas.sigmoid(value) for value in one[picture, anchor, :, row, column]]
            wide, high = ANCHORS[level][anchor]
            middle = [(2 * s[0] - 0.5 + column) * STRIDES[level], (2 * s[1] - 0.5 + row) * STRIDES[level]]
            box = formulas.corners(middle[0], middle[1], (2 * s[2]) ** 2 * wide, (2 * s[3]) ** 2 * high)
            pictures[picture].append((box, [s[4] * score for score in s[5:]]))
    given = [1 / (1 + np.exp(-one)) for one in maps] if squashed else maps
    given = [one.transpose(0, 1, 3, 4, 2) if five else one.reshape(2, -1, *one.shape[3:]) for one in given]
    spec = {
        "head": "yolov5",
        "classes": CLASSES,
        "outputs": ["out0", "out1", "out2"],
        "strides": STRIDES,
        "anchors": ANCHORS,
    }
    check(dict(spec, sigmoid=not squashed), named(given), SIZE, pictures)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("boxes", ["xywh", "xyxy"])
@pytest.mark.parametrize("more", [{}, {"strides": STRIDES}])
def test_yolov8_rows(axis, boxes, more, check, formulas):
    rows = rows_in_pixels(4 + CLASSES)
    make = formulas.corners if boxes == "xywh" else lambda *sides: sides
    pictures = [[(make(*row[:4]), row[4:]) for row in picture] for picture in rows]
    given = rows if axis == 2 else rows.transpose(0, 2, 1)
    spec = dict(head="yolov8", classes=CLASSES, outputs=["out0"], boxes=boxes, **more)
    check(spec, named([given]), SIZE, pictures, score=0.6)
    check(dict(spec, axis=axis), named([given]), SIZE, pictures, score=0.6)


@pytest.mark.parametrize("bins", [1, 4, 16])
@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("squashed", [False, True])
def test_yolov8_maps(bins, each, squashed, check, formulas):
    maps = [normal(level, 2, 4 * bins + CLASSES, *size) for level, size in enumerate(LEVELS)]
    pictures = [[], []]
    for stride, one in zip(STRIDES, maps):
        for picture, row, column in np.ndindex(2, *one.shape[2:]):
            values = one[picture, :, row, column]
            parts = [values[bins * side : bins * side + bins] for side in range(4)]
            sides = [part[0] if bins == 1 else formulas.mean_of_bins(part) for part in parts]
            box = [side * stride for side in formulas.around(column + 0.5, row + 0.5, sides)]
            pictures[picture].append((box, [formulas.sigmoid(value) for value in values[4 * bins :]]))
    if squashed:
        maps = [np.concatenate([m[:, : 4 * bins], 1 / (1 + np.exp(-m[:, 4 * bins :]))], axis=1) for m in maps]
    given = maps if each == 1 else [part for m in maps for part in (m[:, : 4 * bins], m[:, 4 * bins :])]
    outputs = [f"out{place}" for place in range(len(given))]
    spec = {"head": "yolov8", "classes": CLASSES, "outputs": outputs, "strides": STRIDES, "sigmoid": not squashed}
    check(spec, named(given), SIZE, pictures)
    check(dict(spec, bins=bins), named(given), SIZE, pictures)


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox(decoded, check, formulas):
    rows = rows_in_pixels(5 + CLASSES)
    if not decoded:
        rows[:, :, :4] = normal(5, 2, CELLS, 4)
    pictures = []
    for picture in rows:
        made = []
        for (stride, row, column), (x, y, w, h) in zip(cells(), picture[:, :4].astype(float)):
            box = ((x + column) * stride, (y + row) * stride, np.exp(w) * stride, np.exp(h) * stride)
            made.append(formulas.corners(*((x, y, w, h) if decoded else box)))
        pictures.append([(box, row[5:] * row[4]) for box, row in zip(made, picture)])
    spec = {"head": "yolox", "classes": CLASSES, "outputs": ["out0"], "decoded": decoded}
    check(spec, named([rows]), SIZE, pictures)


def test_half_precision_outputs_are_decoded_in_float32(check, formulas):
    rows = rows_in_pixels(5 + CLASSES).astype(np.float16)
    pictures = [[(formulas.corners(*row[:4]), row[5:] * row[4]) for row in one] for one in rows.astype(np.float32)]
    check({"head": "yolox", "classes": CLASSES, "outputs": ["out0"], "decoded": True}, named([rows]), SIZE, pictures)
