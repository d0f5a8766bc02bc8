"""Scenes of handwritten digits on textured canvases: what the small detector and the small segmenter are trained on.

A scene holds a few of scikit-learn's digits, enlarged to 12 to 40 pixels, coloured, and pasted where there is room on a
background of clouds, stripes and noise. Scene `i` of a seed depends on the seed and on `i` alone, so a longer list of
scenes begins with the shorter one. Training scenes use the two thirds of the digits that `digits.py` trains on, test
scenes the held-out third. Written to a folder, test scenes become a data set of the two common kinds: COCO's boxes, and
masks as palette PNGs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from coachc.errors import ToolchainError
from coachc.models.digits import held_out, scans, upscale

SIZE = 128
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MASK_NAMES = ("background", *DIGIT_NAMES)

SMALLEST, LARGEST = 12, 40
FEWEST, MOST = 2, 7
# A digit that finds no room in so many places is left out; the scene then has fewer.
ATTEMPTS = 12
# Boxes overlap by at most this share of the smaller one, ink never: the mask then has all of every digit.
OVERLAP = 0.1
# Grey value, 0 to 1, above which a pixel of an enlarged digit is ink, and the range over which colour fades in.
INK = 0.5
FADE = (0.35, 0.65)
# Ink and what lies under it differ by this much, of 1, in at least one channel.
CONTRAST = 0.4


@dataclass(frozen=True, slots=True)
class Scene:
    """One canvas and what is on it.

    Attributes
    ----------
    picture : ndarray of uint8, shape (SIZE, SIZE, 3)
        RGB.
    boxes : ndarray of float32, shape (n, 4)
        x1, y1, x2, y2 in pixels, tight around the ink: x2 and y2 are the far edges of the last column and row.
    classes : ndarray of int64, shape (n,)
        The digits, 0 to 9.
    mask : ndarray of uint8, shape (SIZE, SIZE)
        0 for background, digit + 1 where there is ink.
    """

    picture: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    mask: np.ndarray


def scene(seed: int, index: int, *, train: bool = False) -> Scene:
    """Scene `index` of `seed`.

    Parameters
    ----------
    seed, index : int
        0 or more.
    train : bool
        Whether its digits come from the training part of the data set.

    Raises
    ------
    ToolchainError
        If scikit-learn is not installed.
    """
    random = np.random.default_rng((seed, index, int(train)))
    images, labels = _samples(train)
    canvas = _background(random)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    boxes: list[tuple[int, int, int, int]] = []
    classes = []
    for _ in range(random.integers(FEWEST, MOST + 1)):
        sample = random.integers(len(labels))
        # Logarithmic, or there would be hardly any small ones.
        size = round(SMALLEST * (LARGEST / SMALLEST) ** random.random())
        grey = upscale(images[sample : sample + 1], size)[0]
        for left, top in random.integers(0, SIZE - size + 1, (ATTEMPTS, 2)).tolist():
            area = np.s_[top : top + size, left : left + size]
            ink = grey > INK
            box = _tight(ink, left, top)
            if mask[area][ink].any() or any(_shared(box, other) > OVERLAP for other in boxes):
                continue
            _paint(canvas[area], grey, ink, random)
            mask[area][ink] = labels[sample] + 1
            boxes.append(box)
            classes.append(labels[sample])
            break
    canvas += random.uniform(0.01, 0.06) * random.standard_normal(canvas.shape, np.float32)
    picture = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return Scene(picture, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), mask)


def scenes(count: int, seed: int, *, train: bool = False) -> Iterator[Scene]:
    """Scenes 0 to `count` - 1 of `seed`."""
    for index in range(count):
        yield scene(seed, index, train=train)


def as_input(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures as both networks expect them: uint8 (SIZE, SIZE, 3) each -> float32 (n, 3, SIZE, SIZE) in [0, 1]."""
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def write_detection_set(folder: Path, count: int, seed: int) -> None:
    """Write test scenes as `folder`/pictures/*.png and `folder`/annotations.json, in the layout of COCO's instances.

    A box is x, y, width and height; its area is that of the ink, as COCO's is that of the object's outline. Ids begin
    with 1, those of the categories too, so they are not the classes: category `digit + 1` is named after the digit.

    Raises
    ------
    ToolchainError
        If scikit-learn or Pillow is not installed.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, one in enumerate(scenes(count, seed)):
        name = f"{index:06d}.png"
        _write_png(folder / "pictures" / name, one.picture)
        images.append({"id": index + 1, "file_name": name, "width": SIZE, "height": SIZE})
        for (x1, y1, x2, y2), digit in zip(one.boxes.tolist(), one.classes.tolist(), strict=True):
            inside = one.mask[int(y1) : int(y2), int(x1) : int(x2)] == digit + 1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": digit + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": int(inside.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": digit + 1, "name": name} for digit, name in enumerate(DIGIT_NAMES)]
    table = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(table), "utf-8")


def write_segmentation_set(folder: Path, count: int, seed: int) -> None:
    """Write test scenes as `folder`/pictures/*.png and `folder`/masks/*.png, the same stem for the same scene.

    Raises
    ------
    ToolchainError
        If scikit-learn or Pillow is not installed.
    """
    for index, one in enumerate(scenes(count, seed)):
        _write_png(folder / "pictures" / f"{index:06d}.png", one.picture)
        _write_png(folder / "masks" / f"{index:06d}.png", one.mask, palette=True)


def _write_png(path: Path, pixels: np.ndarray, *, palette: bool = False) -> None:
    try:
        from PIL import Image
    except ImportError as exc:
        raise ToolchainError("writing pictures needs Pillow", hint="pip install 'coachc[images]'") from exc
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(_colours())
    image.save(path)


def _colours() -> list[int]:
    """Red, green and blue of each class of a mask: PASCAL VOC's, whose bits are those of the class, spread out."""
    flat = []
    for one in range(len(MASK_NAMES)):
        flat += [sum((one >> (3 * place + channel) & 1) << (7 - place) for place in range(3)) for channel in range(3)]
    return flat


@cache
def _samples(train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scans float64 (n, 8, 8) in [0, 1] and their labels."""
    images, labels = scans()
    chosen = held_out(labels) != train
    return images[chosen], labels[chosen]


def _background(random: np.random.Generator) -> np.ndarray:
    """Clouds and stripes, float32 (SIZE, SIZE, 3) around [0, 1]."""
    clouds = upscale(random.random((3, 6, 6)) - 0.5, SIZE).transpose(1, 2, 0)
    angle, phase = random.uniform(0, 2 * np.pi, 2)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) / random.uniform(4, 40)
    stripes = np.sin(2 * np.pi * along + phase)[..., np.newaxis] * random.uniform(-0.1, 0.1, 3)
    return (random.uniform(0.15, 0.85, 3) + 0.5 * clouds + stripes).astype(np.float32)


def _paint(area: np.ndarray, grey: np.ndarray, ink: np.ndarray, random: np.random.Generator) -> None:
    """Blend a digit of one colour, which stands out from what lies under it, into `area` in place."""
    under = area[ink].mean(0)
    colour = random.random(3)
    while np.abs(colour - under).max() < CONTRAST:
        colour = random.random(3)
    low, high = FADE
    share = ((grey - low) / (high - low)).clip(0, 1)[..., np.newaxis]
    area += share * (colour.astype(np.float32) - area)


def _tight(ink: np.ndarray, left: int, top: int) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1


def _shared(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Area that two boxes share, as a share of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(width, 0) * max(height, 0) / smaller
