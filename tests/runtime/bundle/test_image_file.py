"""What each kind of pixel becomes, against files written by hand and against OpenCV, and which way up pictures come."""

import io
import warnings

import numpy as np
import pytest

from coachc.runtime.bundle.image_file import open_image, picture_size
from coachc.runtime.errors import UnreadablePicture
from tests.helpers.pictures import png, tiff, with_orientation

pytestmark = pytest.mark.needs("PIL")

SIXTEEN = np.array([[0, 255, 256], [511, 32768, 65535]], np.uint16)
EIGHT = [[0, 0, 1], [1, 128, 255]]
#: Every pixel of its own colour, so that it says where it comes from.
PLACES = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


def gray(data, orientation="stored"):
    return np.asarray(open_image(data, "gray", orientation)).tolist()


def rgb(data, orientation="stored"):
    return np.asarray(open_image(data, "rgb", orientation))


def encoded(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        png(SIXTEEN),
        tiff(SIXTEEN),
        tiff(SIXTEEN, big=True),
        # b b b of 4 bits each: 0x00f is 15, which is 0 of 255, 0x010 is 1, ...
        tiff(SIXTEEN, bits=12, data=bytes.fromhex("00000f0100" + "01f800fff0")),
    ],
    ids=["png", "tiff", "tiff, big-endian", "tiff, 12 bits"],
)
def test_wide_gray_pixels_keep_their_upper_eight_bits(data):
    assert gray(data) == EIGHT
    assert rgb(data).tolist() == np.repeat(np.array(EIGHT)[..., np.newaxis], 3, axis=-1).tolist()


def test_the_mean_of_a_wide_picture():
    eight = np.random.RandomState(0).randint(0, 256, (48, 64)).astype(np.uint16)
    for data in (png(eight * 257), tiff(eight * 257)):
        assert np.mean(gray(data)) == eight.mean()


def test_wide_colours_keep_their_upper_eight_bits():
    wide = np.random.RandomState(1).randint(0, 65536, (5, 4, 4)).astype(np.uint16)
    assert np.array_equal(rgb(png(wide[:, :, :3])), wide[:, :, :3] >> 8)
    assert np.array_equal(rgb(png(wide)), wide[:, :, :3] >> 8)
    assert gray(png(wide[:, :, :2])) == (wide[:, :, 0] >> 8).tolist()


def test_a_negative_of_wide_pixels_is_turned_around_where_pillow_reads_it():
    data = tiff(SIXTEEN, white_is_zero=True)
    try:
        assert gray(data) == [[255 - value for value in row] for row in EIGHT]
    except UnreadablePicture as exc:  # Pillow 8.4
        assert exc.reason == "no image of a known kind"
    assert gray(tiff(SIXTEEN.astype(np.uint8), white_is_zero=True)) == (255 - SIXTEEN.astype(np.uint8)).tolist()


def test_transparency_is_left_out_and_the_colours_below_it_stay():
    array = np.random.RandomState(2).randint(0, 256, (3, 5, 4)).astype(np.uint8)
    array[0] = (10, 20, 30, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(rgb(png(array)), array[:, :, :3])
        assert gray(png(array[:, :, :2])) == array[:, :, 0].tolist()
        palette = [(1, 2, 3), (40, 50, 60), (255, 254, 253)]
        indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
        wanted = np.array(palette)[indices].tolist()
        assert rgb(png(indices, palette)).tolist() == wanted
        assert rgb(png(indices, palette, alphas=[0, 128])).tolist() == wanted


def test_pixels_of_one_bit():
    bits = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)
    assert gray(png(bits, bits=1)) == (bits * 255).tolist()


def test_inks():
    from PIL import Image

    inks = Image.new("CMYK", (2, 1), (255, 0, 102, 0))
    assert rgb(encoded(inks, "TIFF")).tolist() == [[[0, 255, 153]] * 2]
    assert np.abs(rgb(encoded(inks, "JPEG", quality=95)).astype(int) - [0, 255, 153]).max() <= 2


@pytest.mark.parametrize(
    ("kind", "options"), [("GIF", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "duration": 100})]
)
def test_the_first_of_several_pictures(kind, options):
    from PIL import Image

    first, second = (Image.new("RGB", (4, 3), color) for color in ((255, 0, 0), (0, 0, 255)))
    data = encoded(first, kind, save_all=True, append_images=[second], **options)
    assert rgb(data).tolist() == [[[255, 0, 0]] * 4] * 3


def test_pixels_without_a_known_range_are_refused_by_name(tmp_path):
    from PIL import Image

    floats = encoded(Image.fromarray(np.ones((2, 3), np.float32)), "TIFF")
    (tmp_path / "x.tif").write_bytes(floats)
    with pytest.raises(UnreadablePicture, match=r"x.tif: floating-point pixels \(mode F\), whose black and white"):
        gray(tmp_path / "x.tif")
    for data in (tiff(np.full((2, 3), 7, np.int32), signed=True), tiff(np.full((2, 3), 7, np.int16), signed=True)):
        with pytest.raises(UnreadablePicture, match=r"32-bit integer or signed pixels \(mode I\)"):
            gray(data)


@pytest.mark.parametrize("data", [b"", b"hello", png(PLACES)[:60], tiff(SIXTEEN)[:30]])
def test_what_cannot_be_read_is_named(tmp_path, data):
    (tmp_path / "broken.png").write_bytes(data)
    with pytest.raises(UnreadablePicture, match="cannot read .*broken.png: "):
        rgb(str(tmp_path / "broken.png"))


#: EXIF 2.3, 4.6.4 A: orientation -> the stored picture from the upright one.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],
}


def blocks(array):
    """As a JPEG keeps it: each pixel a block of 16 x 16."""
    return array.repeat(16, axis=0).repeat(16, axis=1)


def jpeg(array):
    from PIL import Image

    return encoded(Image.fromarray(np.ascontiguousarray(array)), "JPEG", quality=95)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_says(orientation):
    from PIL import Image, ImageOps

    stored = STORED[orientation](blocks(PLACES))
    data = with_orientation(jpeg(stored), orientation)
    assert np.abs(rgb(data, "exif").astype(int) - blocks(PLACES)).max() <= 8
    assert np.abs(rgb(data, "stored").astype(int) - stored).max() <= 8
    assert np.array_equal(rgb(data, "exif"), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_too_which_pillow_turns_by_itself(orientation, tmp_path):
    upright = PLACES[:, :, :1]
    stored = STORED[orientation](upright)
    data = tiff(stored[:, :, 0], orientation=orientation)
    (tmp_path / "x.tiff").write_bytes(data)
    for source in (data, tmp_path / "x.tiff"):
        assert gray(source, "exif") == upright[:, :, 0].tolist()
        assert gray(source, "stored") == stored[:, :, 0].tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "tiff"])
def test_the_size_of_a_picture_is_that_of_its_pixels(kind, orientation, tmp_path):
    stored = STORED[orientation](blocks(PLACES) if kind == "jpg" else PLACES[:, :, :1])
    data = (
        with_orientation(jpeg(stored), orientation) if kind == "jpg" else tiff(stored[:, :, 0], orientation=orientation)
    )
    (tmp_path / f"x.{kind}").write_bytes(data)
    for way in ("exif", "stored"):
        assert picture_size(tmp_path / f"x.{kind}", way) == rgb(data, way).shape[1::-1]


def test_what_is_no_picture_has_no_size(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(UnreadablePicture):
        picture_size(tmp_path / "x.png", "exif")


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(orientation):
    data = with_orientation(jpeg(blocks(PLACES)), orientation)
    assert np.array_equal(rgb(data, "exif"), rgb(data, "stored"))


def test_damaged_exif_leaves_a_picture_readable():
    plain = jpeg(blocks(PLACES))
    for payload in (b"Exif\0\0", b"Exif\0\0XX*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 9):
        data = plain[:2] + b"\xff\xe1" + bytes([0, len(payload) + 2]) + payload + plain[2:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.array_equal(rgb(data, "exif"), rgb(plain, "exif"))


@pytest.mark.needs("cv2")
@pytest.mark.parametrize(
    "data",
    [
        png(SIXTEEN),
        tiff(SIXTEEN),
        png(SIXTEEN[..., np.newaxis] // np.array([1, 2, 3], np.uint16)),
        png(PLACES[:, :, :1]),
        png(np.dstack([PLACES, PLACES[:, :, :1]])),
        png(PLACES[:, :, :2]),
        png(np.array([[0, 1]], np.uint8), [(1, 2, 3), (200, 100, 0)]),
        png(np.array([[0, 1]], np.uint8), [(1, 2, 3), (200, 100, 0)], alphas=[0, 128]),
        png(np.array([[0, 1, 1]], np.uint8), bits=1),
    ],
    ids=["png 16", "tiff 16", "png rgb 16", "L", "RGBA", "LA", "P", "P transparent", "1"],
)
def test_opencv_reads_the_same(data):
    import cv2

    opened = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(opened[:, :, ::-1], rgb(data))


@pytest.mark.needs("cv2")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_opencv_turns_the_same_way(orientation):
    import cv2

    data = with_orientation(jpeg(STORED[orientation](blocks(PLACES))), orientation)
    for ours, flags in (("exif", cv2.IMREAD_COLOR), ("stored", cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)):
        opened = cv2.imdecode(np.frombuffer(data, np.uint8), flags)[:, :, ::-1]
        assert opened.shape == rgb(data, ours).shape
        assert np.abs(opened.astype(int) - rgb(data, ours)).max() <= 2
