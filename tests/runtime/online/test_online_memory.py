import numpy as np
import pytest

from coachc.runtime.online.memory import NO_MATCH, Memory
from tests.helpers.online import vector


def memory_of(capacity, size=2, mean=None):
    return Memory(capacity, size, np.zeros(size, np.float32) if mean is None else mean)


def test_the_nearest_by_hand():
    """The cosines of (3, 4) with (4, 3), (0, 2) and (1, 0) are 0.96, 0.8 and 0.6."""
    memory = memory_of(5)
    memory.add(vector(1, 0), 1)
    memory.add(vector(4, 3), 2)
    memory.add(vector(0, 2), 3)
    found = memory.match(vector(3, 4))
    assert found.label == 2
    assert found.cosine == pytest.approx(0.96, rel=1e-6)


def test_the_mean_is_taken_away():
    memory = memory_of(2, mean=vector(10, 10))
    memory.add(vector(11, 10), 1)
    memory.add(vector(10, 11), 2)
    assert memory.match(vector(10.1, 19)).label == 2
    assert memory.match(vector(10, 10)) == NO_MATCH


def test_an_empty_memory_and_none():
    assert memory_of(3).match(vector(1, 0)) == NO_MATCH
    nothing = memory_of(0)
    nothing.add(vector(1, 0), 1)
    assert nothing.match(vector(1, 0)) == NO_MATCH


def test_opposite_features_match_badly_but_what_is_empty_never():
    memory = memory_of(4)
    memory.add(vector(1, 0), 7)
    found = memory.match(vector(-1, 0))
    assert found.label == 7
    assert found.cosine == pytest.approx(-1)


def test_a_ring_replaces_the_oldest_and_never_grows():
    memory, size = memory_of(3, 8), 8
    axes = np.eye(size, dtype=np.float32)
    before = [value.nbytes for value in vars(memory).values() if isinstance(value, np.ndarray)]
    for label in range(size):
        memory.add(axes[label], label)
        for old in range(size):
            found = memory.match(axes[old])
            if label - 3 < old <= label:
                assert found == (old, 1.0)
            else:
                assert found.cosine == 0
    assert [value.nbytes for value in vars(memory).values() if isinstance(value, np.ndarray)] == before


def test_a_copy_is_kept():
    memory, feature = memory_of(2), vector(1, 0)
    memory.add(feature, 4)
    feature[:] = (0, 1)
    assert memory.match(vector(1, 0)) == (4, 1.0)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf, 3e38])
def test_features_without_a_direction_are_neither_kept_nor_matched(bad):
    memory = memory_of(1)
    memory.add(vector(1, 0), 4)
    memory.add(vector(bad, bad), 9)
    assert memory.match(vector(1, 0)) == (4, 1.0)
    assert memory.match(vector(bad, bad)) == NO_MATCH


def test_clear_forgets_everything_and_goes_on():
    memory = memory_of(2)
    memory.add(vector(1, 0), 4)
    memory.add(vector(0, 1), 5)
    memory.clear()
    assert memory.match(vector(1, 0)) == NO_MATCH
    memory.add(vector(1, 0), 6)
    assert memory.match(vector(1, 0)) == (6, 1.0)
    assert memory.match(vector(0, 1)).label == 6
