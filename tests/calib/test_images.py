"""Folders of pictures: their order, their labels' names, one decoding, and bounded look-ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from coachc.calib import images as module
from coachc.calib.images import CalibrationImages
from coachc.runtime.bundle.manifest_types import Preprocess, TensorSpec
from coachc.runtime.errors import SourceError

pytestmark = pytest.mark.needs("PIL")

GRAY = Preprocess((2, 3), "nearest", "gray", "nchw", 1.0, (0.0,), (1.0,))
SPEC = TensorSpec("x", "float32", (1, 1, 2, 3))


def folder(path, classes=3, each=4):
    """Picture i of class c is of the gray 40 c + i."""
    from PIL import Image

    for label in range(classes):
        (path / f"class {label}").mkdir(parents=True)
        for number in range(each):
            Image.new("L", (3, 2), label * 40 + number).save(path / f"class {label}" / f"{number}.png")
    return str(path)


def grays(source):
    return [int(feed["x"][row, 0, 0, 0]) for feed in source for row in range(len(feed["x"]))]


@pytest.fixture
def decoded(monkeypatch):
    """Paths in the order they were decoded."""
    seen, original = [], module.pixels
    lock = threading.Lock()

    def counting(path, preprocess):
        with lock:
            seen.append(path)
        return original(path, preprocess)

    monkeypatch.setattr(module, "pixels", counting)
    return seen


def test_an_order_of_the_callers(tmp_path):
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC], GRAY)
    assert grays(source) == [0, 1, 2, 3, 40, 41, 42, 43, 80, 81, 82, 83]
    source.take(np.array([11, 0, 5]))
    assert (len(source), source.labels.tolist()) == (3, [2, 0, 1])
    assert grays(source) == grays(source) == [83, 0, 41]
    assert [int(image[0, 0, 0]) for image in source.images()] == [83, 0, 41]


def test_batches_stay_together(tmp_path):
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC._replace(shape=(2, 1, 2, 3))], GRAY)
    source.take(np.array([4, 1]))
    assert (len(source), source.labels.tolist()) == (2, [2, 2, 0, 0])
    assert grays(source) == [80, 81, 2, 3]


def test_decoded_once_for_all_passes(tmp_path, decoded):
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC], GRAY)
    for _ in range(3):
        grays(source)
        list(source.images())
    assert len(decoded) == 12


def test_decoded_again_where_there_is_no_space(tmp_path, decoded, monkeypatch):
    monkeypatch.setattr("coachc.calib.activation_cache.CACHE_BYTES", 6 * 5)
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC], GRAY)
    source.take(np.arange(12)[::-1])
    wanted = [83, 82, 81, 80, 43, 42, 41, 40, 3, 2, 1, 0]
    assert [grays(source) for _ in range(3)] == [wanted] * 3
    assert len(decoded) == 36


def test_no_more_is_decoded_ahead_than_stated(tmp_path, decoded):
    source = CalibrationImages(folder(tmp_path / "d", classes=5, each=40), [SPEC], GRAY)
    iterator = iter(source)
    next(iterator)
    most = 1 + module.LOOK_AHEAD * module.DECODERS
    assert 1 <= len(decoded) <= most
    iterator.close()
    assert len(decoded) <= most


def test_names_of_classes(tmp_path):
    from PIL import Image

    source = CalibrationImages(folder(tmp_path / "d"), [SPEC], GRAY)
    assert source.class_names == ("class 0", "class 1", "class 2")
    assert source.layout == "one folder per class, 3 classes"
    (tmp_path / "d" / "labels.csv").write_text("file,label\nclass 1/0.png,7\n")
    source = CalibrationImages(str(tmp_path / "d"), [SPEC], GRAY)
    assert (source.class_names, source.layout, source.labels.tolist()) == ((), "labels from labels.csv", [7])
    (tmp_path / "loose").mkdir()
    Image.new("L", (3, 2), 5).save(tmp_path / "loose" / "a.png")
    source = CalibrationImages(str(tmp_path / "loose"), [SPEC], GRAY)
    assert (source.class_names, source.layout, source.labels) == ((), "no labels", None)


def broken(path, *names):
    for name in names:
        (path / name).write_bytes(b"no picture")


def test_unreadable_pictures_are_named_and_left_out_of_all_passes(tmp_path, decoded):
    before = set(threading.enumerate())
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC], GRAY)
    broken(tmp_path / "d" / "class 1", "2.png", "3.png")
    source.take(np.array([11, 6, 0, 7, 5]))
    heard = []
    assert source.leave_out_unreadable(lambda done, total: heard.append((done, total))).tolist() == [0, 2, 4]
    assert heard == [(1, 5), (2, 5), (3, 5)]
    for _ in range(2):
        assert grays(source) == [83, 0, 41]
        assert [int(image[0, 0, 0]) for image in source.images()] == [83, 0, 41]
    assert (len(source), source.labels.tolist(), len(decoded)) == (3, [2, 0, 1], 5)
    named = [("class 1/2.png", "cannot be read: no image of a known kind")]
    named += [("class 1/3.png", "cannot be read: no image of a known kind")]
    assert [tuple(one) for one in source.skipped] == [tuple(one) for one in source.unreadable] == named
    assert not set(threading.enumerate()) - before, "the threads that decode outlive the pass"


def test_what_then_fills_no_batch_is_left_out_too(tmp_path):
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC._replace(shape=(4, 1, 2, 3))], GRAY)
    broken(tmp_path / "d" / "class 1", "2.png")
    assert source.leave_out_unreadable().tolist() == [0, 1, 2, 3, 4, 5, 7, 8]
    assert (len(source), grays(source), source.labels.tolist()) == (
        2,
        [0, 1, 2, 3, 40, 41, 43, 80],
        [0] * 4 + [1] * 3 + [2],
    )
    assert [int(image[0, 0, 0]) for image in source.images()] == [0, 1, 2, 3, 40, 41, 43, 80]
    assert [one.path for one in source.unreadable] == ["class 1/2.png"]
    assert [tuple(one) for one in source.skipped[1:]] == [
        (f"class 2/{number}.png", "left over, fills no batch of 4") for number in (1, 2, 3)
    ]


def test_unreadable_pictures_where_there_is_no_space(tmp_path, monkeypatch):
    monkeypatch.setattr("coachc.calib.activation_cache.CACHE_BYTES", 6 * 5)
    source = CalibrationImages(folder(tmp_path / "d"), [SPEC], GRAY)
    broken(tmp_path / "d", "class 0/1.png", "class 2/3.png")
    source.leave_out_unreadable()
    assert [grays(source) for _ in range(2)] == [[0, 2, 3, 40, 41, 42, 43, 80, 81, 82]] * 2
    assert len(source.skipped) == 2


def test_a_folder_of_broken_pictures(tmp_path):
    source = CalibrationImages(folder(tmp_path / "d", each=1), [SPEC], GRAY)
    broken(tmp_path / "d", *[f"class {label}/0.png" for label in range(3)])
    with pytest.raises(SourceError, match=r"no image of .*d can be read") as caught:
        source.leave_out_unreadable()
    assert caught.value.context == (
        "left out  3: class 0/0.png, class 1/0.png, class 2/0.png (cannot be read: no image of a known kind)",
    )
