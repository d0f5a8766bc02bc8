"""Which images or videos a folder holds, and their labels."""

import csv
import os
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import SourceError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm")
VIDEO_EXTENSIONS = (".mp4", ".avi", ".mkv", ".mov", ".webm")
LABELS_FILE = "labels.csv"


class Pictures(NamedTuple):
    """Files in a fixed order, one label each, or None; all of them videos or none."""

    paths: List[str]
    labels: Optional[np.ndarray]
    videos: bool


def is_video(path: str) -> bool:
    """Whether a file's name is that of a video."""
    return path.lower().endswith(VIDEO_EXTENSIONS)


def find_pictures(path: str) -> Pictures:
    """Image files, or video files, and their labels.

    Parameters
    ----------
    path : str
        A folder with `labels.csv` (columns file,label), or one folder per class, or loose files; or one video.

    Returns
    -------
    Pictures
        Labels are int64, None for loose files.

    Raises
    ------
    SourceError
        If there is no file, or the layout is ambiguous or damaged.
    """
    if not os.path.isdir(path):
        return Pictures([path], None, is_video(path))
    paths, labels = _listed(path) if os.path.isfile(os.path.join(path, LABELS_FILE)) else _found(path)
    videos = sum(map(is_video, paths))
    if 0 < videos < len(paths):
        raise SourceError(
            f"{path} holds both images and videos",
            [f"found  {len(paths) - videos} images and {videos} videos"],
            "give each kind a folder of its own",
        )
    return Pictures(paths, labels, videos > 0)


def _found(root: str) -> Tuple[List[str], Optional[np.ndarray]]:
    loose = _pictures_in(root)
    names = sorted(name for name in os.listdir(root) if name[0] != ".")
    classes = [name for name in names if os.path.isdir(os.path.join(root, name))]
    found = [(path, label) for label, name in enumerate(classes) for path in _pictures_in(os.path.join(root, name))]
    if loose and found:
        kind = "videos" if is_video(loose[0]) else "images"
        raise SourceError(f"{root} holds {kind} both loose and in folders", hint="one folder per class, or no folders")
    if found:
        return [path for path, _ in found], np.array([label for _, label in found], dtype=np.int64)
    if not loose:
        raise SourceError(
            f"no image in {root}, nor a video", ["looked for  " + ", ".join(EXTENSIONS + VIDEO_EXTENSIONS)]
        )
    return loose, None


def _pictures_in(folder: str) -> List[str]:
    known = EXTENSIONS + VIDEO_EXTENSIONS
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(known) and name[0] != ".")
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
                    raise SourceError(
                        "{}: no such file '{}'".format(where, row["file"]),
                        hint=f"paths are relative to the folder of {LABELS_FILE}",
                    )
                if not (row["label"] or "").strip().isdecimal():
                    raise SourceError("{}: label '{}' is not a class index".format(where, row["label"]))
                paths.append(path)
                labels.append(int(row["label"]))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise SourceError(f"cannot read {table}: {exc}") from exc
    if not paths:
        raise SourceError(f"no image in {root}, nor a video", [f"{LABELS_FILE} lists none"])
    return paths, np.array(labels, dtype=np.int64)
