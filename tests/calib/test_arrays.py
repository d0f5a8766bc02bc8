""".npz files in any order, with bounded memory, whether they are compressed or not."""

from __future__ import annotations

import errno
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from coachc.calib import arrays as module
from coachc.calib.arrays import CalibrationArrays
from coachc.errors import DataError
from coachc.runtime.bundle.manifest_types import TensorSpec
from coachc.runtime.errors import SourceError

SPECS = [TensorSpec("a", "float32", (2, 3)), TensorSpec("b", "int64", (4,))]


def written(path, compressed, rows=6, **more):
    a = np.arange(rows * 3, dtype=np.float64).reshape(rows, 3)
    b = np.arange(rows * 2)
    (np.savez_compressed if compressed else np.savez)(path, a=a, b=b, **more)
    return a.astype(np.float32), b


@pytest.mark.parametrize("compressed", [False, True])
def test_rows_in_any_order(tmp_path, compressed):
    labels, groups = np.array([5, 6, 7, 8, 9, 10]), np.array([1, 1, 2, 2, 3, 4])
    a, b = written(tmp_path / "d.npz", compressed, labels=labels, groups=groups, unused=np.zeros(3))
    source = CalibrationArrays(str(tmp_path / "d.npz"), SPECS)
    assert len(source) == 3
    source.take(np.array([2, 0]))
    assert (len(source), source.labels.tolist(), source.groups.tolist()) == (2, [9, 10, 5, 6], [3, 4, 1, 1])
    for _ in range(2):
        feeds = list(source)
        assert [feed["a"].tolist() for feed in feeds] == [a[4:6].tolist(), a[0:2].tolist()]
        assert [feed["b"].tolist() for feed in feeds] == [b[8:12].tolist(), b[0:4].tolist()]
        assert {feed["a"].dtype for feed in feeds} == {np.dtype(np.float32)}
    first, second = iter(source), iter(source)
    assert [next(first)["b"][0], next(second)["b"][0], next(first)["b"][0], next(second)["b"][0]] == [8, 8, 0, 0]


@pytest.mark.parametrize("compressed", [False, True])
def test_members_with_extra_fields_in_their_headers(tmp_path, compressed):
    """Zip64 headers, as numpy writes them for streams, and names of any length."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    name = "ä long name with an umlaut"
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    with (
        zipfile.ZipFile(tmp_path / "d.npz", "w", kind) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as stream,
    ):
        np.lib.format.write_array(stream, x)
    source = CalibrationArrays(str(tmp_path / "d.npz"), [TensorSpec(name, "float32", (1, 3))])
    source.take(np.array([3, 1]))
    assert [feed[name].tolist() for feed in source] == [x[3:].tolist(), x[1:2].tolist()]


@pytest.mark.parametrize("compressed", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path, compressed):
    rows, row_bytes = 400, 3 * 64 * 64 * 4
    x = np.random.default_rng(0).integers(0, 9, (rows, 3, 64, 64)).astype(np.float32)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "d.npz", x=x)
    del x
    tracemalloc.start()
    try:
        source = CalibrationArrays(str(tmp_path / "d.npz"), [TensorSpec("x", "float32", (1, 3, 64, 64))])
        source.take(np.random.default_rng(1).permutation(rows))
        assert sum(1 for _ in source) == rows
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A few rows and copying buffers; the file holds 400.
    assert peak < 6 * (1 << 20) + 4 * row_bytes < rows * row_bytes / 2


def test_a_file_that_changes_while_it_is_used(tmp_path):
    path = tmp_path / "d.npz"
    written(path, False, rows=6000)
    source = CalibrationArrays(str(path), SPECS)
    source.take(np.arange(3000)[::-1])
    next(iter(source))
    os.truncate(path, 100_000)
    with pytest.raises(SourceError, match=r"array 'a' in .*d\.npz is cut short"):
        list(source)
    written(path, False)
    source = CalibrationArrays(str(path), SPECS)
    data = path.read_bytes()
    path.write_bytes(b"\0" * 4 + data[4:])
    with pytest.raises(SourceError, match=r"cannot read .*d\.npz"):
        list(source)


def test_no_space_to_unpack(tmp_path, monkeypatch):
    written(tmp_path / "d.npz", True)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(DataError, match=r"d\.npz is compressed, and .* has no space for a\.npy") as caught:
        list(CalibrationArrays(str(tmp_path / "d.npz"), SPECS))
    assert caught.value.context == ("needed  272 bytes", "free    100 bytes")
    assert caught.value.hint == "set TMPDIR to a folder with more space, or write the file with numpy.savez"


def test_a_disk_that_fills_up_while_unpacking(tmp_path, monkeypatch):
    written(tmp_path / "d.npz", True)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(SourceError, match=r"cannot read .*d\.npz: .*No space left on device"):
        list(CalibrationArrays(str(tmp_path / "d.npz"), SPECS))
