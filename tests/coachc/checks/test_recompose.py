"""What counts as the same output."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.checks.recompose import compare
from coachc.errors import CheckFailure


def test_the_largest_difference_is_relative_to_the_largest_magnitude_of_its_output():
    whole = {"a": np.float32([1, -200]), "b": np.float32([0.5]), "empty": np.zeros((0, 3), np.float32)}
    halves = {"a": np.float32([1.001, -200]), "b": np.float32([0.5]), "empty": np.zeros((0, 3), np.float32)}
    assert compare(whole, halves, "cut") == pytest.approx(0.001 / 200, rel=1e-3)


@pytest.mark.parametrize(
    ("wanted", "found", "message", "context"),
    [
        (np.float32([1]), np.float32([1.0001]), "output 'y' differs at cut at a", "relative difference 0.0001"),
        (np.float32([1]), np.float32([np.nan]), "output 'y' differs at cut at a", "relative difference nan"),
        (np.int64([1, 2]), np.int64([1, 3]), "output 'y' differs at cut at a", "relative difference inf"),
        (np.float32([1]), np.float64([1]), "output 'y' has another type at cut at a", "found    float64 [1]"),
        (np.float32([1]), np.float32([[1]]), "output 'y' has another type at cut at a", "expected float32 [1]"),
    ],
    ids=["value", "nan", "integer", "dtype", "shape"],
)
def test_what_differs_is_refused(wanted, found, message, context):
    with pytest.raises(CheckFailure, match=message) as caught:
        compare({"y": wanted}, {"y": found}, "cut at a")
    assert context in caught.value.context
