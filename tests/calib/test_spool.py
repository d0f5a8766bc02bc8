"""Arrays on disk: they come back as they were, in any order, and a full disk is no surprise."""

from __future__ import annotations

import errno
import gc
import os
import tempfile

import numpy as np
import pytest

from coachc.calib import spool as module
from coachc.calib.spool import Spool
from coachc.errors import DataError

ARRAYS = [
    (np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)),
    (np.zeros((0, 3), np.float16), np.array([True, False])),
    (np.arange(24, dtype=np.float64).reshape(2, 3, 4).transpose(2, 0, 1),),
    (np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)), np.array([], np.int32)),
]


def same(found, wanted):
    return len(found) == len(wanted) and all(
        (a.dtype, a.shape) == (b.dtype, b.shape) and np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)
    )


def test_arrays_come_back_in_any_order():
    spool = Spool()
    assert [spool.append(arrays) for arrays in ARRAYS] == [True] * 4
    assert len(spool) == 4
    for index in (2, 0, 3, 1, 1):
        assert same(spool[index], ARRAYS[index])
    spool.append(ARRAYS[0])
    assert same(spool[4], ARRAYS[0])
    with pytest.raises(IndexError):
        spool[5]


def test_what_comes_back_can_be_changed():
    spool = Spool()
    spool.append(ARRAYS[0])
    spool[0][0][:] = 99
    assert same(spool[0], ARRAYS[0])


def test_a_limit_keeps_what_fits():
    spool = Spool(limit_bytes=100)
    block = (np.zeros(10, np.float32),)
    assert [spool.append(block) for _ in range(4)] == [True, True, False, False]
    assert len(spool) == 2
    assert spool.append((np.ones(5, np.float32),))
    assert spool[2][0].tolist() == [1] * 5


def test_half_of_the_free_space_is_left(monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    spool = Spool(limit_bytes=1 << 30)
    assert [spool.append((np.zeros(10, np.float32),)) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("limit_bytes", [None, 1 << 20])
def test_a_full_disk(monkeypatch, limit_bytes):
    spool = Spool(limit_bytes)
    spool.append(ARRAYS[0])

    class Full:
        def __init__(self, file):
            self._file = file

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    spool._file = Full(spool._file)
    if limit_bytes is None:
        with pytest.raises(DataError, match=r"cannot keep 34 bytes in .*: No space left on device") as caught:
            spool.append(ARRAYS[1])
        assert caught.value.hint == "set TMPDIR to a folder with more space, or lower --samples"
    else:
        assert not spool.append(ARRAYS[1])
    assert len(spool) == 1
    assert same(spool[0], ARRAYS[0])


def test_no_folder_for_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert not Spool(limit_bytes=100).append(ARRAYS[0])
    with pytest.raises(DataError, match=r"cannot keep 32 bytes in .*absent: No such file or directory"):
        Spool().append(ARRAYS[0])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc to count open files")
def test_the_file_goes_with_the_object(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool()
    spool.append(ARRAYS[0])
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert os.listdir(tmp_path) == []
    del spool
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
