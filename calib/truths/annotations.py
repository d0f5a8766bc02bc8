"""Annotations of a folder's pictures, as a decoder's answers are compared with them: by the name of each picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from coachc.calib.truths.coco import read_coco
from coachc.calib.truths.mask_files import open_masks
from coachc.runtime.decode.decoder import Decoder


def annotations_of(
    truth: str, decoder: Decoder, folder: str, paths: Sequence[str], orientation: str
) -> Mapping[str, Any]:
    """A `BoxTruth`, or a function that reads a mask, for each picture.

    Parameters
    ----------
    truth : str
        A COCO file for boxes, a folder of masks.
    decoder : Decoder
        Its classes are told by their names, unless they are numbers.
    folder : str
    paths : sequence of str
        Of the pictures in it.
    orientation : {"exif", "stored"}
        The way up that the model sees them.

    Raises
    ------
    coachc.errors.DataError
        As `read_coco` and `open_masks`.
    """
    names = [os.path.relpath(path, folder) for path in paths]
    if decoder.kind == "boxes":
        numbered = all(name == str(place) for place, name in enumerate(decoder.classes))
        named = None if numbered else decoder.classes
        found = read_coco(
            truth, folder, names, class_names=named, classes=len(decoder.classes), orientation=orientation
        )
        return {name: found.of(name) for name in names}
    masks = open_masks(truth, folder, names, len(decoder.classes), orientation=orientation)
    return {name: partial(masks.of, name) for name in names}
