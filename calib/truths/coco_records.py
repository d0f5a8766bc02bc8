"""A COCO annotation file, read and checked as far as it can be without its pictures.

Format: https://cocodataset.org/#format-data, "Object Detection". Of an image `id` and `file_name` are needed, and
`width` and `height` used where they are there; of an annotation `image_id`, `category_id`, `bbox` and, where it is
there, `iscrowd`; of a category `id` and `name`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from coachc.errors import DataError
from coachc.runtime.bundle.skipped import printable


class CocoImage(NamedTuple):
    """One entry of `images`; `size` is (width, height), or None where the file does not say."""

    place: int
    file_name: str
    size: tuple[int, int] | None


class CocoBox(NamedTuple):
    """One entry of `annotations`; `box` is x, y, width, height, and `place` its place in the list."""

    place: int
    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    crowd: bool


class CocoRecords(NamedTuple):
    """What an annotation file says.

    Attributes
    ----------
    images : mapping of int to CocoImage
        By id.
    boxes : tuple of CocoBox
        In the file's order.
    categories : mapping of int to str
        Names by id, ascending.
    """

    images: Mapping[int, CocoImage]
    boxes: tuple[CocoBox, ...]
    categories: Mapping[int, str]


def read_records(path: str | os.PathLike[str]) -> CocoRecords:
    """Read an annotation file.

    Raises
    ------
    coachc.errors.DataError
        If it cannot be read, is no JSON, lacks a key, or has a value that none may have; names the key.
    """
    file = printable(os.fspath(path))
    try:
        with open(path, encoding="utf-8-sig") as stream:
            content = json.load(stream)
    except OSError as exc:
        raise DataError(f"cannot read {file}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:  # no UTF-8, no JSON
        raise DataError(
            f"{file} is no JSON", context=[f"it says  {exc}"], hint="is it whole, and the right file?"
        ) from exc
    if not isinstance(content, dict):
        raise wrong(file, "the file", "an object with images, annotations and categories", content)
    images: dict[int, CocoImage] = {}
    for place, entry in enumerate(_list(file, content, "images")):
        at = f"images[{place}]"
        number = _whole(file, entry, at, "id")
        name = _text(file, entry, at, "file_name")
        size = None
        if "width" in entry and "height" in entry:
            size = _whole(file, entry, at, "width"), _whole(file, entry, at, "height")
        if number in images:
            raise wrong(file, f"{at}.id", "an id of its own", f"{number}, as images[{images[number].place}] has")
        images[number] = CocoImage(place, name, size)
    categories: dict[int, str] = {}
    for place, entry in enumerate(_list(file, content, "categories")):
        at = f"categories[{place}]"
        number = _whole(file, entry, at, "id")
        if number in categories:
            raise wrong(file, f"{at}.id", "an id of its own", f"{number}, which '{categories[number]}' has too")
        categories[number] = _text(file, entry, at, "name")
    boxes = [_box(file, entry, place) for place, entry in enumerate(_list(file, content, "annotations"))]
    for one in boxes:
        if one.image_id not in images:
            raise wrong(file, f"annotations[{one.place}].image_id", "the id of one of its images", one.image_id)
        if one.category_id not in categories:
            raise wrong(file, f"annotations[{one.place}].category_id", "the id of a category", one.category_id)
    return CocoRecords(images, tuple(boxes), dict(sorted(categories.items())))


def wrong(file: str, key: str, expected: str, found: object, hint: str = "") -> DataError:
    """The error of one value of an annotation file."""
    shown = found if isinstance(found, str) else repr(found)
    shown = printable(shown if len(shown) <= 80 else shown[:77] + "...")
    return DataError(f"{file}: wrong {key}", context=[f"expected  {expected}", f"found     {shown}"], hint=hint)


def _list(file: str, content: dict[str, Any], key: str) -> list[Any]:
    if key not in content:
        raise wrong(
            file,
            f"content: no '{key}'",
            "the keys images, annotations and categories",
            ", ".join(content) or "none",
            "annotations of detection in COCO's format: instances_*.json; a file of results has no images",
        )
    if not isinstance(content[key], list):
        raise wrong(file, key, "a list", content[key])
    return content[key]


def _value(file: str, entry: Any, at: str, key: str) -> Any:
    if not isinstance(entry, dict):
        raise wrong(file, at, "an object", entry)
    if key not in entry:
        raise wrong(file, at, f"the key '{key}'", ", ".join(map(str, entry)) or "no key")
    return entry[key]


def _whole(file: str, entry: Any, at: str, key: str) -> int:
    value = _value(file, entry, at, key)
    # Some exporters write 3.0.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(file, f"{at}.{key}", "a whole number", value)
    return value


def _text(file: str, entry: Any, at: str, key: str) -> str:
    value = _value(file, entry, at, key)
    if not isinstance(value, str) or not value:
        raise wrong(file, f"{at}.{key}", "a text", value)
    return value


def _box(file: str, entry: Any, place: int) -> CocoBox:
    at = f"annotations[{place}]"
    box = _value(file, entry, at, "bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(part) for part in box):
        raise wrong(file, f"{at}.bbox", "four finite numbers: x, y, width, height", box)
    if min(box[2:]) < 0:
        raise wrong(file, f"{at}.bbox", "a width and height of at least 0", box, "COCO's boxes are x, y, width, height")
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise wrong(file, f"{at}.iscrowd", "0 or 1", crowd)
    x, y, width, height = map(float, box)
    image, category = _whole(file, entry, at, "image_id"), _whole(file, entry, at, "category_id")
    return CocoBox(place, image, category, (x, y, width, height), bool(crowd))


def _is_number(value: object) -> bool:
    # JSON has no NaN, but Python's reader and writer take it for a number.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
