"""Masks beside a folder of pictures: PNG files that say the class of each pixel, as displayed, so the right way up.

A folder of their own, in which each picture has a mask of its name: `street/1.jpg` has `street/1.png` there. Palette
files hold classes as indices, as VOC's do, gray ones as values, as those of Cityscapes' labelTrainIds. 255 is no class
in either: such pixels are not judged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coachc.errors import DataError
from coachc.runtime.bundle.image_file import import_pillow, picture_size
from coachc.runtime.bundle.skipped import NAMED, printable

#: No class: borders of objects in VOC, what is not evaluated in Cityscapes.
IGNORED = 255
#: Classes that a mask can tell beside `IGNORED`.
MOST_CLASSES = IGNORED
_KINDS = "palette or gray PNG, whose values are classes"
# Bits of a gray PNG file that Pillow spreads over 0 to 255, and by what.
_SPREAD = {2: 85, 4: 17}


@dataclass(frozen=True)
class MaskTruths:
    """Masks by picture; a mask is read when it is asked for.

    Attributes
    ----------
    paths : mapping of str to str
        Of the mask of each picture, by the name given to `open_masks`.
    classes : int
    """

    paths: Mapping[str, str]
    classes: int

    def of(self, name: str) -> np.ndarray:
        """The class of each pixel of one picture, or `IGNORED`.

        Returns
        -------
        ndarray of uint8, shape (height, width)

        Raises
        ------
        coachc.errors.DataError
            If the mask cannot be read, or has a value that is no class.
        """
        path = self.paths[name]
        values = _values(path)
        outside = (values >= self.classes) & (values != IGNORED)
        if outside.any():
            row, column = (int(place) for place in np.argwhere(outside)[0])
            raise DataError(
                f"{printable(path)} has the value {values[row, column]}, and the model {self.classes} classes",
                context=[
                    f"expected  0 to {self.classes - 1}, or {IGNORED} where a pixel is not judged",
                    f"found     {values[row, column]} at x {column}, y {row}, and {int(outside.sum()) - 1} more",
                ],
                hint="values are positions among the model's classes, from 0 on; of Cityscapes take labelTrainIds",
            )
        return values.astype(np.uint8)


def open_masks(
    folder: str | os.PathLike[str],
    pictures: str | os.PathLike[str],
    names: Sequence[str],
    classes: int,
    *,
    orientation: str = "exif",
) -> MaskTruths:
    """Find the mask of each picture; sizes and kinds are checked, from the files' headers.

    Parameters
    ----------
    folder : path
        Of the masks.
    pictures : path
        Of the pictures.
    names : sequence of str
        Of the pictures, relative to their folder.
    classes : int
        How many the model has.
    orientation : {"exif", "stored"}
        The way up that the model sees a picture; masks are compared to it as they are.

    Raises
    ------
    coachc.errors.DataError
        If pictures lack a mask or share one, a mask has another size or holds colours, or all hold only 0 and 255.
    """
    if classes > MOST_CLASSES:
        raise DataError(
            f"masks cannot tell {classes} classes: {IGNORED} says that a pixel is not judged",
            context=[f"at most  {MOST_CLASSES} classes"],
        )
    paths = _found(Path(folder), names)
    for name, path in paths.items():
        _check_kind(path)
        picture, mask = picture_size(os.path.join(pictures, name), orientation), picture_size(path, "stored")
        if picture != mask:
            turned = picture == mask[::-1]
            raise DataError(
                f"{printable(path)} is not of its picture's size",
                context=[
                    "expected  {} x {}, as {} is{}".format(*picture, printable(name), " upright" if turned else ""),
                    "found     {} x {}".format(*mask),
                ],
                hint="turn the mask the way up that viewers show the picture"
                if turned
                else "masks have one value for each pixel of the picture, scaled with nearest neighbours if at all",
            )
    found = MaskTruths(paths, classes)
    _refuse_black_and_white(found)
    return found


def _found(folder: Path, names: Sequence[str]) -> dict[str, str]:
    if not folder.is_dir():
        raise DataError(f"no folder of masks at {printable(str(folder))}")
    paths: dict[str, str] = {}
    owners: dict[str, str] = {}
    missing = []
    for name in names:
        stem = folder / Path(name.replace("\\", "/"))
        path = next((str(one) for one in map(stem.with_suffix, (".png", ".PNG")) if one.is_file()), None)
        if path is None:
            missing.append(name)
        elif owners.setdefault(path, name) != name:
            raise DataError(
                f"{printable(path)} is the mask of two pictures",
                context=[f"pictures  {printable(owners[path])}, {printable(name)}"],
                hint="give pictures of one name folders of their own",
            )
        else:
            paths[name] = path
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise DataError(
            f"{len(missing)} of {len(names)} pictures have no mask in {printable(str(folder))}",
            context=[f"missing  {printable(', '.join(missing[:NAMED]))}{more}"],
            hint="a mask is a PNG file of the picture's name: a.png for a.jpg; leave pictures without one out",
        )
    return paths


def _check_kind(path: str) -> None:
    with _opened(path) as opened:
        kind, mode = opened.format, opened.mode
    if kind == "PNG" and (mode in ("1", "L", "P", "I") or mode.startswith("I;16")):
        return
    hint = "save it as PNG: what JPEG keeps of a mask are other values"
    if kind == "PNG":
        hint = "turn each colour into its class's index, and save those as gray: Image.fromarray(index.astype('uint8'))"
    raise DataError(
        f"{printable(path)} is no mask of classes",
        context=[f"expected  {_KINDS}", f"found     {kind}, {mode}"],
        hint=hint,
    )


def _values(path: str) -> np.ndarray:
    """Values as they are in the file, of shape (height, width), integers."""
    with _opened(path) as opened:
        # Read before Pillow decodes: the header's bits are nowhere in what it tells.
        spread = _SPREAD.get(_bits(path), 1) if opened.mode == "L" else 1
        try:
            values = np.asarray(opened).astype(np.int64)
        except (OSError, ValueError, SyntaxError) as exc:
            raise DataError(f"cannot read {printable(path)}", context=[f"Pillow says  {printable(str(exc))}"]) from exc
    return values // spread


def _bits(path: str) -> int:
    """Bits a sample of a PNG file: byte 24, in IHDR (PNG specification, 11.2.1)."""
    with open(path, "rb") as stream:
        return stream.read(25)[24]


def _opened(path: str) -> Any:
    try:
        return import_pillow().open(path)
    except (OSError, ValueError, SyntaxError) as exc:
        raise DataError(f"cannot read {printable(path)}", context=[f"Pillow says  {printable(str(exc))}"]) from exc


def _refuse_black_and_white(masks: MaskTruths) -> None:
    """Masks of one class in white: with 255 ignored, all that is left of them is the background."""
    white = None
    # Of masks that are right the first one or two say so.
    for path in masks.paths.values():
        values = np.unique(_values(path))
        if not np.isin(values, (0, IGNORED)).all():
            return
        if white is None and IGNORED in values:
            white = path
    if white is not None:
        raise DataError(
            f"the masks hold nothing but 0 and {IGNORED}, which is no class",
            context=[f"such as   {printable(white)}", "expected  0 and 1, where there is one class and a background"],
            hint="divide them by 255",
        )
