"""SSD, FCOS and NanoDet against their formulas, written out box by box."""

import math

import numpy as np
import pytest

from coachc.runtime.decode.prior_boxes import priors

SIZE = (64, 96)
CLASSES = 3
STRIDES = [8, 16, 32]
LEVELS = [(8, 12), (4, 6), (2, 3)]


def normal(seed, *shape):
    return np.random.RandomState(seed).normal(0, 1, shape).astype(np.float32)


def named(arrays):
    return {f"out{place}": array for place, array in enumerate(arrays)}


def softmax(values):
    shares = [math.exp(value) for value in values]
    return [share / sum(shares) for share in shares]


@pytest.mark.parametrize("background", [0, 2, 3, None])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_ssd(background, activation, check, formulas):
    anchors = np.random.RandomState(3).uniform(0.1, 0.9, (40, 4)).astype(np.float32)
    width = CLASSES + (background is not None)
    locations, scores = normal(0, 2, 40, 4), normal(1, 2, 40, width)
    make = {"softmax": softmax, "sigmoid": lambda row: [formulas.sigmoid(one) for one in row], "none": list}[activation]
    pictures = []
    for offsets, logits in zip(locations.astype(float), scores):
        made = []
        for (dx, dy, dw, dh), (cx, cy, w, h), row in zip(offsets, anchors.astype(float), logits):
            middle = (cx + 0.1 * dx * w, cy + 0.1 * dy * h)
            x1, y1, x2, y2 = formulas.corners(*middle, w * math.exp(0.2 * dw), h * math.exp(0.2 * dh))
            box = formulas.clip((x1 * 96, y1 * 64, x2 * 96, y2 * 64), SIZE)
            made.append((box, [one for place, one in enumerate(make(row)) if place != background]))
        pictures.append(made)
    spec = {"head": "ssd", "classes": CLASSES, "outputs": ["out0", "out1"], "anchors": anchors.tolist()}
    spec.update(background=background, activation=activation)
    check(spec, named([locations, scores]), SIZE, pictures)


def test_ssd_with_variances_and_a_clamp(check, formulas):
    anchors = np.random.RandomState(3).uniform(0.1, 0.9, (40, 4)).astype(np.float32)
    locations, scores = normal(0, 1, 40, 4), normal(1, 1, 40, 4)
    made = []
    for (dx, dy, dw, dh), (cx, cy, w, h), row in zip(locations[0].astype(float), anchors.astype(float), scores[0]):
        size = (w * math.exp(min(0.7 * dw, 0.4)), h * math.exp(min(0.9 * dh, 0.4)))
        x1, y1, x2, y2 = formulas.corners(cx + 0.3 * dx * w, cy + 0.5 * dy * h, *size)
        made.append((formulas.clip((x1 * 96, y1 * 64, x2 * 96, y2 * 64), SIZE), softmax(row)[1:]))
    spec = {"head": "ssd", "classes": CLASSES, "outputs": ["out0", "out1"], "anchors": anchors.tolist()}
    spec.update(variances=[0.3, 0.5, 0.7, 0.9], clamp=0.4)
    check(spec, named([locations, scores]), SIZE, [made])


SSD300 = {
    "sizes": [[38, 38], [19, 19], [10, 10], [5, 5], [3, 3], [1, 1]],
    "ratios": [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
    "scales": [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
    "steps": [8, 16, 32, 64, 100, 300],
}


def test_prior_boxes_of_ssd300():
    made = priors(SSD300, (300, 300))
    assert (made.shape, made.dtype) == ((8732, 4), np.float32)  # the paper's count
    expected = []
    for k, (height, width) in enumerate(SSD300["sizes"]):
        scale, step = SSD300["scales"][k], SSD300["steps"][k]
        sizes = [(scale, scale), (math.sqrt(scale * SSD300["scales"][k + 1]),) * 2]
        for ratio in SSD300["ratios"][k]:
            root = math.sqrt(ratio)
            sizes += [(scale * root, scale / root), (scale / root, scale * root)]
        for row in range(height):
            for column in range(width):
                for wide, high in sizes:
                    middle = [(column + 0.5) * step / 300, (row + 0.5) * step / 300]
                    expected.append([*middle, min(wide, 1), min(high, 1)])
    assert np.allclose(made, expected, rtol=1e-6)


def test_prior_boxes_without_steps_or_clip():
    levels = {"sizes": [[2, 3]], "ratios": [[]], "scales": [0.5, 4.5], "clip": False}
    made = priors(levels, (200, 300))
    assert np.allclose(made[:2], [[1 / 6, 0.25, 0.5, 0.5], [1 / 6, 0.25, 1.5, 1.5]])
    assert np.allclose(made[-1], [5 / 6, 0.75, 1.5, 1.5])


def test_ssd_with_generated_anchors_finds_a_box(check, formulas):
    levels = {"sizes": [[2, 3]], "ratios": [[2]], "scales": [0.2, 0.4]}
    locations, scores = np.zeros((1, 24, 4), np.float32), normal(2, 1, 24, 4)
    boxes = [formulas.corners(*row) for row in priors(levels, SIZE).astype(float)]
    made = [([x1 * 96, y1 * 64, x2 * 96, y2 * 64], softmax(row)[1:]) for (x1, y1, x2, y2), row in zip(boxes, scores[0])]
    made = [(formulas.clip(box, SIZE), row) for box, row in made]
    spec = {"head": "ssd", "classes": CLASSES, "outputs": ["out0", "out1"], "anchors": levels}
    check(spec, named([locations, scores]), SIZE, [made])


@pytest.mark.parametrize("centreness", ["none", "product", "sqrt"])
@pytest.mark.parametrize("distance", ["none", "relu", "exp"])
@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize("offset", [0.5, 0])
def test_fcos(centreness, distance, stretch, offset, check, formulas):
    maps, pictures = [], [[], []]
    for level, (stride, size) in enumerate(zip(STRIDES, LEVELS)):
        classes, sides, centre = (normal(3 * level + part, 2, n, *size) for part, n in enumerate((CLASSES, 4, 1)))
        maps += [classes, sides] if centreness == "none" else [classes, sides, centre]
        for picture, row, column in np.ndindex(2, *size):
            scores = [formulas.sigmoid(value) for value in classes[picture, :, row, column]]
            if centreness != "none":
                scores = [score * formulas.sigmoid(centre[picture, 0, row, column]) for score in scores]
            if centreness == "sqrt":
                scores = [math.sqrt(score) for score in scores]
            found = [float(value) for value in sides[picture, :, row, column]]
            found = {"none": found, "relu": [max(one, 0) for one in found], "exp": [math.exp(one) for one in found]}
            reach = [one * (stride if stretch else 1) for one in found[distance]]
            box = formulas.around((column + offset) * stride, (row + offset) * stride, reach)
            pictures[picture].append((formulas.clip(box, SIZE), scores))
    outputs = [f"out{place}" for place in range(len(maps))]
    spec = {"head": "fcos", "classes": CLASSES, "outputs": outputs, "strides": STRIDES}
    spec.update(centreness=centreness, distance=distance, stretch=stretch, offset=offset)
    check(spec, named(maps), SIZE, pictures)


def test_fcos_of_scores_past_their_sigmoid(check, formulas):
    classes, sides, centre = [np.abs(np.tanh(normal(seed, 1, n, 8, 12))) for seed, n in enumerate((CLASSES, 4, 1))]
    made = []
    for row, column in np.ndindex(8, 12):
        box = formulas.around(column * 8 + 4, row * 8 + 4, sides[0, :, row, column].astype(float) * 8)
        made.append((formulas.clip(box, SIZE), classes[0, :, row, column] * centre[0, 0, row, column]))
    spec = {"head": "fcos", "classes": CLASSES, "outputs": ["out0", "out1", "out2"], "strides": [8], "sigmoid": False}
    check(dict(spec, centreness="product"), named([classes, sides, centre]), SIZE, [made])


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("bins", [1, 8])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("offset", [0, 0.5])
def test_nanodet(joined, bins, raw, offset, check, formulas):
    size, levels = (60, 90), [(8, 12), (4, 6), (2, 3)]  # a part of a cell counts as one
    maps = [normal(level, 2, CLASSES + 4 * bins, *cells) for level, cells in enumerate(levels)]
    if not raw:
        maps = [np.concatenate([1 / (1 + np.exp(-m[:, :3])), m[:, 3:]], axis=1) for m in maps]
    pictures = [[], []]
    for stride, one in zip(STRIDES, maps):
        for picture, row, column in np.ndindex(2, *one.shape[2:]):
            values = one[picture, :, row, column]
            scores = [formulas.sigmoid(value) for value in values[:3]] if raw else values[:3]
            parts = [values[3 + bins * side : 3 + bins * side + bins] for side in range(4)]
            reach = [float(part[0]) if bins == 1 else formulas.mean_of_bins(part) for part in parts]
            box = formulas.around(
                (column + offset) * stride, (row + offset) * stride, [one_side * stride for one_side in reach]
            )
            pictures[picture].append((formulas.clip(box, size), scores))
    flat = [m.reshape(2, m.shape[1], -1).transpose(0, 2, 1) for m in maps]
    given = [np.concatenate(flat, axis=1)] if joined else maps
    outputs = [f"out{place}" for place in range(len(given))]
    spec = {
        "head": "nanodet",
        "classes": CLASSES,
        "outputs": outputs,
        "strides": STRIDES,
        "sigmoid": raw,
        "offset": offset,
    }
    check(spec, named(given), size, pictures, score=0.6)
    check(dict(spec, bins=bins), named(given), size, pictures, score=0.6)
