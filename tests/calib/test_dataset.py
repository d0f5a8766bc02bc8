"""Samples from files, and noise: how many, in which order, with which labels."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.calib.dataset import RANDOM, RANDOM_SAMPLES, open_dataset
from coachc.core.graph import Value
from coachc.errors import DataError
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.errors import SourceError

INPUT = Value("input", "float32", (1, 2, 3))


def archive(folder, rows=10, labels=True, name="input", row=(2, 3), dtype=np.float32):
    path = folder / "samples.npz"
    arrays = {name: np.arange(rows * np.prod(row), dtype=dtype).reshape(rows, *row)}
    if labels:
        arrays["labels"] = np.arange(rows) % 7
    np.savez(path, **arrays)
    return str(path), arrays


def rows_of(feeds):
    """Rows of `archive` that feeds were taken from."""
    return [round(float(feed["input"][row, 0, 0]) / 6) for feed in feeds for row in range(len(feed["input"]))]


def test_labelled_samples(tmp_path):
    path, arrays = archive(tmp_path)
    data = open_dataset(path, [INPUT], None, max_samples=100)
    assert (data.kind, data.samples) == ("labels", 10)
    first, second = list(data), list(data)
    order = rows_of(first)
    assert sorted(order) == list(range(10))
    assert data.labels.tolist() == arrays["labels"][order].tolist()
    for row, feed, again in zip(order, first, second, strict=True):
        assert list(feed) == ["input"]
        assert feed["input"].shape == (1, 2, 3)
        assert np.array_equal(feed["input"][0], arrays["input"][row])
        assert np.array_equal(again["input"], feed["input"])


def test_samples_come_in_another_order_than_sorted_by_class(tmp_path):
    np.savez(tmp_path / "sorted.npz", input=np.zeros((90, 2, 3), np.float32), labels=np.arange(90) // 10)
    mixed = [
        open_dataset(str(tmp_path / "sorted.npz"), [INPUT], None, max_samples=30, seed=s).labels for s in (0, 0, 1)
    ]
    assert len(set(mixed[0].tolist())) >= 7
    assert np.array_equal(mixed[0], mixed[1])
    assert not np.array_equal(mixed[0], mixed[2])


@pytest.mark.needs("PIL")
def test_images_come_shuffled_with_their_labels(tmp_path):
    from PIL import Image

    for label in range(6):
        (tmp_path / f"class{label}").mkdir()
        for number in range(4):
            Image.new("L", (3, 2), label * 40).save(tmp_path / f"class{label}" / f"{number}.png")
    preprocess = Preprocess((2, 3), "nearest", "gray", "nchw", 1.0, (0.0,), (1.0,))
    data = open_dataset(str(tmp_path), [Value("input", "float32", (1, 1, 2, 3))], preprocess, max_samples=12)
    assert [float(feed["input"][0, 0, 0, 0]) for feed in data] == [40.0 * label for label in data.labels]
    assert len(set(data.labels.tolist())) >= 4


def test_a_pass_that_is_broken_off_loses_nothing(tmp_path):
    path, _ = archive(tmp_path)
    data = open_dataset(path, [INPUT], None, max_samples=100)
    next(iter(data))
    assert len(list(data)) == 10
    assert len(list(data)) == 10


def test_samples_in_the_order_of_the_source(tmp_path):
    path = tmp_path / "samples.npz"
    x = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    np.savez(path, input=x, labels=np.arange(10) % 7, groups=np.arange(10) // 4)
    data = open_dataset(str(path), [INPUT], None, max_samples=9, ordered=True)
    assert (data.samples, data.kind) == (9, "labels")
    assert rows_of(data) == rows_of(data) == list(range(9))
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert (data.groups.tolist(), data.positions) == ([0, 0, 0, 0, 1, 1, 1, 1, 2], None)
    batched = open_dataset(str(path), [Value("input", "float32", (2, 2, 3))], None, max_samples=3, ordered=True)
    assert rows_of(batched) == list(range(6))
    assert batched.groups.tolist() == [0, 0, 0, 0, 1, 1]


def test_shuffled_samples_keep_their_groups(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, input=np.arange(60, dtype=np.float32).reshape(10, 2, 3), groups=np.arange(10) // 4)
    data = open_dataset(str(path), [INPUT], None, max_samples=6)
    rows = rows_of(data)
    assert rows != sorted(rows)
    assert data.groups.tolist() == [row // 4 for row in rows]
    assert data.positions.tolist() == rows
    batched = open_dataset(str(path), [Value("input", "float32", (2, 2, 3))], None, max_samples=3)
    assert batched.positions.tolist() == rows_of(batched)
    assert open_dataset(archive(tmp_path)[0], [INPUT], None, max_samples=6).groups is None
    assert open_dataset(RANDOM, [INPUT], None, max_samples=6).groups is None


@pytest.mark.parametrize(("source", "held"), [("random", "noise"), ("data.py:load", "samples of its own")])
def test_a_frame_rate_of_what_has_none(source, held):
    with pytest.raises(SourceError, match=f"20 frames a second can be taken of videos, and {source} holds {held}"):
        open_dataset(source, [INPUT], None, max_samples=6, frames_per_second=20)


def test_whoever_watches_hears_of_every_sample(tmp_path):
    path, _ = archive(tmp_path)
    data = open_dataset(path, [INPUT], None, max_samples=100)
    heard = []
    data.watch = lambda index, feed: heard.append((index, rows_of([feed])[0]))
    rows = rows_of(data)
    assert heard == list(enumerate(rows))


@pytest.mark.parametrize("wanted", [[0, 3, 9], [9], [0], range(10), []], ids=str)
def test_a_part_is_some_samples_with_their_places(tmp_path, wanted):
    data = open_dataset(archive(tmp_path)[0], [INPUT], None, max_samples=100)
    rows, read = rows_of(data), []
    data.watch = lambda index, feed: read.append(index)
    chosen = np.isin(np.arange(10), list(wanted))
    for _ in range(2):
        part = list(data.part(chosen))
        assert [place for place, _ in part] == list(wanted)
        assert rows_of([feed for _, feed in part]) == [rows[place] for place in wanted]
    assert read == 2 * list(range(max(wanted, default=-1) + 1)), "samples after the last one wanted are read"


def test_functions_keep_their_order(tmp_path):
    (tmp_path / "data.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    for row in range(10):\n"
        "        yield np.full((1, 2, 3), row, np.float32), row % 7\n"
    )
    data = open_dataset(f"{tmp_path}/data.py:load", [INPUT], None, max_samples=8)
    assert (data.kind, data.samples, data.labels.tolist()) == ("labels", 8, [0, 1, 2, 3, 4, 5, 6, 0])
    assert [int(feed["input"][0, 0, 0]) for feed in data] == list(range(8))


def test_more_samples_than_wanted(tmp_path):
    path, arrays = archive(tmp_path)
    data = open_dataset(path, [INPUT], None, max_samples=4)
    assert data.samples == len(data.labels) == len(list(data)) == len(list(data)) == 4
    assert data.labels.tolist() == arrays["labels"][rows_of(data)].tolist()


def test_a_batch_takes_rows_and_their_labels(tmp_path):
    path, arrays = archive(tmp_path)
    batched = Value("input", "float32", (2, 2, 3))
    data = open_dataset(path, [batched], None, max_samples=100)
    assert data.samples == 5
    rows = rows_of(data)
    assert sorted(rows) == list(range(10))
    assert all(rows[i + 1] == rows[i] + 1 for i in range(0, 10, 2))
    assert data.labels.tolist() == arrays["labels"][rows].tolist()
    fewer = open_dataset(path, [batched], None, max_samples=3)
    assert fewer.labels.tolist() == arrays["labels"][rows_of(fewer)].tolist()
    assert len(fewer.labels) == 6


def test_unlabelled_samples(tmp_path):
    data = open_dataset(archive(tmp_path, labels=False)[0], [INPUT], None, max_samples=100)
    assert (data.kind, data.labels) == ("unlabelled", None)


def test_noise_is_seeded_and_of_the_inputs_types():
    inputs = [INPUT, Value("half", "float16", (1, 4)), Value("index", "int64", (1, 5))]
    first, again, other = (open_dataset(RANDOM, inputs, None, max_samples=100, seed=seed) for seed in (1, 1, 2))
    assert open_dataset(RANDOM, inputs, None, max_samples=3).samples == 3
    assert (first.kind, first.samples, first.labels, len(list(first))) == (
        "random",
        RANDOM_SAMPLES,
        None,
        RANDOM_SAMPLES,
    )
    for mine, same, different in zip(first, again, other, strict=True):
        assert {name: (array.dtype.name, array.shape) for name, array in mine.items()} == {
            value.name: (value.dtype, value.shape) for value in inputs
        }
        assert all(np.array_equal(mine[name], same[name]) for name in mine)
        assert not np.array_equal(mine["input"], different["input"])
        assert not mine["index"].any()
    values = np.concatenate([feed["input"].ravel() for feed in first])
    assert abs(values.mean()) < 0.5
    assert 0.7 < values.std() < 1.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "picture"}, "has no array 'input'"),
        ({"row": (3, 2)}, r"has shape \(10,3,2\), the model takes \(1,2,3\)"),
        ({"rows": 0}, "has no rows"),
        ({"dtype": np.int64}, "has dtype int64, the model takes float32"),
    ],
    ids=["name", "shape", "empty", "dtype"],
)
def test_samples_that_do_not_suit(tmp_path, options, message):
    with pytest.raises(SourceError, match=message):
        open_dataset(archive(tmp_path, labels=False, **options)[0], [INPUT], None, max_samples=5)


def test_inputs_of_a_type_that_numpy_has_not(tmp_path):
    for source in ("random", archive(tmp_path)[0], str(tmp_path)):
        with pytest.raises(DataError, match="input 'input' takes bfloat16, which no sample can be given as") as caught:
            open_dataset(source, [Value("input", "bfloat16", (1, 2, 3))], None, max_samples=1)
        assert caught.value.hint == "export the model with an input of float32 or float16"


def test_nothing_there(tmp_path):
    with pytest.raises(SourceError, match="no such source"):
        open_dataset(str(tmp_path / "absent.npz"), [INPUT], None, max_samples=5)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(SourceError, match=r"a\.txt is neither a folder of images nor a \.npz file"):
        open_dataset(str(tmp_path / "a.txt"), [INPUT], None, max_samples=5)
