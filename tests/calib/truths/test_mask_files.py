"""Masks beside pictures: what each kind of file says, and everything that does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.truths.mask_files import open_masks
from coachc.errors import DataError
from tests.helpers.pictures import png, with_orientation

pytestmark = pytest.mark.needs("PIL")

VALUES = np.uint8([[0, 1, 2], [255, 2, 0]])
PALETTE = [(9 * n % 256, 7 * n % 256, n) for n in range(256)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "a.png").write_bytes(png(np.zeros((2, 3, 3), np.uint8)))
    return tmp_path


def opened(folder, mask=None, names=("a.png",), classes=3, **options):
    if mask is not None:
        (folder / "masks" / "a.png").write_bytes(mask)
    return open_masks(folder / "masks", folder, names, classes, **options)


def refused(folder, mask, match, *context, hint="", **options):
    with pytest.raises(DataError, match=match) as caught:
        opened(folder, mask, **options).of("a.png")
    for line in context:
        assert line in caught.value.render()
    assert hint in caught.value.hint


class TestKinds:
    @pytest.mark.parametrize(
        "mask",
        [png(VALUES), png(VALUES.astype(np.uint16)), png(VALUES, palette=PALETTE), png(VALUES, PALETTE, alphas=[0, 9])],
        ids=["gray", "gray 16", "palette", "transparent"],
    )
    def test_values_are_classes(self, folder, mask):
        truth = opened(folder, mask).of("a.png")
        np.testing.assert_array_equal(truth, VALUES)
        assert truth.dtype == np.uint8

    def test_one_bit(self, folder):
        values = np.uint8([[0, 1, 1], [1, 0, 0]])
        np.testing.assert_array_equal(opened(folder, png(values, bits=1)).of("a.png"), values)

    @pytest.mark.parametrize(("bits", "row"), [(2, 0b00_01_10_00), (4, 0x01_20)])
    @pytest.mark.parametrize("palette", [None, PALETTE[:4]])
    def test_few_bits_are_not_spread(self, folder, bits, row, palette):
        """Pillow makes 0, 85, 170 of a gray 0, 1, 2."""
        rows = np.frombuffer(row.to_bytes(bits // 2, "big") * 2, np.uint8).reshape(2, -1)
        mask = bytearray(png(rows, palette=palette, bits=8))
        mask[16:26] = (3).to_bytes(4, "big") + (2).to_bytes(4, "big") + bytes([bits, 0 if palette is None else 3])
        np.testing.assert_array_equal(opened(folder, crc_of_header(mask)).of("a.png"), [[0, 1, 2]] * 2)

    @pytest.mark.parametrize(
        ("values", "mode"), [(np.zeros((2, 3, 3), np.uint8), "RGB"), (np.zeros((2, 3, 2), np.uint8), "LA")]
    )
    def test_colours_are_no_classes(self, folder, values, mode):
        expected = "expected  palette or gray PNG, whose values are classes"
        refused(
            folder, png(values), "is no mask of classes", expected, f"found     PNG, {mode}", hint="turn each colour"
        )

    def test_another_format(self, folder):
        from PIL import Image

        Image.new("L", (3, 2)).save(folder / "masks" / "a.png", "JPEG")
        refused(folder, None, "is no mask of classes", "found     JPEG, L", hint="save it as PNG")

    def test_no_picture(self, folder):
        refused(folder, b"nothing", r"cannot read .*a\.png", "Pillow says  ")
        refused(folder, png(VALUES)[:-30], r"cannot read .*a\.png", "Pillow says  ")


def crc_of_header(mask):
    import zlib

    mask[29:33] = zlib.crc32(mask[12:29]).to_bytes(4, "big")
    return bytes(mask)


class TestNames:
    def test_folders_and_endings(self, folder):
        for name, value in (("a.jpg", 1), ("sub/b.c.jpeg", 2)):
            for path, array in (
                (folder / name, np.zeros((2, 3), np.uint8)),
                ((folder / "masks" / name).with_suffix(".PNG"), np.full((2, 3), value, np.uint8)),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(array))
        masks = opened(folder, names=["a.jpg", "sub/b.c.jpeg"])
        assert [int(masks.of(name)[0, 0]) for name in masks.paths] == [1, 2]

    def test_which_are_missing(self, folder):
        refused(
            folder,
            png(VALUES),
            "5 of 6 pictures have no mask in",
            "missing  0.jpg, 1.jpg, 2.jpg and 2 more",
            names=["a.png", *(f"{number}.jpg" for number in range(5))],
            hint="a.png for a.jpg",
        )

    def test_two_pictures_of_one_mask(self, folder):
        refused(folder, png(VALUES), "is the mask of two pictures", "pictures  a.png, a.jpg", names=["a.png", "a.jpg"])

    def test_no_folder(self, tmp_path):
        with pytest.raises(DataError, match="no folder of masks at"):
            open_masks(tmp_path / "none", tmp_path, ["a.png"], 3)


class TestSizes:
    def test_another_size(self, folder):
        refused(
            folder,
            png(np.zeros((2, 4), np.uint8)),
            "is not of its picture's size",
            "expected  3 x 2, as a.png is",
            "found     4 x 2",
            hint="nearest neighbours",
        )

    def test_masks_are_upright(self, folder):
        from PIL import Image

        path = folder / "a.jpg"
        Image.new("RGB", (3, 2)).save(path)
        path.write_bytes(with_orientation(path.read_bytes(), 6))
        upright = np.uint8([[0, 1], [2, 0], [1, 1]])
        (folder / "masks" / "a.png").write_bytes(png(upright))
        np.testing.assert_array_equal(opened(folder, names=["a.jpg"]).of("a.jpg"), upright)
        refused(folder, None, "is not of its picture's size", "found     2 x 3", names=["a.jpg"], orientation="stored")
        refused(
            folder, png(VALUES), "size", "expected  2 x 3, as a.jpg is upright", names=["a.jpg"], hint="turn the mask"
        )


class TestValues:
    def test_a_value_that_is_no_class(self, folder):
        refused(
            folder,
            png(np.uint16([[0, 1, 2], [3, 300, 255]])),
            r"a\.png has the value 3, and the model 3 classes",
            "expected  0 to 2, or 255",
            "found     3 at x 0, y 1, and 1 more",
            hint="labelTrainIds",
        )

    def test_black_and_white(self, folder):
        (folder / "b.png").write_bytes(png(np.zeros((2, 3), np.uint8)))
        (folder / "masks" / "b.png").write_bytes(png(np.zeros((2, 3), np.uint8)))
        white = png(np.uint8([[0, 255, 0], [0, 0, 0]]))
        names = ["b.png", "a.png"]
        refused(
            folder, white, "hold nothing but 0 and 255", "such as ", "a.png", names=names, hint="divide them by 255"
        )
        (folder / "masks" / "b.png").write_bytes(png(np.ones((2, 3), np.uint8)))
        assert opened(folder, white, names=names).of("a.png")[0, 1] == 255
        (folder / "masks" / "b.png").write_bytes(png(np.zeros((2, 3), np.uint8)))
        assert opened(folder, names=["b.png"]).of("b.png").max() == 0

    def test_more_classes_than_a_mask_can_tell(self, folder):
        refused(folder, png(VALUES), "masks cannot tell 256 classes", "at most  255 classes", classes=256)
        assert opened(folder, classes=255).of("a.png").max() == 255
