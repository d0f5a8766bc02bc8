import csv
import struct
import sys
import zlib

import numpy as np
import pytest

from coachc.runtime.bundle.image_source import ImageSource
from coachc.runtime.bundle.manifest_types import Preprocess, TensorSpec
from coachc.runtime.bundle.source import open_source
from coachc.runtime.errors import SourceError

SPEC = TensorSpec("input", "float32", (1, 1, 2, 2))
GRAY = Preprocess((2, 2), "nearest", "gray", "nchw", 255.0, (0.0,), (1.0,))
RAW = GRAY._replace(pixel_scale=1.0)


def save(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(str(path), **arrays)
    return path


def png(path, value, size=2):
    """A gray PNG written by hand, so that folders can be tested without an image library."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)

    rows = (b"\0" + bytes([value]) * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
def test_arrays_are_read_row_by_row(tmp_path, compressed, dtype):
    x = np.random.RandomState(1).randn(5, 1, 2, 2).astype(dtype)
    source = open_source(save(tmp_path / "d.npz", compressed, input=x, labels=np.arange(5)), [SPEC], None)
    assert len(source) == 5
    assert source.labels.tolist() == [0, 1, 2, 3, 4]
    for _ in range(2):
        feeds = [feed["input"] for feed in source]
        assert {(feed.dtype.str, feed.shape) for feed in feeds} == {("<f4", (1, 1, 2, 2))}
        assert np.array_equal(np.concatenate(feeds), x.astype(np.float32))


def test_a_task_takes_as_many_rows_as_the_model_binds(tmp_path):
    inputs = [TensorSpec("a", "float32", (2, 3)), TensorSpec("b", "int64", (4,))]
    a, b = np.arange(18, dtype=np.float32).reshape(6, 3), np.arange(12)
    source = open_source(str(save(tmp_path / "d.npz", a=a, b=b)), inputs, None)
    feeds = list(source)
    assert (len(source), source.labels) == (3, None)
    assert feeds[1]["a"].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert feeds[1]["b"].tolist() == [4, 5, 6, 7]


def test_rows_can_say_which_clip_they_are_of(tmp_path):
    groups = np.array([3, 3, 0, 0, 9], np.uint8)
    path = save(tmp_path / "d.npz", input=np.zeros((5, 1, 2, 2), np.float32), groups=groups)
    source = open_source(path, [SPEC], None)
    assert (source.groups.tolist(), source.groups.dtype, source.labels) == ([3, 3, 0, 0, 9], np.int64, None)
    assert open_source(save(tmp_path / "d.npz", input=X), [SPEC], None).groups is None
    # A model whose input is called so.
    spec = TensorSpec("groups", "float32", (1, 3))
    source = open_source(save(tmp_path / "d.npz", groups=np.zeros((2, 3), np.float32)), [spec], None)
    assert (len(source), source.groups) == (2, None)


def test_a_limit_of_tasks(tmp_path):
    inputs = [TensorSpec("input", "float32", (2, 3))]
    x = np.arange(18, dtype=np.float32).reshape(6, 3)
    path = save(tmp_path / "d.npz", input=x, labels=np.arange(6), groups=np.arange(6) // 2)
    source = open_source(path, inputs, None, limit=2)
    assert (len(source), source.labels.tolist(), source.groups.tolist()) == (2, [0, 1, 2, 3], [0, 0, 1, 1])
    assert np.array_equal(np.concatenate([feed["input"] for feed in source]), x[:4])
    assert len(open_source(path, inputs, None, limit=9)) == 3
    for name in ("b/2.png", "b/1.png", "a/1.png", "a/2.png"):
        (tmp_path / "d").mkdir(exist_ok=True)
        png(tmp_path / "d" / name, 0)
    source = open_source(tmp_path / "d", [SPEC], GRAY, limit=3)
    assert ([path[-7:] for path in source.paths], source.labels.tolist()) == (
        ["a/2.png", "b/1.png", "b/2.png"],
        [0, 1, 1],
    )
    assert (len(source), source.groups, source.frames) == (3, None, None)
    first = open_source(tmp_path / "d", [SPEC], GRAY, limit=3, spread=False)
    assert [path[-7:] for path in first.paths] == ["a/1.png", "a/2.png", "b/1.png"]


def test_a_limit_draws_across_classes(tmp_path):
    for name in ["a/%02d.png" % number for number in range(30)] + ["b/0.png", "c/0.png", "c/1.png"]:
        (tmp_path / "d").mkdir(exist_ok=True)
        png(tmp_path / "d" / name, 0)
    source = open_source(tmp_path / "d", [SPEC], GRAY, limit=6)
    assert source.labels.tolist() == [0, 0, 0, 0, 1, 2]
    assert source.paths == sorted(source.paths)
    assert source.paths == open_source(tmp_path / "d", [SPEC], GRAY, limit=6).paths
    # Loose pictures may be a camera's: the first ones.
    loose = open_source(tmp_path / "d" / "a", [SPEC], GRAY, limit=3)
    assert [path[-6:] for path in loose.paths] == ["00.png", "01.png", "02.png"]
    batched = open_source(tmp_path / "d", [SPEC._replace(shape=(3, 1, 2, 2))], GRAY, limit=2)
    assert batched.labels.tolist() == [0, 0, 0, 1, 2, 2]


def test_a_limit_draws_rows_across_classes_where_that_is_asked_for(tmp_path):
    x, labels = np.arange(80, dtype=np.float32).reshape(20, 1, 2, 2), np.arange(20) // 10
    path = save(tmp_path / "d.npz", input=x, labels=labels)
    source = open_source(path, [SPEC], None, limit=4, spread=True)
    assert source.labels.tolist() == [0, 0, 1, 1]
    rows = [int(feed["input"][0, 0, 0, 0]) // 4 for feed in source]
    assert rows == sorted(set(rows)) and labels[rows].tolist() == source.labels.tolist()
    assert source.name_of(3) == f"row {rows[3]} of {path}"
    assert open_source(path, [SPEC], None, limit=4).labels.tolist() == [0, 0, 0, 0]
    # Rows of clips are a stream.
    path = save(tmp_path / "d.npz", input=x, labels=labels, groups=labels)
    assert open_source(path, [SPEC], None, limit=4, spread=True).labels.tolist() == [0, 0, 0, 0]


def test_a_frame_rate_is_for_videos(tmp_path):
    png(tmp_path / "d" / "1.png", 0)
    with pytest.raises(SourceError, match="20 frames a second can be taken of videos, and .*d holds images") as caught:
        open_source(tmp_path / "d", [SPEC], GRAY, 20)
    assert caught.value.hint == "leave the frame rate out"
    with pytest.raises(SourceError, match="and .*d.npz holds arrays"):
        open_source(save(tmp_path / "d.npz", input=X), [SPEC], None, 20)


def test_only_the_rows_asked_for_are_read(tmp_path, monkeypatch):
    rows, read = 1000, []
    path = save(tmp_path / "d.npz", input=np.zeros((rows, 1, 64, 64), np.float32))
    source = open_source(path, [TensorSpec("input", "float32", (1, 1, 64, 64))], None)
    import zipfile

    original = zipfile.ZipExtFile.read

    def counting(self, n=-1):
        data = original(self, n)
        read.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counting)
    next(iter(source))
    assert sum(read) < rows * 64 * 64 * 4 / 20


X = np.zeros((3, 1, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("arrays", "spec", "message"),
    [
        ({"x": X}, SPEC, "has no array 'input'"),
        (
            {"input": np.zeros((4, 3, 32, 32), np.float32)},
            SPEC,
            r"'input' has shape \(4,3,32,32\), the model takes \(1,1,2,2\)",
        ),
        ({"input": X[:, 0]}, SPEC, r"'input' has shape \(3,2,2\), the model takes \(1,1,2,2\)"),
        ({"input": X.astype(np.uint8)}, SPEC, "'input' has dtype uint8, the model takes float32"),
        ({"input": X}, TensorSpec("input", "float32", (2, 1, 2, 2)), "has 3 rows, which do not fill batches of 2"),
        ({"input": X[:0]}, SPEC, "has no rows"),
        (
            {"input": np.float32(1)},
            TensorSpec("input", "float32", ()),
            "'input' has no first dimension to take rows for",
        ),
        ({"input": X, "labels": np.zeros(2, int)}, SPEC, r"'labels' .* shape \(2\), expected integers of shape \(3\)"),
        ({"input": X, "labels": np.zeros(3)}, SPEC, "'labels' .* has dtype float64"),
        ({"input": X, "groups": np.zeros(2, int)}, SPEC, r"'groups' .* shape \(2\), expected integers of shape \(3\)"),
        ({"input": X, "groups": np.array(["a"] * 3)}, SPEC, "'groups' .* has dtype <U1"),
        ({"input": np.array([{}])}, SPEC, "cannot read .*: an array holds Python objects"),
        ({"input": np.asfortranarray(np.zeros((3, 1, 2, 2), np.float32))}, SPEC, "is in Fortran order"),
    ],
)
def test_unsuitable_arrays_are_refused(tmp_path, arrays, spec, message):
    with pytest.raises(SourceError, match=message):
        open_source(save(tmp_path / "d.npz", **arrays), [spec], None)


def test_missing_arrays_list_what_is_there(tmp_path):
    with pytest.raises(SourceError) as caught:
        open_source(save(tmp_path / "d.npz", b=X, a=X), [SPEC], None)
    assert caught.value.context == ("found  a, b",)


def test_arrays_with_rows_for_different_numbers_of_tasks_are_refused(tmp_path):
    inputs = [TensorSpec("a", "float32", (1, 3)), TensorSpec("b", "float32", (1, 3))]
    path = save(tmp_path / "d.npz", a=np.zeros((2, 3), np.float32), b=np.zeros((4, 3), np.float32))
    with pytest.raises(SourceError, match="rows for different numbers of tasks: 'a' 2, 'b' 4"):
        open_source(path, inputs, None)


def test_damaged_files_are_refused(tmp_path):
    path = save(tmp_path / "d.npz", input=np.random.RandomState(0).randn(300, 1, 2, 2).astype(np.float32))
    data = path.read_bytes()
    random = np.random.RandomState(5)
    outcomes = set()
    for _ in range(200):
        changed = bytearray(data)
        changed[random.randint(len(data))] ^= 1 << random.randint(8)
        path.write_bytes(bytes(changed[: random.randint(len(data))] if random.randint(2) else changed))
        try:
            outcomes.add(len(list(open_source(path, [SPEC], None))))
        except SourceError as exc:
            outcomes.add(type(exc))
    assert SourceError in outcomes


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no such source: .*nothing"):
        open_source(tmp_path / "nothing", [SPEC], None)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(SourceError, match="x.bin is neither a folder of images nor a .npz file nor a video"):
        open_source(tmp_path / "x.bin", [SPEC], None)
    (tmp_path / "x.npz").write_bytes(b"hello")
    with pytest.raises(SourceError, match="cannot read .*x.npz"):
        open_source(tmp_path / "x.npz", [SPEC], None)


def test_folders_of_images_and_their_labels(tmp_path):
    for name in ("b/2.png", "b/1.png", "a/1.JPG", "c/readme.txt", ".git/0.png"):
        (tmp_path / "classes").mkdir(exist_ok=True)
        png(tmp_path / "classes" / name, 0)
    source = open_source(tmp_path / "classes", [SPEC], GRAY)
    assert isinstance(source, ImageSource)
    assert [path[-7:] for path in source.paths] == ["a/1.JPG", "b/1.png", "b/2.png"]
    assert source.labels.tolist() == [0, 1, 1]
    png(tmp_path / "loose" / "2.png", 0)
    png(tmp_path / "loose" / "1.bmp", 0)
    source = open_source(tmp_path / "loose", [SPEC], GRAY)
    assert ([path[-5:] for path in source.paths], source.labels) == (["1.bmp", "2.png"], None)
    with open(str(tmp_path / "loose" / "labels.csv"), "w", newline="") as stream:
        csv.writer(stream).writerows([["file", "label"], ["2.png", 4], ["1.bmp", 0]])
    source = open_source(tmp_path / "loose", [SPEC], GRAY)
    assert ([path[-5:] for path in source.paths], source.labels.tolist()) == (["2.png", "1.bmp"], [4, 0])


def test_unsuitable_folders_are_refused(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(SourceError, match="no image in .*d, nor a video"):
        open_source(tmp_path / "d", [SPEC], GRAY)
    png(tmp_path / "d" / "1.png", 0)
    with pytest.raises(SourceError, match="the bundle does not say how to preprocess them"):
        open_source(tmp_path / "d", [SPEC], None)
    with pytest.raises(SourceError, match="images suit models with one input, this one has 2"):
        open_source(tmp_path / "d", [SPEC, SPEC], GRAY)
    with pytest.raises(SourceError, match=r"preprocessed to \(1,1,2,2\), the model takes \(1,3,4,4\)"):
        open_source(tmp_path / "d", [SPEC._replace(shape=(1, 3, 4, 4))], GRAY)
    with pytest.raises(SourceError, match="has 1 rows, which do not fill batches of 2"):
        open_source(tmp_path / "d", [SPEC._replace(shape=(2, 1, 2, 2))], GRAY)
    (tmp_path / "d" / "labels.csv").write_text("file,label\n")
    with pytest.raises(SourceError, match="no image in .*d, nor a video") as caught:
        open_source(tmp_path / "d", [SPEC], GRAY)
    assert caught.value.context == ("labels.csv lists none",)
    (tmp_path / "d" / "labels.csv").unlink()
    png(tmp_path / "d" / "cats" / "1.png", 0)
    with pytest.raises(SourceError, match="holds images both loose and in folders"):
        open_source(tmp_path / "d", [SPEC], GRAY)


@pytest.mark.needs("PIL")
def test_images_become_feeds(tmp_path):
    for index in range(4):
        png(tmp_path / "d" / f"{index}.png", 51 * index)
    source = open_source(tmp_path / "d", [SPEC._replace(shape=(2, 1, 2, 2))], GRAY)
    feeds = [feed["input"] for feed in source]
    assert len(source) == len(feeds) == 2
    assert [feed.shape for feed in feeds] == [(2, 1, 2, 2)] * 2
    assert np.allclose(np.concatenate(feeds)[:, 0, 0, 0], [0, 0.2, 0.4, 0.6])
    assert [image.shape for image in source.images()] == [(2, 2, 1)] * 4


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(
    ("dtype", "preprocess", "wanted"),
    [
        ("uint8", RAW, [0, 51, 102]),
        ("float16", GRAY, np.array([0, 0.2, 0.4], np.float16)),
        ("float64", GRAY, np.array([0, 0.2, 0.4], np.float32)),
        ("float32", RAW, [0, 51, 102]),
    ],
)
def test_images_for_inputs_of_other_types(tmp_path, dtype, preprocess, wanted):
    for index in range(3):
        png(tmp_path / "d" / f"{index}.png", 51 * index)
    feeds = [feed["input"] for feed in open_source(tmp_path / "d", [SPEC._replace(dtype=dtype)], preprocess)]
    assert {(feed.dtype, feed.shape) for feed in feeds} == {(np.dtype(dtype), (1, 1, 2, 2))}
    assert [feed[0, 0, 0, 0] for feed in feeds] == list(wanted)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "bool", "uint16", "bfloat16"])
def test_types_that_images_do_not_suit(tmp_path, dtype):
    png(tmp_path / "d" / "1.png", 0)
    for preprocess in (GRAY, RAW, None):
        with pytest.raises(SourceError, match=f"images do not suit input 'input': it takes {dtype}") as caught:
            open_source(tmp_path / "d", [SPEC._replace(dtype=dtype)], preprocess)
        assert caught.value.context == ("expected  uint8, float16, float32, float64",)
    with pytest.raises(
        SourceError, match=r"takes pixels as they are \(uint8\), and the bundle says to change"
    ) as caught:
        open_source(tmp_path / "d", [SPEC._replace(dtype="uint8")], GRAY)
    assert caught.value.context == ("found  pixel_scale 255, mean (0.0,), std (1.0,)",)


@pytest.mark.needs("PIL")
def test_unreadable_images_are_named_and_left_out(tmp_path):
    for label, name in enumerate(("a/0.png", "a/1.png", "b/0.png", "b/1.png", "b/2.png")):
        (tmp_path / "d").mkdir(exist_ok=True)
        png(tmp_path / "d" / name, 51 * label)
    (tmp_path / "d" / "a" / "1.png").write_bytes(b"not a picture")
    (tmp_path / "d" / "b" / "2.png").write_bytes((tmp_path / "d" / "b" / "1.png").read_bytes()[:40])
    source = open_source(tmp_path / "d", [SPEC], RAW)
    assert (len(source), source.skipped) == (5, ())
    for _ in range(2):
        assert [int(feed["input"][0, 0, 0, 0]) for feed in source] == [0, 102, 153]
        assert (len(source), source.labels.tolist()) == (3, [0, 1, 1])
    assert [one.path for one in source.skipped] == ["a/1.png", "b/2.png"]
    assert source.skipped[0].reason == "cannot be read: no image of a known kind"
    assert source.skipped[1].reason.startswith("cannot be read: ")
    strict = open_source(tmp_path / "d", [SPEC], RAW, strict=True)
    with pytest.raises(SourceError, match="cannot read .*a/1.png: no image of a known kind"):
        list(strict)


@pytest.mark.needs("PIL")
def test_images_that_then_fill_no_batch(tmp_path):
    for number in range(6):
        png(tmp_path / "d" / f"{number}.png", 10 * number)
    (tmp_path / "d" / "1.png").write_bytes(b"")
    source = open_source(tmp_path / "d", [SPEC._replace(shape=(2, 1, 2, 2))], RAW)
    for _ in range(2):
        assert [feed["input"][:, 0, 0, 0].tolist() for feed in source] == [[0, 20], [30, 40]]
    assert [tuple(one) for one in source.skipped] == [
        ("1.png", "cannot be read: no image of a known kind"),
        ("5.png", "left over, fills no batch of 2"),
    ]


@pytest.mark.needs("PIL")
def test_a_folder_without_a_readable_image(tmp_path):
    (tmp_path / "d").mkdir()
    for number in range(5):
        (tmp_path / "d" / f"{number}.png").write_bytes(b"not a picture")
    source = open_source(tmp_path / "d", [SPEC], GRAY)
    for _ in range(2):
        with pytest.raises(SourceError, match="no image of .*d can be read") as caught:
            list(source)
        assert caught.value.context == (
            "left out  5: 0.png, 1.png, 2.png and 2 more (cannot be read: no image of a known kind)",
        )


def test_without_pillow_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    png(tmp_path / "d" / "1.png", 0)
    with pytest.raises(SourceError, match="Pillow is not installed") as caught:
        list(open_source(tmp_path / "d", [SPEC], GRAY))
    assert caught.value.hint == "pip install 'coachc[images]'"


def test_an_array_shorter_than_its_header_says_is_refused(tmp_path):
    import io
    import zipfile

    stream = io.BytesIO()
    np.save(stream, X)
    with zipfile.ZipFile(str(tmp_path / "d.npz"), "w") as archive:
        archive.writestr("input.npy", stream.getvalue()[:-4])
    with pytest.raises(SourceError, match="array 'input' in .*d.npz is cut short"):
        list(open_source(tmp_path / "d.npz", [SPEC], None))
