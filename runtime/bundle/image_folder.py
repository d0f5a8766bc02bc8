"""Which images or videos a folder holds, their labels, and what is left out."""

import os
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

import numpy as np

from ..errors import SourceError
from .labels_table import LABELS_FILE, read_labels
from .skipped import Skipped, printable, skipped_text

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif")
VIDEO_EXTENSIONS = (".mp4", ".avi", ".mkv", ".mov", ".webm")

#: What systems leave in people's folders, in lower case; so do names that begin with a dot. Nobody misses them, so they
#: are not reported. Some of the folders hold pictures: thumbnails, and what was deleted.
_LITTER = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
_LITTER |= {"thumbs.db", "ehthumbs.db", "desktop.ini"}


class Pictures(NamedTuple):
    """Files in a fixed order, one label each, or None; all of them videos or none.

    Attributes
    ----------
    paths : list of str
    labels : ndarray of int64, or None
    videos : bool
    skipped : tuple of Skipped
        Files beside them that are neither, pictures that `labels.csv` leaves out, and folders without a picture.
    """

    paths: List[str]
    labels: Optional[np.ndarray]
    videos: bool
    skipped: Tuple[Skipped, ...] = ()


def is_video(path: str) -> bool:
    """Whether a file's name is that of a video."""
    return path.lower().endswith(VIDEO_EXTENSIONS)


def find_pictures(path: str) -> Pictures:
    """Image files, or video files, and their labels.

    Parameters
    ----------
    path : str
        A folder with `labels.csv` (columns file,label), or one folder per class, or loose files; or one video. Folders
        that hold no picture are no classes; folders in folders are not looked into.

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
    found = _listed(path) if os.path.isfile(os.path.join(path, LABELS_FILE)) else _found(path)
    videos = sum(map(is_video, found.paths))
    if 0 < videos < len(found.paths):
        raise SourceError(
            f"{path} holds both images and videos",
            [f"found  {len(found.paths) - videos} images and {videos} videos"],
            "give each kind a folder of its own",
        )
    return found._replace(videos=videos > 0)


class _Content(NamedTuple):
    """What one folder holds: pictures and folders by name, in order, and files that are neither."""

    pictures: List[str]
    folders: List[str]
    others: List[Skipped]


def _content(root: str, inside: str = "") -> _Content:
    content = _Content([], [], [])
    try:
        entries = sorted(os.scandir(os.path.join(root, inside)), key=lambda entry: entry.name)
    except OSError as exc:
        raise SourceError(f"cannot look into {os.path.join(root, inside)}: {exc.strerror}") from exc
    for entry in entries:
        name = entry.name
        if name[0] == "." or name.lower() in _LITTER:
            continue
        # A link may lead in a circle, which `os.path` takes for nothing there.
        link = entry.is_symlink()
        if os.path.isdir(entry.path) if link else entry.is_dir():
            content.folders.append(name)
        elif not name.lower().endswith(EXTENSIONS + VIDEO_EXTENSIONS):
            ending = os.path.splitext(name)[1]
            content.others.append(_skipped(os.path.join(inside, name), f"no picture's ending: '{ending}'"))
        elif os.path.isfile(entry.path) if link else entry.is_file():
            content.pictures.append(entry.path)
        else:
            content.others.append(_skipped(os.path.join(inside, name), "no file, or a link to none"))
    return content


def _found(root: str) -> Pictures:
    """Pictures of the folder itself, or of its folders, each of which is a class."""
    top = _content(root)
    within: Dict[str, _Content] = {name: _content(root, name) for name in top.folders}
    classes = [name for name in top.folders if within[name].pictures]
    skipped = list(top.others)
    for name in top.folders:
        if not within[name].pictures:
            skipped.append(_skipped(name, "a folder without a picture of its own, no class"))
        skipped += within[name].others
        skipped += [_skipped(os.path.join(name, inner), "a folder in a class") for inner in within[name].folders]
    if top.pictures and classes:
        kind = "videos" if is_video(top.pictures[0]) else "images"
        raise SourceError(f"{root} holds {kind} both loose and in folders", hint="one folder per class, or no folders")
    if classes:
        paths = [path for name in classes for path in within[name].pictures]
        sizes = [len(within[name].pictures) for name in classes]
        return Pictures(paths, np.repeat(np.arange(len(classes), dtype=np.int64), sizes), False, tuple(skipped))
    if not top.pictures:
        looked_for = ["looked for  " + ", ".join(EXTENSIONS + VIDEO_EXTENSIONS)]
        raise SourceError(
            f"no image in {root}, nor a video",
            looked_for + ([f"left out    {skipped_text(skipped)}"] if skipped else []),
            "pictures lie in the folder itself, or in one folder per class",
        )
    return Pictures(top.pictures, None, False, tuple(skipped))


def _listed(root: str) -> Pictures:
    """Pictures that `labels.csv` lists; those beside them that it does not list are left out."""
    rows = read_labels(root)
    if not rows:
        raise SourceError(f"no image in {root}, nor a video", [f"{LABELS_FILE} lists none"])
    paths = [path for path, _ in rows]
    known = set(map(os.path.normpath, paths))
    folders: Set[str] = {os.path.dirname(path) for path in known} | {os.path.normpath(root)}
    beside = [path for folder in sorted(folders) for path in _content(folder).pictures]
    skipped = [
        _skipped(os.path.relpath(path, root), f"no label in {LABELS_FILE}")
        for path in beside
        if os.path.normpath(path) not in known
    ]
    return Pictures(paths, np.array([label for _, label in rows], dtype=np.int64), False, tuple(skipped))


def _skipped(path: str, reason: str) -> Skipped:
    return Skipped(printable(path), printable(reason))
