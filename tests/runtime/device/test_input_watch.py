import numpy as np

from coachc.runtime.device.input_watch import InputWatch
from tests.helpers.runtime_bundles import make_manifest


def watch(*ranges):
    return InputWatch(make_manifest()._replace(input_ranges=ranges))


def feeds(*values):
    return [{"input": np.array([value, 0.5], np.float32)} for value in values]


def test_tasks_with_values_beyond_those_of_calibration_are_counted():
    seen = watch((0.0, 1.0))
    given = feeds(0.0, 1.0, 1.5, -0.1, float("nan"), float("inf"))
    passed = list(seen.over(given))
    assert [feed is other for feed, other in zip(passed, given)] == [True] * 6
    assert seen.outside == {"input": 4}


def test_a_rounding_error_is_no_new_value():
    seen = watch((0.0, 255.0))
    list(seen.over(feeds(255.0000001, -1e-7)))
    assert seen.outside == {}


def test_nothing_is_counted_where_no_range_is_known():
    for seen in (watch(), watch(())):
        list(seen.over(feeds(1e9)))
        assert seen.outside == {}
