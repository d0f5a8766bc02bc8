"""Which images a folder holds, and their labels."""

import csv
import os
from typing import List, Optional, Tuple

import numpy as np

from runtime.errors import SourceError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm")
LABELS_FILE = "labels.csv"


def find_images(root: str) -> Tuple[List[str], Optional[np.ndarray]]:
    """Image files in a fixed order, and their labels.

    Parameters
    ----------
    root : str
        A folder with `labels.csv` (columns file,label), or one folder per class, or loose images.

    Returns
    -------
    (list of str, ndarray of int64 or None)
        Paths; labels, None for loose images.

    Raises
    ------
    SourceError
        If there is no image, or the layout is ambiguous or damaged.
    """
    if os.path.isfile(os.path.join(root, LABELS_FILE)):
        return _listed(root)
    loose = _images_in(root)
    names = sorted(name for name in os.listdir(root) if name[0] != ".")
    classes = [name for name in names if os.path.isdir(os.path.join(root, name))]
    found = [(path, label) for label, name in enumerate(classes) for path in _images_in(os.path.join(root, name))]
    if loose and found:
        raise SourceError(f"{root} holds images both loose and in folders", hint="one folder per class, or no folders")
    if found:
        return [path for path, _ in found], np.array([label for _, label in found], dtype=np.int64)
    if not loose:
        raise SourceError(f"no image in {root}", ["looked for  " + ", ".join(EXTENSIONS)])
    return loose, None


def _images_in(folder: str) -> List[str]:
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(EXTENSIONS) and name[0] != ".")
    return [os.path.join(folder, name) for name in names]


def _listed(root: str) -> Tuple[List[str], Optional[np.ndarray]]:
    table = os.path.join(root, LABELS_FILE)
    paths, labels = [], []
    try:
        with open(table, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames is None or not {"file", "label"} <= set(reader.fieldnames):
                raise SourceError(f"{table} needs the columns file,label")
            for row in reader:
                where = f"{table} line {reader.line_num}"
                path = os.path.join(root, row["file"] or "")
                if not os.path.isfile(path):
                    raise SourceError("{}: no such file '{}'".format(where, row["file"]))
                if not (row["label"] or "").strip().isdecimal():
                    raise SourceError("{}: label '{}' is not a class index".format(where, row["label"]))
                paths.append(path)
                labels.append(int(row["label"]))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise SourceError(f"cannot read {table}: {exc}") from exc
    if not paths:
        raise SourceError(f"no image in {root}", [f"{LABELS_FILE} lists none"])
    return paths, np.array(labels, dtype=np.int64)
