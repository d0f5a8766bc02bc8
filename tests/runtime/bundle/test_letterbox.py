"""Letterboxes, and where a point of the source picture lies in the model's input."""

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.preprocess import pixels, placement_of

pytestmark = pytest.mark.needs("PIL")

BOXED = Preprocess((64, 96), "bilinear", "rgb", "nchw", 255.0, (0.0,) * 3, (1.0,) * 3, "letterbox", fill=(7, 8, 9))


def rows_and_columns(image, fill):
    """First and last+1 row and column that are not the fill alone."""
    inside = (image != np.array(fill)).any(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize(
    ("height", "width", "crop", "expected"),
    [
        (64, 96, "letterbox", (0, 64, 0, 96)),
        # 2 : 1 into 96 x 64 is 96 x 48, with 8 rows above.
        (100, 200, "letterbox", (8, 56, 0, 96)),
        (100, 200, "letterbox-corner", (0, 48, 0, 96)),
        # 64 / 150 of 90 is 38.4.
        (150, 90, "letterbox", (0, 64, 29, 67)),
        (150, 90, "letterbox-corner", (0, 64, 0, 38)),
        # 96 / 131 of 87 is 63.76: rounded up in the middle, down at the corner.
        (87, 131, "letterbox", (0, 64, 0, 96)),
        (87, 131, "letterbox-corner", (0, 63, 0, 96)),
        # Small pictures grow, and of an extreme one a line is left.
        (8, 8, "letterbox", (0, 64, 16, 80)),
        (1, 2000, "letterbox", (31, 32, 0, 96)),
    ],
)
def test_a_letterbox_keeps_the_aspect_ratio(height, width, crop, expected):
    image = pixels(np.full((height, width, 3), 200, np.uint8), BOXED._replace(crop=crop))
    assert image.shape == (64, 96, 3)
    assert rows_and_columns(image, (7, 8, 9)) == expected
    top, bottom, left, right = expected
    assert (image[top:bottom, left:right] == 200).all()


def test_the_fill_is_in_the_order_of_the_colors_and_gray_has_one():
    image = np.full((20, 80, 3), 200, np.uint8)
    bgr = pixels(image, BOXED._replace(color="bgr"))
    assert bgr[0, 0].tolist() == [9, 8, 7]  # RGB still: `normalize` turns it around
    gray = pixels(image, BOXED._replace(color="gray", mean=(0.0,), std=(1.0,), fill=(114,)))
    assert (gray.shape, gray[0, 0, 0], gray[32, 40, 0]) == ((64, 96, 1), 114, 200)


@pytest.mark.parametrize("height,width", [(64, 96), (200, 300), (300, 200), (127, 401), (96, 64)])
@pytest.mark.parametrize(
    ("crop", "resize_to"),
    [("none", ()), ("center", (110,)), ("center", (100, 130)), ("center-square", ()), ("letterbox", ())]
    + [("letterbox-corner", ())],
)
def test_a_point_of_the_picture_is_found_where_it_is_said_to_lie(crop, resize_to, height, width):
    """A blob in the picture, and its centre of gravity in the model's input."""
    preprocess = BOXED._replace(crop=crop, resize_to=resize_to, fill=(0, 0, 0) if "letterbox" in crop else ())
    y, x = np.mgrid[:height, :width] + 0.5
    for share_y, share_x in ((0.5, 0.5), (0.4, 0.6), (0.6, 0.45)):
        at_y, at_x = share_y * height, share_x * width
        blob = 255 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * (0.02 * height) ** 2 + 8))
        image = pixels(np.repeat(blob[:, :, None], 3, axis=2).astype(np.uint8), preprocess)[:, :, 0].astype(float)
        found_y, found_x = ((image * place).sum() / image.sum() for place in np.mgrid[:64, :96] + 0.5)
        place = placement_of(preprocess, width, height)
        assert (place.width, place.height) == (width, height)
        assert found_x == pytest.approx(at_x * place.scale_x + place.offset_x, abs=0.8)
        assert found_y == pytest.approx(at_y * place.scale_y + place.offset_y, abs=0.8)
