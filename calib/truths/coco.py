"""A COCO annotation file beside a folder of pictures: the boxes of each, in the model's classes.

Which image of the file a picture is, is said by its name; which class a category is, by its name where the model's
classes have names. Every picture has to be in the file: one that is not has no annotations, which is not the same as
having no objects.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coachc.calib.truths.box_truth import BoxTruth, no_boxes
from coachc.calib.truths.coco_records import CocoBox, CocoImage, CocoRecords, read_records, wrong
from coachc.errors import DataError
from coachc.runtime.bundle.image_file import picture_size
from coachc.runtime.bundle.skipped import NAMED, printable

BY_NAME, BY_ID = "category names", "ascending category ids"
#: Boxes may reach so many pixels beyond the picture: tools count pixels from 1, or round.
_BEYOND = 1.0


@dataclass(frozen=True)
class CocoTruths:
    """Boxes by picture.

    Attributes
    ----------
    boxes : mapping of str to BoxTruth
        By the picture's name, as it was given to `read_coco`.
    classes_by : str
        How categories became classes: `BY_NAME` or `BY_ID`.
    categories : mapping of str to int
        The class of each category that is used.
    """

    boxes: Mapping[str, BoxTruth]
    classes_by: str
    categories: Mapping[str, int]

    def of(self, name: str) -> BoxTruth:
        """The boxes of one picture, in its own pixels."""
        return self.boxes[name]


def read_coco(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    names: Sequence[str],
    *,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    orientation: str = "exif",
) -> CocoTruths:
    """Read the boxes of some pictures.

    Parameters
    ----------
    path : path
        The annotation file. It may hold further pictures; their boxes are not looked at.
    folder : path
    names : sequence of str
        Of the pictures, relative to the folder.
    class_names : sequence of str, optional
        The model's, in the order of its outputs. Categories are told by them, whatever their case.
    classes : int, optional
        How many the model has. Without names, categories in the order of their ids are the classes 0, 1, ..., so there
        have to be as many.
    orientation : {"exif", "stored"}
        The way up that the model sees a picture (`manifest_types.Preprocess`); annotations are taken to be made so.

    Raises
    ------
    coachc.errors.DataError
        If the file is damaged, does not hold all of the pictures or not by one name each, has other sizes of them,
        boxes outside of them, or categories that are none of the model's classes.
    """
    file = printable(os.fspath(path))
    records = read_records(path)
    ids = _ids_of(file, records.images, names)
    of_image: dict[int, list[CocoBox]] = {number: [] for number in ids.values()}
    for box in records.boxes:
        if box.image_id in of_image:
            of_image[box.image_id].append(box)
    used = {box.category_id for boxes in of_image.values() for box in boxes}
    if class_names is None:
        index = _classes_by_id(file, records, classes)
    else:
        index = _classes_by_name(file, records, used, class_names)
    truths = {}
    for name, number in ids.items():
        size = picture_size(os.path.join(folder, name), orientation)
        _check_size(file, records.images[number], name, size)
        truths[name] = _truth(file, of_image[number], index, name, size)
    by = BY_ID if class_names is None else BY_NAME
    return CocoTruths(truths, by, {records.categories[number]: index[number] for number in sorted(used)})


def _ids_of(file: str, images: Mapping[int, CocoImage], names: Sequence[str]) -> dict[str, int]:
    """The image of each picture: of the same path, or, where folders differ, of the same file name."""
    by_path, by_base = _gathered(images, _plain), _gathered(images, _base)
    bases = Counter(map(_base, names))
    found: dict[str, int] = {}
    missing = []
    for name in names:
        fitting = by_path.get(_plain(name)) or (by_base.get(_base(name), []) if bases[_base(name)] == 1 else [])
        if len(fitting) > 1:
            first, second = (images[number].place for number in fitting[:2])
            raise wrong(file, "file_name", f"one image for the picture {name}", f"images[{first}] and images[{second}]")
        if fitting:
            found[name] = fitting[0]
        else:
            missing.append(name)
    if missing:
        some = next(iter(images.values())).file_name if images else "none at all"
        raise DataError(
            f"{file} has no annotations of {len(missing)} of the {len(names)} pictures",
            context=[f"missing   {_first(missing)}", f"it names  {printable(some)}, ..."],
            hint="its file_name has to be the picture's; move pictures that nobody annotated to another folder",
        )
    return found


def _gathered(images: Mapping[int, CocoImage], key: Callable[[str], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, image in images.items():
        found.setdefault(key(image.file_name), []).append(number)
    return found


def _plain(name: str) -> str:
    return os.path.normpath(name.replace("\\", "/"))


def _base(name: str) -> str:
    return os.path.basename(_plain(name))


def _classes_by_name(file: str, records: CocoRecords, used: set[int], class_names: Sequence[str]) -> dict[int, int]:
    places: dict[str, int] = {}
    for place, name in enumerate(class_names):
        places.setdefault(_folded(name), place)
    names = {number: records.categories[number] for number in sorted(used)}
    unknown = [name for name in names.values() if _folded(name) not in places]
    if unknown:
        raise DataError(
            f"{file} has boxes of {len(unknown)} categories that are no class of the model",
            context=[f"categories  {_first(unknown)}", f"classes     {_first(list(class_names))}"],
            hint="rename the categories as the model's classes, or leave their annotations out",
        )
    return {number: places[_folded(name)] for number, name in names.items()}


def _classes_by_id(file: str, records: CocoRecords, classes: int | None) -> dict[int, int]:
    if classes is not None and len(records.categories) != classes:
        raise DataError(
            f"{file} has {len(records.categories)} categories, and the model {classes} classes",
            context=[f"categories  {_first(list(records.categories.values()))}"],
            hint="give the names of the model's classes, by which categories are told then",
        )
    return {number: place for place, number in enumerate(records.categories)}


def _folded(name: str) -> str:
    return name.strip().casefold()


def _check_size(file: str, image: CocoImage, name: str, size: tuple[int, int]) -> None:
    if image.size is None or image.size == size:
        return
    hint = "boxes are in pixels of the picture: give the pictures that were annotated, not scaled ones"
    if image.size == size[::-1]:
        hint = "EXIF turns the picture: annotate it the way up that the model sees it"
    said, is_now = ("{} x {}".format(*one) for one in (image.size, size))
    raise wrong(file, f"images[{image.place}].width, height", f"{is_now}, as {name} is", said, hint)


def _truth(file: str, boxes: list[CocoBox], index: dict[int, int], name: str, size: tuple[int, int]) -> BoxTruth:
    if not boxes:
        return no_boxes()
    corners = np.array([one.box for one in boxes], np.float64)
    corners[:, 2:] += corners[:, :2]
    outside = (corners < -_BEYOND).any(axis=1) | (corners[:, 2:] > np.array(size) + _BEYOND).any(axis=1)
    if outside.any():
        one = boxes[int(outside.argmax())]
        expected = "x, y, width, height within the {1} x {2} pixels of {0}".format(name, *size)
        raise wrong(file, f"annotations[{one.place}].bbox", expected, list(one.box), "are they in pixels, from 0 on?")
    labels = np.array([index[one.category_id] for one in boxes], np.int32)
    return BoxTruth(corners.astype(np.float32), labels, np.array([one.crowd for one in boxes], bool))


def _first(names: Sequence[str]) -> str:
    """A few of many names."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return printable(", ".join(names[:NAMED])) + more
