"""Which of many samples stand for all."""

import numpy as np
import pytest

from coachc.runtime.bundle.spread import spread_over_classes


def counts(labels, count, seed=0):
    drawn = spread_over_classes(labels, count, seed)
    assert drawn.dtype == np.int64
    assert len(set(drawn.tolist())) == len(drawn) == min(count, len(labels))
    assert drawn.tolist() == sorted(drawn.tolist())
    return np.bincount(labels[drawn], minlength=labels.max() + 1).tolist()


def test_equal_classes_have_equal_parts():
    labels = np.arange(30) // 10
    assert counts(labels, 9) == [3, 3, 3]
    assert sorted(counts(labels, 7)) == [2, 2, 3]
    assert counts(labels, 99) == [10, 10, 10]


@pytest.mark.parametrize(("count", "wanted"), [(3, [1, 1, 1]), (10, [8, 1, 1]), (100, [90, 9, 1]), (200, [180, 18, 2])])
def test_unequal_classes_have_their_shares_but_one_at_least(count, wanted):
    assert counts(np.repeat([0, 1, 2], [900, 90, 10]), count) == wanted


def test_fewer_samples_than_classes_are_of_as_many_classes():
    assert max(counts(np.arange(1000) // 2, 300)) == 1


def test_the_seed_says_which():
    labels = np.random.RandomState(1).randint(0, 10, 500)
    first = spread_over_classes(labels, 50).tolist()
    assert spread_over_classes(labels, 50).tolist() == first
    assert set(first) < set(spread_over_classes(labels, 80).tolist())
    assert spread_over_classes(labels, 50, 1).tolist() != first
    # The same on every machine and under every NumPy: a legacy generator.
    assert spread_over_classes(np.arange(1000) // 2, 5).tolist() == [298, 553, 672, 859, 993]


def test_labels_may_be_any_numbers():
    assert counts(np.array([7, 7, 1000, 3]), 3)[7::993] == [1, 1]
