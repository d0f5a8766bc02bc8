"""COCO annotations beside pictures: names, classes, crowds, and everything that does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coachc.calib.truths.coco import BY_ID, BY_NAME, read_coco
from coachc.errors import DataError
from tests.helpers.pictures import png

pytestmark = pytest.mark.needs("PIL")


def annotation(image=1, category=7, bbox=(1, 2, 3, 4), **more):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def content(annotations=(), **more):
    """Two pictures of 20 x 10 pixels and three categories whose ids leave gaps."""
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 20, "height": 10},
            {"id": 2, "file_name": "b.png", "width": 20, "height": 10},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 7, "name": "Traffic light"}],
        "annotations": annotations,
        **more,
    }


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "sub/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(np.zeros((10, 20), np.uint8)))
    return tmp_path


def read(folder, said, names=("a.png", "b.png"), **options):
    path = folder / "instances.json"
    path.write_text(said if isinstance(said, str) else json.dumps(said), "utf-8")
    return read_coco(path, folder, names, **options)


def refused(folder, said, match, *context, names=("a.png", "b.png"), hint="", **options):
    with pytest.raises(DataError, match=match) as caught:
        read(folder, said, names, **options)
    rendered = caught.value.render()
    assert str(folder / "instances.json") in rendered
    for line in context:
        assert line in rendered
    assert hint in caught.value.hint


class TestBoxes:
    def test_corners_classes_and_crowds_by_picture(self, folder):
        rows = [annotation(1, 7), annotation(1, 3, (0.5, 0, 19.5, 10), iscrowd=1), annotation(1, 9, (0, 0, 0, 0))]
        truths = read(folder, content(rows))
        truth = truths.of("a.png")
        assert truth.boxes.tolist() == [[1, 2, 4, 6], [0.5, 0, 20, 10], [0, 0, 0, 0]]
        assert (truth.classes.tolist(), truth.crowd.tolist()) == ([1, 0, 2], [False, True, False])
        assert [part.dtype for part in truth] == [np.float32, np.int32, bool]
        assert truths.of("b.png").boxes.shape == (0, 4)
        assert (truths.classes_by, truths.categories) == (BY_ID, {"cat": 0, "Traffic light": 1, "dog": 2})

    def test_by_name_where_the_classes_have_names(self, folder):
        names = ["background", "traffic light", "Dog"]
        truths = read(folder, content([annotation(1, 7), annotation(2, 9)]), class_names=names, classes=3)
        assert truths.of("a.png").classes.tolist() == [1]
        assert truths.of("b.png").classes.tolist() == [2]
        assert (truths.classes_by, truths.categories) == (BY_NAME, {"Traffic light": 1, "dog": 2})

    def test_a_category_that_no_picture_has_needs_no_class(self, folder):
        assert read(folder, content([annotation(1, 7)]), class_names=["traffic light"]).of("a.png").classes == [0]

    def test_further_images_are_not_looked_at(self, folder):
        said = content([annotation(2, 9, (500, 500, 9, 9))])
        assert len(read(folder, said, ["a.png"]).of("a.png").boxes) == 0

    def test_ids_written_as_floats_and_a_byte_order_mark(self, folder):
        said = "\ufeff" + json.dumps(content([annotation(1.0, 7.0)]))
        assert read(folder, said).of("a.png").classes.tolist() == [1]

    def test_boxes_may_reach_a_pixel_beyond(self, folder):
        truth = read(folder, content([annotation(bbox=(-1, -0.5, 22, 11))])).of("a.png")
        assert truth.boxes.tolist() == [[-1, -0.5, 21, 10.5]]


class TestNames:
    def test_folders_may_differ(self, folder):
        said = content([annotation(1)])
        said["images"][0]["file_name"] = "C:\\data\\val\\a.png"
        assert len(read(folder, said).of("a.png").boxes) == 1
        said["images"][0]["file_name"] = "./sub/a.png"
        assert len(read(folder, said, ["sub/a.png"]).of("sub/a.png").boxes) == 1

    def test_the_same_path_goes_before_the_same_name(self, folder):
        said = content([annotation(1), annotation(3), annotation(3)])
        said["images"].append({"id": 3, "file_name": "sub/a.png"})
        truths = read(folder, said, ["a.png", "sub/a.png"])
        assert [len(truths.of(name).boxes) for name in ("a.png", "sub/a.png")] == [1, 2]

    def test_two_images_of_one_name(self, folder):
        said = content()
        said["images"][1]["file_name"] = "a.png"
        refused(
            folder,
            said,
            "wrong file_name",
            "expected  one image for the picture a.png",
            "found     images[0] and images[1]",
            names=["a.png"],
        )

    def test_pictures_that_nobody_annotated(self, folder):
        names = [f"{number}.png" for number in range(5)]
        refused(
            folder,
            content(),
            "has no annotations of 5 of the 5 pictures",
            "missing   0.png, 1.png, 2.png and 2 more",
            "it names  a.png, ...",
            names=names,
            hint="its file_name has to be the picture's",
        )
        refused(
            folder, content(), "has no annotations of 1 of the 2 pictures", "missing   c.png", names=["a.png", "c.png"]
        )
        refused(folder, content(images=[]), "has no annotations of 2 of the 2", "it names  none at all")
        # Two pictures of one name: which of them the image is, nobody knows.
        refused(folder, content(), "of 1 of the 2 pictures", "missing   sub/a.png", names=["a.png", "sub/a.png"])


class TestClasses:
    def test_categories_that_the_model_lacks(self, folder):
        refused(
            folder,
            content([annotation(1, 7), annotation(1, 9)]),
            "has boxes of 1 categories that are no class of the model",
            "categories  dog",
            "classes     Traffic light, cat",
            class_names=["Traffic light", "cat"],
            hint="rename the categories",
        )

    def test_without_names_there_are_as_many(self, folder):
        refused(
            folder,
            content(),
            "has 3 categories, and the model 4 classes",
            "categories  cat, Traffic light, dog",
            classes=4,
            hint="give the names of the model's classes",
        )
        assert read(folder, content([annotation()]), classes=3).classes_by == BY_ID


class TestSizes:
    def test_a_scaled_picture(self, folder):
        said = content()
        said["images"][1]["width"] = 40
        refused(
            folder,
            said,
            r"wrong images\[1\].width, height",
            "expected  20 x 10, as b.png is",
            "found     40 x 10",
            hint="not scaled ones",
        )

    def test_a_picture_on_its_side(self, folder):
        said = content()
        said["images"][0].update(width=10, height=20)
        refused(folder, said, r"wrong images\[0\]", "found     10 x 20", hint="EXIF turns the picture")

    @pytest.mark.parametrize("box", [(-2, 0, 5, 5), (0, 0, 22, 5), (15, 8, 5, 4), (100, 100, 1, 1)])
    def test_a_box_outside(self, folder, box):
        said = content([annotation(), annotation(bbox=box)])
        expected = "expected  x, y, width, height within the 20 x 10 pixels of a.png"
        refused(folder, said, r"wrong annotations\[1\].bbox", expected, f"found     {[float(part) for part in box]}")


MISSING = "expected  the keys images, annotations and categories"


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("said", "match", "context"),
        [
            ('{"images": [', "is no JSON", "it says  Expecting value"),
            ("[1, 2]", "wrong the file", "found     [1, 2]"),
            ("{}", "wrong content: no 'images'", MISSING),
            ({"images": [], "annotations": []}, "wrong content: no 'categories'", "found     images, annotations"),
            (content(annotations=3), "wrong annotations", "expected  a list"),
            (content(images=[5]), r"wrong images\[0\]", "found     5"),
            (content(images=[{"id": 1}]), r"wrong images\[0\]", "expected  the key 'file_name'"),
            (content(images=[{"id": "1", "file_name": "a"}]), r"wrong images\[0\].id", "expected  a whole number"),
            (content(images=[{"id": True, "file_name": "a"}]), r"wrong images\[0\].id", "found     True"),
            (content(images=[{"id": 1, "file_name": 4}]), r"wrong images\[0\].file_name", "expected  a text"),
            (content(images=[{"id": 1, "file_name": "a"}] * 2), r"wrong images\[1\].id", "as images[0] has"),
            (
                content(categories=[{"id": 1, "name": n} for n in "ab"]),
                r"wrong categories\[1\].id",
                "which 'a' has too",
            ),
            (content([annotation(5)]), r"wrong annotations\[0\].image_id", "found     5"),
            (content([annotation(1, 4)]), r"wrong annotations\[0\].category_id", "expected  the id of a category"),
            (content([{"image_id": 1, "category_id": 7}]), r"wrong annotations\[0\]", "expected  the key 'bbox'"),
            (content([annotation(bbox=(1, 2, 3))]), r"wrong annotations\[0\].bbox", "four finite numbers"),
            (content([annotation(bbox=(1, 2, "3", 4))]), r"wrong annotations\[0\].bbox", "four finite numbers"),
            (content([annotation(bbox=(1, float("nan"), 3, 4))]), r"wrong annotations\[0\].bbox", "found     [1, nan"),
            (
                content([annotation(bbox=(1, 2, float("inf"), 4))]),
                r"wrong annotations\[0\].bbox",
                "four finite numbers",
            ),
            (
                content([annotation(bbox=(1, 2, -3, 4))]),
                r"wrong annotations\[0\].bbox",
                "width and height of at least 0",
            ),
            (content([annotation(iscrowd=2)]), r"wrong annotations\[0\].iscrowd", "expected  0 or 1"),
        ],
        ids=lambda value: value[:30] if isinstance(value, str) and not value.startswith("{") else None,
    )
    def test_what_is_wrong_is_named(self, folder, said, match, context):
        refused(folder, said, match, context)

    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match=r"cannot read .*none\.json: No such file"):
            read_coco(tmp_path / "none.json", tmp_path, [])

    def test_no_text(self, folder):
        (folder / "instances.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match="is no JSON"):
            read_coco(folder / "instances.json", folder, [])
