"""ONNX Runtime's profiling JSON: kernels by name, runs, and what is no such file."""

import json

import pytest

from coachc.runtime.bundle.kernel_times import kernel_times, layers_of, middle_and_spread, read_events
from coachc.runtime.errors import ProfileFileError

EVENTS = [
    {"cat": "Session", "name": "model_loading_from_saved", "dur": 900},
    {"cat": "Session", "name": "model_run", "dur": 100},
    {"cat": "Node", "name": "conv_kernel_time", "dur": 30},
    {"cat": "Node", "name": "conv_fence_before", "dur": 999},
    {"cat": "Node", "name": "relu_kernel_time_kernel_time", "dur": 10},
    {"cat": "Node", "name": "add_token_12_kernel_time", "dur": 5},
    {"cat": "Session", "name": "model_run", "dur": 120},
    {"cat": "Node", "name": "conv_kernel_time", "dur": 50},
    {"cat": "Node", "name": "add_token_13_kernel_time", "dur": 7},
    {"cat": "Node", "name": "broken_kernel_time", "dur": "long"},
]


def test_kernels_and_runs():
    kernels, runs = kernel_times(EVENTS)
    assert runs == pytest.approx([100e-6, 120e-6])
    assert kernels["conv"] == pytest.approx([30e-6, 50e-6])
    assert kernels["add"] == pytest.approx([5e-6, 7e-6])
    assert "broken" not in kernels


def test_the_first_runs_are_left_out():
    layers = {layer.name: layer.seconds for layer in layers_of({"a": [9.0, 1.0, 3.0], "b": [2.0]}, 1)}
    assert layers == {"a": 2.0, "b": 2.0}


@pytest.mark.parametrize(
    ("seconds", "middle", "spread"), [([3.0], 3.0, 0.0), ([1.0, 2.0], 1.5, 1.0), ([5.0, 1.0, 3.0, 2.0, 4.0], 3.0, 2.0)]
)
def test_middle_and_spread(seconds, middle, spread):
    assert middle_and_spread(seconds) == (middle, spread)


@pytest.mark.parametrize("text", ["{", "{}", "[3]", '"events"'])
def test_another_file(tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ProfileFileError, match="profile"):
        read_events(str(path))
    path.write_text(json.dumps(EVENTS))
    assert read_events(str(path)) == EVENTS
