"""The preview: pixels come back as they were, and each picture has its caption."""

from __future__ import annotations

import io

import numpy as np
import pytest

from coachc.calib import contact_sheet as module
from coachc.calib.contact_sheet import contact_sheet, need_pillow, to_pixels
from coachc.errors import ToolchainError
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.preprocess import normalize

RGB = Preprocess((30, 40), "bilinear", "rgb", "nchw", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def images(count, channels=3, size=(30, 40)):
    return np.random.default_rng(0).integers(0, 256, (count, *size, channels)).astype(np.uint8)


def as_seen(image, preprocess):
    """What an observer keeps of an input: (H, W, C) in the model's channel order."""
    array = normalize(image, preprocess)[0]
    return array.transpose(1, 2, 0) if preprocess.layout == "nchw" else array


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_preprocessing_is_undone(color, layout):
    preprocess = RGB._replace(color=color, layout=layout)
    originals = images(3)
    inputs = np.stack([as_seen(image, preprocess) for image in originals])
    assert np.array_equal(to_pixels(inputs, preprocess), originals)


def test_gray_becomes_rgb():
    gray = Preprocess((30, 40), "bilinear", "gray", "nchw", 16.0, (3.0,), (4.0,))
    originals = images(2, channels=1)
    pixels = to_pixels(np.stack([as_seen(image, gray) for image in originals]), gray)
    assert pixels.shape == (2, 30, 40, 3)
    assert np.array_equal(pixels, np.repeat(originals, 3, axis=3))


def test_unknown_preprocessing_is_stretched():
    inputs = np.zeros((2, 2, 2, 3), np.float32)
    inputs[..., 2] = 7
    inputs[0, 0, 0], inputs[1, 1, 1] = (-2, 0, 7), (2, 10, 7)
    pixels = to_pixels(inputs, None)
    assert pixels[0, 0, 0].tolist() == [0, 0, 0]
    assert pixels[1, 1, 1].tolist() == [255, 255, 0]
    assert pixels[0, 1, 1].tolist() == [128, 0, 0]


def test_values_beyond_pixels_are_clipped():
    inputs = np.float32([-5, 0, 400, np.nan, np.inf, -np.inf]).reshape(1, 2, 1, 3)
    assert to_pixels(inputs, RGB._replace(pixel_scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)).ravel().tolist() == [
        0, 0, 255, 0, 255, 0,
    ]  # fmt: skip


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (5, 4, 2), (16, 4, 4)])
def test_the_sheet(count, columns, rows):
    from PIL import Image

    originals = images(count)
    data = contact_sheet([as_seen(image, RGB) for image in originals], ["cat"] * count, RGB)
    sheet = Image.open(io.BytesIO(data))
    enlarged = module.LEAST_SIDE // 40
    step_x, step_y = 40 * enlarged + module.MARGIN, 30 * enlarged + module.CAPTION_HEIGHT + module.MARGIN
    assert (sheet.format, sheet.size) == ("PNG", (module.MARGIN + columns * step_x, module.MARGIN + rows * step_y))
    pixels = np.array(sheet)
    for index, original in enumerate(originals):
        top, left = module.MARGIN + index // 4 * step_y, module.MARGIN + index % 4 * step_x
        tile = pixels[top : top + 30 * enlarged : enlarged, left : left + 40 * enlarged : enlarged]
        assert np.array_equal(tile, original)
        caption = pixels[top + 30 * enlarged : top + 30 * enlarged + module.CAPTION_HEIGHT, left : left + 40 * enlarged]
        assert caption.min() < 100


@pytest.mark.needs("PIL")
def test_captions_in_any_alphabet():
    pictures = [as_seen(image, RGB) for image in images(3)]
    assert contact_sheet(pictures, ["", "кошка", "a very long name of a class that does not fit at all"], RGB)


def test_without_pillow(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match="Pillow is not installed, and the preview is drawn with it") as caught:
        need_pillow()
    assert caught.value.hint == "pip install 'coachc[images]'"
