"""Stage times of one task, worked out by hand."""

from __future__ import annotations

import pytest

from coachc.core.graph import Value
from coachc.core.plan import Quantizer, Timeline
from coachc.passes.timeline import from_stages, node_seconds, stage_times, wire_bytes
from tests.helpers.graphs import CHAIN, costs_of, graph_of


@pytest.mark.parametrize(
    ("elements", "bits", "size"), [(8, 2, 2), (9, 2, 3), (7, 3, 3), (8, 5, 5), (1, 8, 1), (1000, 8, 1000), (0, 4, 0)]
)
def test_packed_bytes(elements, bits, size):
    assert wire_bytes(Value("v", "float32", (elements,)), Quantizer("v", "packed", bits)) == size


@pytest.mark.parametrize(
    ("dtype", "size"), [("int64", 80), ("int32", 40), ("bool", 10), ("uint8", 10), ("float64", 80)]
)
def test_raw_bytes(dtype, size):
    assert wire_bytes(Value("v", dtype, (2, 5)), Quantizer("v", "raw", 8)) == size


def test_a_split_by_hand():
    graph = graph_of(CHAIN, elements={"v1": 1000})
    costs = costs_of(
        [0.01, 0.02, 0.04, 0.08], [0.001, 0.002, 0.004, 0.008],
        bandwidth=1e5, rtt_s=0.005, bytes_per_s=1e6, overhead_s=0.0001,
    )  # fmt: skip
    found = stage_times(graph, 0b0011, [Quantizer("v1", "packed", 4)], costs)
    # Quantizing reads 4000 bytes and writes 1000 on either side: 5 ms at 1 MB/s and 0.1 ms to start.
    assert found.device_s == pytest.approx(0.03 + 0.0051)
    assert found.cloud_s == pytest.approx(0.012 + 0.0051)
    assert found.payload_bytes == 500
    assert found.link_s == pytest.approx((500 + 330 + 91) / 95500)
    assert found.period_s == pytest.approx(0.0351)
    assert found.latency_s == pytest.approx(0.0351 + 0.0171 + 921 / 95500 + 0.005)


def test_raw_values_cost_no_quantizing():
    graph = graph_of(["x", "v0", "v0 v1"], dtypes={"v0": "int64"}, elements={"v0": 100, "v1": 10})
    costs = costs_of([1, 1, 1], [2, 2, 2], bandwidth=1e3, bytes_per_s=1e6)
    found = stage_times(graph, 0b011, [Quantizer("v0", "raw", 64), Quantizer("v1", "packed", 2)], costs)
    assert found.payload_bytes == 800 + 3
    # Only the 10 floats of v1 are quantized: 50 bytes.
    assert found.device_s == pytest.approx(2 + 50e-6)
    assert found.cloud_s == pytest.approx(2 + 50e-6)
    assert found.link_s == pytest.approx((803 + 330 + 85 + 87) / 955)
    assert found.period_s == found.device_s


def test_workers_share_the_cloud_but_do_not_hurry_one_task():
    costs = costs_of([1.0], [6.0], rtt_s=0.5, workers=3)
    found = from_stages(1.0, 0.25, 6.0, 7, costs)
    assert found == Timeline(1.0, 0.25, 6.0, 2.0, 7.75, 7)


@pytest.mark.parametrize(
    ("stages", "period"), [((3, 2, 1), 3), ((1, 3, 2), 3), ((1, 2, 3), 3), ((2, 2, 2), 2)], ids=str
)
def test_the_slowest_stage_sets_the_period(stages, period):
    assert from_stages(*stages, 0, costs_of([], [])).period_s == period


def test_device_only_has_no_link():
    graph = graph_of(CHAIN)
    costs = costs_of([1, 2, 3, 4], [9, 9, 9, 9], rtt_s=5.0, overhead_s=1.0)
    assert stage_times(graph, 0b1111, (), costs) == Timeline(10, 0.0, 0.0, 10, 10, 0)


def test_cloud_only_has_the_inputs_on_the_link():
    graph = graph_of(CHAIN, elements={"x": 1000})
    costs = costs_of([1, 2, 3, 4], [1, 1, 1, 1], bandwidth=1e4, bytes_per_s=1e6)
    found = stage_times(graph, 0, [Quantizer("x", "packed", 8)], costs)
    assert (found.device_s, found.cloud_s) == (pytest.approx(5e-3), pytest.approx(4 + 5e-3))
    assert found.payload_bytes == 1000


def test_every_node_counts_on_one_side():
    costs = costs_of([1, 10, 100, 1000], [2, 20, 200, 2000])
    assert node_seconds(0b0101, costs) == (101, 2020)
    assert node_seconds(0, costs) == (0, 2222)
