import io

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.preprocess import decode_jpeg, encode_jpeg, leaves_pixels, load_image, normalize, pixels
from coachc.runtime.errors import SourceError
from tests.helpers.pictures import with_orientation

RGB = Preprocess((3, 5), "bilinear", "rgb", "nchw", 255.0, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))


def image_bytes(array, kind="PNG", **options):
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def test_normalize_by_hand():
    image = np.zeros((3, 5, 3), np.uint8)
    image[0, 1] = (255, 51, 102)
    x = normalize(image, RGB)
    assert (x.dtype, x.shape) == (np.float32, (1, 3, 3, 5))
    assert np.allclose(x[0, :, 0, 1], [(1 - 0.5) / 0.5, (0.2 - 0.25) / 1.0, 0.4 / 2.0])
    assert np.allclose(x[0, :, 0, 0], [-1.0, -0.25, 0.0])
    bgr = normalize(image, RGB._replace(color="bgr"))
    assert np.allclose(bgr[0, :, 0, 1], [(0.4 - 0.5) / 0.5, (0.2 - 0.25) / 1.0, 1.0 / 2.0])
    nhwc = normalize(image, RGB._replace(layout="nhwc"))
    assert np.array_equal(nhwc.transpose(0, 3, 1, 2), x)
    assert nhwc.flags["C_CONTIGUOUS"]


@pytest.mark.needs("PIL")
def test_pixels_are_rgb_of_the_right_size(tmp_path):
    array = np.random.RandomState(0).randint(0, 256, (3, 5, 3)).astype(np.uint8)
    data = image_bytes(array)
    (tmp_path / "x.png").write_bytes(data)
    for source in (data, tmp_path / "x.png", str(tmp_path / "x.png")):
        assert np.array_equal(pixels(source, RGB), array)
        assert np.array_equal(load_image(source, RGB), normalize(array, RGB))
    assert np.array_equal(pixels(data, RGB._replace(color="bgr")), array)
    assert np.array_equal(pixels(array, RGB), array)
    gray = RGB._replace(color="gray", mean=(0.0,), std=(1.0,))
    assert pixels(data, gray).shape == (3, 5, 1)
    assert load_image(data, gray).shape == (1, 1, 3, 5)
    assert np.array_equal(pixels(image_bytes(array[:, :, 0]), RGB)[:, :, 2], array[:, :, 0])


@pytest.mark.needs("PIL")
@pytest.mark.parametrize("resize", ["nearest", "bilinear", "bicubic", "lanczos", "area"])
def test_every_resize_gives_height_by_width(resize):
    array = np.full((12, 7, 3), 100, np.uint8)
    assert pixels(image_bytes(array), RGB._replace(resize=resize)).tolist() == np.full((3, 5, 3), 100).tolist()


@pytest.mark.needs("PIL")
@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize(("crop", "resize_to"), [("none", ()), ("center", (8,)), ("center-square", ())])
def test_what_is_decoded_already_becomes_the_same_pixels(color, crop, resize_to):
    array = np.random.RandomState(7).randint(0, 256, (20, 31, 3)).astype(np.uint8)
    preprocess = RGB._replace(color=color, crop=crop, resize_to=resize_to)
    assert np.array_equal(pixels(array, preprocess), pixels(image_bytes(array), preprocess))


@pytest.mark.needs("PIL")
def test_jpeg_comes_back_close():
    array = np.full((3, 5, 3), 90, np.uint8)
    back = decode_jpeg(encode_jpeg(array, 95), RGB)
    assert np.abs(back.astype(int) - 90).max() <= 2
    gray = RGB._replace(color="gray", mean=(0.0,), std=(1.0,))
    assert decode_jpeg(encode_jpeg(array[:, :, :1], 95), gray).shape == (3, 5, 1)
    coarse = encode_jpeg(np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8), 10)
    fine = encode_jpeg(np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8), 95)
    assert len(coarse) < len(fine) < 2 * 64 * 64 * 3


@pytest.mark.needs("PIL")
def test_unexpected_jpegs_are_refused():
    array = np.zeros((3, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="expected a JPEG of 5 x 3 pixels, found PNG of 5 x 3"):
        decode_jpeg(image_bytes(array), RGB)
    with pytest.raises(ValueError, match="expected a JPEG of 5 x 3 pixels, found JPEG of 50 x 30"):
        decode_jpeg(encode_jpeg(np.zeros((30, 50, 3), np.uint8), 90), RGB)
    with pytest.raises(ValueError, match="not a readable JPEG"):
        decode_jpeg(b"hello", RGB)
    with pytest.raises(ValueError, match="not a readable JPEG"):
        decode_jpeg(encode_jpeg(array, 90)[:-20], RGB)
    with pytest.raises(SourceError, match="cannot read the image"):
        load_image(b"hello", RGB)


RAW = RGB._replace(pixel_scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_bytes_are_the_pixels_themselves(layout):
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image[0, 0] = (1, 2, 3)
    wanted = image if layout == "nhwc" else image.transpose(2, 0, 1)
    found = normalize(image, RAW._replace(layout=layout), "uint8")
    assert (found.dtype, found.shape) == (np.uint8, (1,) + wanted.shape)
    assert np.array_equal(found[0], wanted)
    assert normalize(image, RAW._replace(color="bgr", layout="nhwc"), "uint8")[0, 0, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_a_cast_of_what_float32_gets(dtype):
    image = np.random.RandomState(3).randint(0, 256, (9, 7, 3)).astype(np.uint8)
    found = normalize(image, RGB, dtype)
    assert found.dtype == dtype
    assert np.array_equal(found, normalize(image, RGB).astype(dtype))


@pytest.mark.parametrize(
    ("changed", "leaves"),
    [
        ({}, True),
        ({"pixel_scale": 255.0}, 0),
        ({"mean": (0.0, 0.0, 1.0)}, 0),
        ({"std": (1.0, 2.0, 1.0)}, False),
    ],
)
def test_which_preprocessing_leaves_pixels_alone(changed, leaves):
    assert leaves_pixels(RAW._replace(**changed)) == leaves


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(("orientation", "red"), [("exif", (0, 255)), ("stored", (255, 0))])
def test_pictures_are_turned_before_they_are_cropped(orientation, red):
    picture = np.zeros((64, 32, 3), np.uint8)
    picture[:32] = (255, 0, 0)
    data = with_orientation(image_bytes(picture, "JPEG", quality=95), 3)
    found = pixels(data, RGB._replace(size=(2, 1), resize="area", orientation=orientation))
    assert np.abs(found[:, 0, 0].astype(int) - red).max() <= 3


def steps(height, width):
    """A picture whose red counts columns and whose green counts rows, so that a pixel says where it comes from."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def test_normalize_equals_its_formula_bit_for_bit():
    image = np.random.RandomState(3).randint(0, 256, (9, 7, 3)).astype(np.uint8)
    for preprocess in (RGB, RGB._replace(pixel_scale=127.5, mean=(1.0, 104.0, 0.485), std=(0.229, 57.0, 1.0))):
        x = image.astype(np.float32) / np.float32(preprocess.pixel_scale)
        x = (x - np.array(preprocess.mean, dtype=np.float32)) / np.array(preprocess.std, dtype=np.float32)
        assert np.array_equal(normalize(image, preprocess)[0], x.transpose(2, 0, 1))


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(
    ("found", "resize_to", "size", "resized", "corner"),
    [
        # torchvision's Resize(256), CenterCrop(224): the longer side int(256 * 500 / 375) = 341, then (341 - 224) / 2
        # = 58.5, which rounds to the even 58.
        ((375, 500), (256,), (224, 224), (256, 341), (16, 58)),
        ((500, 375), (256,), (224, 224), (341, 256), (58, 16)),
        ((300, 300), (256,), (224, 224), (256, 256), (16, 16)),
        ((10, 20), (8,), (6, 8), (8, 16), (1, 4)),
        # (9 - 4) / 2 = 2.5 rounds to 2, (7 - 4) / 2 = 1.5 to 2.
        ((30, 40), (9, 7), (4, 4), (9, 7), (2, 2)),
        ((30, 40), (4, 4), (4, 4), (4, 4), (0, 0)),
    ],
)
def test_centre_crops_are_where_torchvision_has_them(found, resize_to, size, resized, corner):
    from PIL import Image

    array = np.random.RandomState(1).randint(0, 256, found + (3,)).astype(np.uint8)
    preprocess = RGB._replace(size=size, crop="center", resize_to=resize_to)
    whole = np.array(Image.fromarray(array).resize(resized[::-1], Image.BILINEAR))
    wanted = whole[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    assert np.array_equal(pixels(image_bytes(array), preprocess), wanted)


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(
    ("height", "width", "corner"), [(20, 31, (0, 6)), (31, 20, (6, 0)), (8, 8, (0, 0)), (9, 8, (0, 0))]
)
def test_centre_squares(height, width, corner):
    side = min(height, width)
    preprocess = RGB._replace(size=(side, side), crop="center-square")
    found = pixels(image_bytes(steps(height, width)), preprocess)
    assert found[0, 0].tolist() == [corner[1], corner[0], 0]
    assert found[-1, -1].tolist() == [corner[1] + side - 1, corner[0] + side - 1, 0]
    smaller = pixels(image_bytes(steps(height, width)), preprocess._replace(size=(4, 5)))
    assert smaller.shape == (4, 5, 3)


@pytest.mark.needs("PIL")
def test_crops_of_gray_pictures():
    gray = Preprocess((3, 3), "nearest", "gray", "nchw", 1.0, (0.0,), (1.0,), "center", (5,))
    array = np.arange(25, dtype=np.uint8).reshape(5, 5)
    assert load_image(image_bytes(array), gray)[0, 0].tolist() == [[6, 7, 8], [11, 12, 13], [16, 17, 18]]


@pytest.mark.needs("PIL")
def test_without_a_crop_the_aspect_ratio_goes():
    array = steps(6, 10)
    assert np.array_equal(pixels(image_bytes(array), RGB._replace(size=(6, 10))), array)
    narrow = pixels(image_bytes(array), RGB._replace(size=(6, 5), resize="nearest"))
    assert narrow[0, :, 0].tolist() == [1, 3, 5, 7, 9]
