import numpy as np
import pytest

from coachc.runtime.online.feature import LEAST_LENGTH, feature_of, join, unit


def rows(*values):
    return np.array(values, dtype=np.float32)


def test_unit_by_hand():
    np.testing.assert_array_equal(unit(rows([3, 4], [0, -2])), np.array([[0.6, 0.8], [0, -1]], np.float32))


def test_unit_rows_have_length_one():
    drawn = np.random.RandomState(1).standard_normal((200, 33)).astype(np.float32) * 1e4
    np.testing.assert_allclose(np.linalg.norm(unit(drawn).astype(np.float64), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf, 3e38, LEAST_LENGTH / 4, 1e-22, 1e-45])
def test_rows_without_a_direction_become_zeros_and_touch_no_others(bad):
    found = unit(rows([bad, bad], [3, 4]))
    np.testing.assert_array_equal(found, rows([0, 0], [0.6, 0.8]))


def test_one_not_finite_element_is_enough():
    np.testing.assert_array_equal(unit(rows([1, np.nan], [-np.inf, 1])), np.zeros((2, 2)))


def test_lengths_are_exact_down_to_the_least():
    for length in (1e-15, 1e-8, 1e8, 1e18):
        np.testing.assert_allclose(unit(rows([0.6, 0.8]) * np.float32(length)), rows([0.6, 0.8]), rtol=1e-6)


def test_one_value_is_taken_as_it_is():
    found = feature_of({"a": np.arange(3.0).reshape(1, 3), "b": np.ones((1, 2))}, ["a"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [0, 1, 2])


def test_several_values_weigh_the_same():
    outputs = {"a": rows([300, 400]), "b": np.array([[[[0.0]], [[0.002]]]], np.float32)}
    np.testing.assert_allclose(feature_of(outputs, ["b", "a"]), [0, 1, 0.6, 0.8], rtol=1e-6)


def test_a_value_of_zeros_stays_zeros():
    np.testing.assert_array_equal(join([rows([0, 0]), rows([0, 5])]), rows([0, 0, 0, 1]))


def test_more_than_a_float32_holds_is_infinite():
    assert np.isinf(feature_of({"a": np.array([[1e300, 0]])}, ["a"])[0])
    np.testing.assert_array_equal(feature_of({"a": np.array([[1e300]]), "b": rows([2])}, ["a", "b"]), [0, 1])


def test_many_tasks_at_once_are_as_one_by_one():
    random = np.random.RandomState(2)
    parts = [random.standard_normal((20, 5)).astype(np.float32), random.standard_normal((20, 7)).astype(np.float32)]
    together = join(parts)
    for index in range(20):
        alone = feature_of({"a": parts[0][index : index + 1], "b": parts[1][index : index + 1]}, ["a", "b"])
        np.testing.assert_allclose(alone, together[index], rtol=1e-6)
