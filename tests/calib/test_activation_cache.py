"""Passes that are remembered: made once, only as far as asked for, and made again beyond the space there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from coachc.calib.activation_cache import Remembered

COUNT = 10


class Maker:
    """Passes of `COUNT` items of 40 bytes, and how many items were made."""

    def __init__(self):
        self.made = 0
        self.passes = 0

    def __call__(self):
        self.passes += 1
        for index in range(COUNT):
            self.made += 1
            yield {"a": np.full(8, index, np.float32), "b": np.full((1, 1), index, np.int64)}


def indices(items):
    found = []
    for item in items:
        assert list(item) == ["a", "b"]
        assert (item["a"].dtype, item["a"].shape, item["b"].dtype, item["b"].shape) == (
            np.float32,
            (8,),
            np.int64,
            (1, 1),
        )
        assert (item["a"] == item["b"][0, 0]).all()
        found.append(int(item["b"][0, 0]))
    return found


def test_made_once():
    make = Maker()
    remembered = Remembered(make)
    assert [indices(remembered) for _ in range(3)] == [list(range(COUNT))] * 3
    assert (make.made, make.passes) == (COUNT, 1)


def test_made_only_as_far_as_asked_for():
    make = Maker()
    remembered = Remembered(make)
    assert indices(itertools.islice(remembered, 3)) == [0, 1, 2]
    assert make.made == 3
    assert indices(itertools.islice(remembered, 2)) == [0, 1]
    assert make.made == 3
    assert indices(remembered) == list(range(COUNT))
    assert (make.made, make.passes) == (COUNT, 1)


def test_two_readers_at_once_see_everything():
    make = Maker()
    remembered = Remembered(make)
    one, two = iter(remembered), iter(remembered)
    seen = [], []
    for turn in (0, 1, 1, 1, 0, 0, 0, 1):
        seen[turn].extend(indices(itertools.islice((one, two)[turn], 2)))
    assert seen == (list(range(8)), list(range(8)))
    assert make.passes == 1


@pytest.mark.parametrize("fitting", [0, 1, 4, COUNT - 1])
def test_what_does_not_fit_is_made_again(monkeypatch, fitting):
    monkeypatch.setattr("coachc.calib.activation_cache.CACHE_BYTES", 40 * fitting + 39)
    make = Maker()
    remembered = Remembered(make)
    assert indices(itertools.islice(remembered, 3)) == [0, 1, 2]
    for _ in range(3):
        assert indices(remembered) == list(range(COUNT))
    assert len(remembered._kept) == fitting
    # The pass that found out goes on by itself.
    assert make.passes <= 1 + 3


def test_a_pass_without_items():
    assert [list(Remembered(lambda: iter(()))) for _ in range(2)] == [[], []]


def test_errors_pass_through_and_the_next_pass_goes_on():
    def make():
        yield {"a": np.zeros(1)}
        raise KeyError("broken")

    remembered = Remembered(make)
    with pytest.raises(KeyError, match="broken"):
        list(remembered)
