"""Scenes of digits: repeatable, tight boxes, test digits apart from training digits, and the two data sets on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coachc.models import canvases, digits

pytestmark = pytest.mark.needs("sklearn")


def same(a, b):
    return all(
        np.array_equal(getattr(a, field), getattr(b, field)) for field in ("picture", "boxes", "classes", "mask")
    )


def test_a_scene_depends_on_its_seed_and_number_alone():
    assert same(canvases.scene(3, 5), list(canvases.scenes(6, 3))[5])
    assert not same(canvases.scene(3, 5), canvases.scene(4, 5))
    assert not same(canvases.scene(3, 5), canvases.scene(3, 6))
    assert not same(canvases.scene(3, 5), canvases.scene(3, 5, train=True))


def test_types_and_ranges():
    for one in canvases.scenes(40, 1):
        assert (one.picture.shape, one.picture.dtype) == ((128, 128, 3), np.uint8)
        assert (one.mask.shape, one.mask.dtype) == ((128, 128), np.uint8)
        assert (one.boxes.shape, one.boxes.dtype) == ((len(one.classes), 4), np.float32)
        assert 1 <= len(one.classes) <= canvases.MOST
        sides = one.boxes[:, 2:] - one.boxes[:, :2]
        assert sides.max(1).min() >= canvases.SMALLEST / 2
        assert sides.max() <= canvases.LARGEST


def test_boxes_are_tight_around_the_ink_of_the_mask():
    for one in canvases.scenes(40, 2):
        assert set(np.unique(one.mask)) == {0, *(one.classes + 1)}
        for box, digit in zip(one.boxes.astype(int), one.classes, strict=True):
            x1, y1, x2, y2 = box
            alone = all(
                min(x2, other[2]) <= max(x1, other[0]) or min(y2, other[3]) <= max(y1, other[1])
                for other in one.boxes
                if tuple(other) != tuple(box)
            )
            inside = one.mask[y1:y2, x1:x2] == digit + 1
            # Where nothing else reaches into the box, all four of its edges touch ink.
            assert inside.any()
            if alone:
                assert inside[0].any()
                assert inside[-1].any()
                assert inside[:, 0].any()
                assert inside[:, -1].any()


def test_digits_of_training_scenes_are_those_trained_on():
    images, labels = digits.scans()
    test = digits.held_out(labels)
    for train in (True, False):
        chosen, of = canvases._samples(train)
        assert np.array_equal(chosen, images[test != train])
        assert np.array_equal(of, labels[test != train])


def test_network_input():
    one = canvases.scene(0, 0)
    batch = canvases.as_input([one.picture, one.picture])
    assert (batch.shape, batch.dtype) == ((2, 3, 128, 128), np.float32)
    assert batch[1, 2, 5, 7] == np.float32(one.picture[5, 7, 2]) / np.float32(255)


@pytest.mark.needs("PIL")
def test_detection_set(tmp_path):
    from PIL import Image

    canvases.write_detection_set(tmp_path / "set", 5, 9)
    table = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))
    assert [one["name"] for one in table["categories"]] == list(canvases.DIGIT_NAMES)
    assert [one["id"] for one in table["categories"]] == list(range(1, 11))
    assert [one["id"] for one in table["annotations"]] == list(range(1, len(table["annotations"]) + 1))
    for entry, one in zip(table["images"], canvases.scenes(5, 9), strict=True):
        with Image.open(tmp_path / "set" / "pictures" / entry["file_name"]) as image:
            assert np.array_equal(np.asarray(image), one.picture)
            assert image.size == (entry["width"], entry["height"])
        mine = [found for found in table["annotations"] if found["image_id"] == entry["id"]]
        assert [found["category_id"] - 1 for found in mine] == one.classes.tolist()
        for found, box in zip(mine, one.boxes, strict=True):
            x, y, width, height = found["bbox"]
            assert [x, y, x + width, y + height] == box.tolist()
            assert 0 < found["area"] <= width * height
            assert found["iscrowd"] == 0


@pytest.mark.needs("PIL")
def test_segmentation_set(tmp_path):
    from PIL import Image

    canvases.write_segmentation_set(tmp_path, 3, 9)
    assert sorted(path.stem for path in (tmp_path / "masks").iterdir()) == ["000000", "000001", "000002"]
    for index, one in enumerate(canvases.scenes(3, 9)):
        with Image.open(tmp_path / "pictures" / f"{index:06d}.png") as picture:
            assert np.array_equal(np.asarray(picture), one.picture)
        with Image.open(tmp_path / "masks" / f"{index:06d}.png") as mask:
            assert mask.mode == "P"
            # The first colours of PASCAL VOC.
            assert mask.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
            assert np.array_equal(np.asarray(mask), one.mask)


@pytest.mark.needs("PIL")
def test_written_twice_the_files_are_the_same(tmp_path):
    for name in ("a", "b"):
        canvases.write_detection_set(tmp_path / name, 2, 1)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
