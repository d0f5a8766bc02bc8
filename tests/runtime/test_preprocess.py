import io

import numpy as np
import pytest

from runtime.bundle.manifest_types import Preprocess
from runtime.bundle.preprocess import decode_jpeg, encode_jpeg, load_image, normalize, pixels
from runtime.errors import SourceError

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
