"""Which files of a folder are pictures, of which class, and what is left out."""

import os
import sys

import pytest

from coachc.runtime.bundle.image_folder import find_pictures
from coachc.runtime.bundle.skipped import printable, skipped_json, skipped_text
from coachc.runtime.errors import SourceError


def put(root, *names):
    """Empty files: which of them are pictures is a matter of names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return str(root)


def labelled(root):
    """Label -> names of its files, relative."""
    found = find_pictures(root)
    groups = {}
    for path, label in zip(found.paths, found.labels.tolist()):
        groups.setdefault(label, []).append(os.path.relpath(path, root))
    return groups


def reasons(root):
    return {one.path: one.reason for one in find_pictures(root).skipped}


@pytest.mark.parametrize(
    "litter",
    [
        ["__MACOSX/._a", "__MACOSX/a/._p0.jpg"],
        [".ipynb_checkpoints/p0-checkpoint.jpg"],
        [".git/0.png", ".DS_Store", "Thumbs.db", "desktop.ini"],
        ["a/.DS_Store", "a/Thumbs.db", "a/._0.jpg", "b/.thumbnails/0.jpg"],
        ["@eaDir/0.jpg/SYNOFILE_THUMB_M.jpg", "a/@eaDir/0.jpg/SYNOFILE_THUMB_M.jpg"],
        ["#recycle/0.jpg", "$RECYCLE.BIN/0.jpg", "lost+found/0.png", "System Volume Information/0.jpg"],
        ["__pycache__/load.pyc"],
    ],
)
def test_litter_is_no_class_and_not_worth_a_word(tmp_path, litter):
    root = put(tmp_path, "a/0.jpg", "b/0.jpg", "b/1.jpg", *litter)
    assert labelled(root) == {0: ["a/0.jpg"], 1: ["b/0.jpg", "b/1.jpg"]}
    assert reasons(root) == {}


def test_a_folder_without_pictures_is_no_class_and_is_named(tmp_path):
    root = put(tmp_path, "a/notes/0.jpg", "b/0.jpg", "c/readme.txt", "d/0.jpg")
    (tmp_path / "0 empty").mkdir()
    assert labelled(root) == {0: ["b/0.jpg"], 1: ["d/0.jpg"]}
    none = "a folder without a picture of its own, no class"
    assert reasons(root) == {
        "0 empty": none,
        "a": none,
        "a/notes": "a folder in a class",
        "c": none,
        "c/readme.txt": "no picture's ending: '.txt'",
    }


def test_loose_pictures_beside_folders_without_any(tmp_path):
    root = put(tmp_path, "1.TIFF", "0.gif", "2.jfif", "3.Webp", "4.heic", "more/5.txt")
    found = find_pictures(root)
    assert ([os.path.basename(path) for path in found.paths], found.labels) == (
        ["0.gif", "1.TIFF", "2.jfif", "3.Webp"],
        None,
    )
    assert [one.path for one in found.skipped] == ["4.heic", "more", "more/5.txt"]


def test_without_a_picture_the_error_says_what_is_there(tmp_path):
    root = put(tmp_path, "train/cats/0.jpg", "x.heic", "y.heic")
    with pytest.raises(SourceError, match="no image in .*, nor a video") as caught:
        find_pictures(root)
    assert caught.value.context[1] == (
        "left out    4: x.heic, y.heic (no picture's ending: '.heic'); "
        "train (a folder without a picture of its own, no class); train/cats (a folder in a class)"
    )
    assert caught.value.hint == "pictures lie in the folder itself, or in one folder per class"


def test_links_that_lead_nowhere_or_in_a_circle(tmp_path):
    root = put(tmp_path, "a/0.jpg", "b/0.jpg")
    os.symlink(str(tmp_path), str(tmp_path / "a" / "up"))
    os.symlink("self.jpg", str(tmp_path / "a" / "self.jpg"))
    os.symlink("gone.png", str(tmp_path / "b" / "to.png"))
    os.symlink("loop", str(tmp_path / "loop"))
    os.symlink("../a/0.jpg", str(tmp_path / "b" / "same.jpg"))
    assert labelled(root) == {0: ["a/0.jpg"], 1: ["b/0.jpg", "b/same.jpg"]}
    assert reasons(root) == {
        "a/up": "a folder in a class",
        "a/self.jpg": "no file, or a link to none",
        "b/to.png": "no file, or a link to none",
        "loop": "no picture's ending: ''",
    }


def test_folders_deeper_than_a_path_can_name(tmp_path):
    root, name, levels = put(tmp_path, "a/0.jpg", "b/0.jpg"), "deep" * 60, 20
    here = os.getcwd()
    os.chdir(str(tmp_path / "a"))
    try:
        for _ in range(levels):
            os.mkdir(name)
            os.chdir(name)
        assert labelled(root) == {0: ["a/0.jpg"], 1: ["b/0.jpg"]}
        assert reasons(root) == {"a/" + name: "a folder in a class"}
        for _ in range(levels):
            os.chdir("..")
            os.rmdir(name)
    finally:
        os.chdir(here)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_names_that_are_no_text(tmp_path):
    root = put(tmp_path, "b/0.jpg").encode()
    os.mkdir(root + b"/a\xff")
    for name in (b"/a\xff/\xe9.jpg", b"/a\xff/\xe9.\xe9"):
        open(root + name, "wb").close()
    found = find_pictures(str(tmp_path))
    assert found.labels.tolist() == [1, 0] or found.labels.tolist() == [0, 1]
    assert {os.fsencode(path)[len(root) :] for path in found.paths} == {b"/a\xff/\xe9.jpg", b"/b/0.jpg"}
    (skipped,) = found.skipped
    assert skipped.path == "a\\xff/\\xe9.\\xe9"
    skipped.reason.encode("utf-8")
    assert printable("häß.jpg") == "häß.jpg"


def test_what_is_left_out_in_words_and_in_json(tmp_path):
    root = put(tmp_path, "a/0.jpg", *[f"a/{number}.heic" for number in range(150)])
    skipped = find_pictures(root).skipped
    assert skipped_text(skipped) == ("150: a/0.heic, a/1.heic, a/10.heic and 147 more (no picture's ending: '.heic')")
    found = skipped_json(skipped)
    assert (found["count"], len(found["files"])) == (150, 100)
    assert found["files"][0] == {"file": "a/0.heic", "reason": "no picture's ending: '.heic'"}
