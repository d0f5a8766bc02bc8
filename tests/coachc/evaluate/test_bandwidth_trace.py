"""Transfers over a changing rate, against adding up small steps; and traces that are none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coachc.errors import DataError
from coachc.evaluate.bandwidth_trace import Trace, constant, load_trace, steps


def by_small_steps(trace, start_s, size, step_s=1e-4):
    time_s, left = start_s, size
    while left > 0:
        left -= trace.rate_at(time_s + step_s / 2) * step_s
        time_s += step_s
    return time_s


@pytest.mark.parametrize("start_s", [0.0, 0.35, 1.0, 2.4])
@pytest.mark.parametrize("size", [10.0, 400.0, 3000.0])
def test_a_transfer_ends_when_its_bytes_have_gone(start_s, size):
    trace = Trace(np.array([0.5, 0.3, 0.7, 0.2]), np.array([1000.0, 0.0, 250.0, 2000.0]))
    assert trace.end_s(start_s, size) == pytest.approx(by_small_steps(trace, start_s, size), abs=3e-4)


def test_an_outage_waits():
    trace = Trace(np.array([1.0, 5.0, 1.0]), np.array([100.0, 0.0, 100.0]))
    assert trace.end_s(0.5, 60.0) == pytest.approx(6.1)
    assert trace.end_s(2.0, 10.0) == pytest.approx(6.1)


def test_a_constant_link():
    assert constant(2.5e6).end_s(3.0, 5e6) == pytest.approx(5.0)


def test_steps_last():
    link = steps([1.0, 1.0], [10.0, 5.0, 2.0])
    assert [link.rate_at(t) for t in (0.5, 1.5, 100.0)] == [10.0, 5.0, 2.0]


def test_it_repeats():
    trace = Trace(np.array([1.0, 1.0]), np.array([10.0, 30.0]))
    assert trace.end_s(0.0, 80.0) == pytest.approx(4.0)
    assert trace.rate_at(2.5) == 10.0


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"dur_ms": [1, 2], "mbps": [1]}, "as many"),
        ({"dur_ms": [1, -2], "mbps": [1, 1]}, "positive"),
        ({"dur_ms": [1, 2], "mbps": [0, 0]}, "not zero"),
        ({"dur_ms": [1, 2], "mbps": [1, "x"]}, "numbers"),
        ({"mbps": [1]}, "dur_ms"),
        ({"a": {}, "b": {}}, "no trace"),
        ([1, 2], "no trace"),
    ],
)
def test_what_is_no_trace_is_said_to_be_none(tmp_path, content, wanted):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=wanted) as caught:
        load_trace(str(path))
    assert str(path) in caught.value.render()


def test_one_of_several(tmp_path):
    path = tmp_path / "traces.json"
    path.write_text(json.dumps({"bus": {"dur_ms": [1000, 1000], "mbps": [8, 16]}}))
    trace = load_trace(str(path), "bus")
    assert trace.rate_at(0.5) == 1e6
    assert trace.period_s == 2.0
    assert trace.name == "bus"
