"""How a bundle takes its place: an old one is there until the new one is, whatever happens in between."""

import os

import pytest

from coachc.runtime.bundle.destination import place_bundle
from coachc.runtime.errors import BundleError


def folder(path, text):
    path.mkdir()
    (path / "manifest.json").write_text(text)
    return path


def said_by(path):
    return (path / "manifest.json").read_text()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_the_old_one_comes_back(error, tmp_path, monkeypatch):
    new, old = folder(tmp_path / "new", "new"), folder(tmp_path / "x.coach", "old")
    rename, calls = os.rename, []

    def fails_at_the_second(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails_at_the_second)
    with pytest.raises(type(error)):
        place_bundle(str(new), str(old), force=True)
    assert said_by(old) == "old"
    assert sorted(os.listdir(str(tmp_path))) == ["new", "x.coach"]


def test_force_replaces(tmp_path):
    new, old = folder(tmp_path / "new", "new"), folder(tmp_path / "x.coach", "old")
    place_bundle(str(new), str(old), force=True)
    assert said_by(old) == "new"
    assert os.listdir(str(tmp_path)) == ["x.coach"]


def test_without_force_what_is_there_stays(tmp_path):
    new, old = folder(tmp_path / "new", "new"), folder(tmp_path / "x.coach", "old")
    with pytest.raises(BundleError, match="x.coach exists already"):
        place_bundle(str(new), str(old), force=False)
    with pytest.raises(BundleError, match="x.coach was written by another program in the meantime") as caught:
        place_bundle(str(new), str(old), force=False, keep=True)
    assert (said_by(old), said_by(tmp_path / "x-2.coach")) == ("old", "new")
    assert caught.value.context == ("kept      {}, the bundle that was made here".format(tmp_path / "x-2.coach"),)


def test_a_file_in_the_way_stays_too(tmp_path):
    new = folder(tmp_path / "new", "new")
    (tmp_path / "x.coach").write_text("a file")
    with pytest.raises(BundleError, match="exists already"):
        place_bundle(str(new), str(tmp_path / "x.coach"), force=False)
    assert (tmp_path / "x.coach").read_text() == "a file"
