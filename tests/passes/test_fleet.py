"""Several devices that share one server: the simulated stream against the timeline, and what that does to the cut."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from coachc.core.plan import BitPlan, Way
from coachc.passes.partition import Limits, search
from coachc.passes.simulate import pipeline, staged_task
from coachc.passes.strategy import Part, Strategy, run, saturated
from coachc.passes.timeline import Costs, from_stages, uniform
from tests.helpers.admissible import cuttable, period_s, stage_seconds
from tests.helpers.graphs import CHAIN, costs_of, down_closed_subsets, graph_of, profile, random_costs, random_graph

RTT_S = 0.3
PAIRS = list(itertools.product(range(1, 6), range(1, 4)))


def fleet(devices, workers):
    return dataclasses.replace(costs_of([], [], rtt_s=RTT_S, workers=workers), devices=devices)


def drawn(devices, workers, seed):
    """Stage times; in every third case the cloud takes long enough to bind wherever devices are many."""
    rng = np.random.default_rng([seed, devices, workers])
    device_s, link_s, cloud_s = rng.uniform(0.1, 1, 3).tolist()
    return device_s, link_s, cloud_s * (5 if seed % 3 == 0 else 1)


def longest_wait_s(devices, workers, cloud_s, apart_s):
    """Longest wait for a worker when all devices' tasks come together every `apart_s`, in the long run.

    Equal tasks that are served in order go to the workers in turn. Since the round k before its own, the last task of
    a round has ((k + 1) * devices - 1) // workers others before it on its worker, which had k intervals to leave.
    """
    return max(((devices * (back + 1) - 1) // workers) * cloud_s - back * apart_s for back in range(workers))


@pytest.mark.parametrize(("devices", "workers"), PAIRS)
def test_the_steady_period_of_each_device_is_the_timelines(devices, workers):
    for seed in range(12):
        stages = drawn(devices, workers, seed)
        result = pipeline([staged_task(*stages, RTT_S)] * 60, [0.0] * 60, workers, devices)
        expected_s = max(stages[0], stages[1], stages[2] * devices / workers)
        assert result.steady_period_s * devices == pytest.approx(expected_s, rel=1e-9), f"seed {seed}"
        assert from_stages(*stages, 0, fleet(devices, workers)).period_s == pytest.approx(expected_s), f"seed {seed}"


@pytest.mark.parametrize(("devices", "workers"), PAIRS)
def test_the_longest_latency_in_closed_form(devices, workers):
    for seed in range(12):
        stages = drawn(devices, workers, seed)
        apart_s = from_stages(*stages, 0, fleet(devices, workers)).period_s * (1.0 if seed % 2 else 1.17)
        result = pipeline([staged_task(*stages, RTT_S)] * 40, [i * apart_s for i in range(40)], workers, devices)
        expected_s = sum(stages) + RTT_S + longest_wait_s(devices, workers, stages[2], apart_s)
        assert max(result.latencies_s) == pytest.approx(expected_s), f"seed {seed}"


@pytest.mark.parametrize(("devices", "workers"), PAIRS)
def test_the_latency_of_the_timeline_is_sure_and_attained(devices, workers):
    # Rounds that are all alike: each finds as many tasks on the worker as any other.
    alike = (devices - 1) // workers * workers == devices - math.gcd(devices, workers)
    for seed in range(12):
        stages = drawn(devices, workers, seed)
        total = from_stages(*stages, 0, fleet(devices, workers))
        binds = total.period_s == pytest.approx(stages[2] * devices / workers)
        for slower in (1.0, 1.01, 1.3, 2.0):
            arrivals_s = [i * total.period_s * slower for i in range(40)]
            result = pipeline([staged_task(*stages, RTT_S)] * 40, arrivals_s, workers, devices)
            assert max(result.latencies_s) <= total.latency_s + 1e-9, f"seed {seed}"
            if alike or (binds and slower == 1.0):
                assert max(result.latencies_s) == pytest.approx(total.latency_s), f"seed {seed}"


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_device_gets_its_tasks_at_the_same_moments(workers):
    rng = np.random.default_rng(workers)
    tasks = [staged_task(*rng.uniform(0.1, 1, 3).tolist(), RTT_S) for _ in range(10)]
    arrivals_s = np.cumsum(rng.uniform(0, 1, 10)).tolist()
    result = pipeline(tasks, arrivals_s, workers, 3)
    assert result.arrivals_s == tuple(moment for moment in arrivals_s for _ in range(3))
    assert result.capacity == {
        **{"device": 1, "link": 1, "device 2": 1, "link 2": 1, "device 3": 1, "link 3": 1},
        **{"cloud": workers},
    }
    for stage in ("device", "link"):
        times = [
            [(span.start_s, span.end_s) for span in result.spans if span.stage == stage + suffix]
            for suffix in ("", " 2", " 3")
        ]
        assert times[0] == times[1] == times[2]
        assert len(times[0]) == 10
    # The server serves the devices in turn, and more of them at once than it has workers never.
    cloud = [span for span in result.spans if span.stage == "cloud"]
    assert [span.task for span in cloud] == list(range(30))
    for span in cloud:
        assert sum(other.start_s <= span.start_s < other.end_s for other in cloud) <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_one_device_is_the_pipeline_of_before(workers):
    rng = np.random.default_rng(9)
    stages, arrivals_s = rng.uniform(0, 1, (40, 3)).tolist(), np.cumsum(rng.uniform(0, 1, 40)).tolist()
    tasks = [staged_task(*times) for times in stages]
    result = pipeline(tasks, arrivals_s, workers, 1)
    assert result == pipeline(tasks, arrivals_s, workers)
    device = link = 0.0
    free = [0.0] * workers
    for times, arrival_s, found_s in zip(stages, arrivals_s, result.finishes_s, strict=True):
        device = max(arrival_s, device) + times[0]
        link = max(device, link) + times[1]
        free.sort()
        free[0] = max(link, free[0]) + times[2]
        assert found_s == pytest.approx(free[0])
    total = from_stages(1.0, 2.0, 6.0, 7, costs_of([], [], rtt_s=RTT_S, workers=workers))
    assert (total.period_s, total.latency_s, total.payload_bytes) == (6.0 / workers, 9.3, 7)
    assert Costs(profile([]), profile([]), fleet(1, 1).link) == fleet(1, 1)


@pytest.mark.parametrize("devices", [1, 2, 5])
def test_a_strategy_runs_on_all_devices(devices):
    costs = fleet(devices, 2)
    a, b = (from_stages(*stages, 10, costs) for stages in ((1.0, 0.2, 0.1), (0.2, 1.0, 0.3)))
    ways = [Way("split", mask, BitPlan(()), stages) for mask, stages in ((0b1, a), (0, b))]
    mixed = Strategy("by hand", tuple(Part(0.5, way) for way in ways), "")
    expected_s = max(0.6, 0.6, 0.2 * devices / 2)
    assert mixed.period_s(costs.server_share) == pytest.approx(expected_s)
    assert saturated(mixed, costs).steady_period_s * devices == pytest.approx(expected_s, rel=0.02)
    assert len(run(mixed, costs, [0.0] * 7).finishes_s) == 7 * devices


# The search


def eight_bits(graph):
    return lambda mask, cut, most_bits: BitPlan(uniform(graph, cut, 8))


def test_more_devices_move_the_cut_towards_the_device():
    graph = graph_of(CHAIN)
    one = costs_of([1.0] * 4, [0.5] * 4, bandwidth=1e9, bytes_per_s=1e12)
    cuts = {}
    for devices in (1, 2, 4):
        found = search(graph, dataclasses.replace(one, devices=devices), eight_bits(graph))
        cuts[devices] = (found.best.mask, round(found.best.timeline.period_s, 4))
    # k operators on the device take k s, the others devices * (4 - k) / 2 s of the server for each device's task.
    assert cuts == {1: (0b0001, 1.5), 2: (0b0011, 2.0), 4: (0b0111, 3.0)}
    # As many workers as devices: everybody has a server again.
    shared = dataclasses.replace(one, devices=4, workers=4)
    assert search(graph, shared, eight_bits(graph)).best.mask == 0b0001


def test_the_latency_limit_counts_the_wait_for_the_server():
    graph = graph_of(CHAIN)
    one = costs_of([1.0] * 4, [0.5] * 4, bandwidth=1e9, bytes_per_s=1e12)
    limits = Limits(max_latency_s=3.6)
    # Behind the first operator 1 + 1.5 s; four devices make the last one wait for three others: 1 + 4 * 1.5 = 7 s.
    assert search(graph, one, eight_bits(graph), limits=limits).best.mask == 0b0001
    found = search(graph, dataclasses.replace(one, devices=4), eight_bits(graph), limits=limits)
    assert found.best is None
    # The least of 8, 7, 6 and 5 s.
    assert found.closest.mask == 0b0111
    assert found.closest.timeline.latency_s == pytest.approx(3 + 4 * 0.5, rel=1e-3)
    found = search(graph, dataclasses.replace(one, devices=4), eight_bits(graph), limits=Limits(6.5))
    assert found.best.mask == 0b0111


@pytest.mark.parametrize("seed", range(30))
def test_the_search_equals_brute_force_with_the_wait_of_one_worker(seed):
    rng = np.random.default_rng([seed, 51])
    graph = random_graph(rng, most=8)
    devices = int(rng.integers(1, 6))
    costs = dataclasses.replace(random_costs(graph, rng), workers=1, devices=devices)
    rows = {}
    for mask in down_closed_subsets(graph)[:-1]:
        for bits in (8, 0) if cuttable(graph, mask) else ():
            stages = stage_seconds(graph, mask, bits, costs)
            rows[mask, bits] = period_s(stages, costs), sum(stages) + (devices - 1) * stages[2] + costs.link.rtt_s
    latencies = sorted(latency_s for _, latency_s in rows.values())
    limit_s = latencies[int(rng.integers(0, len(latencies)))] * 1.0001 if rows else math.inf
    fitting = [row for row in rows.values() if row[1] <= limit_s]
    found = search(graph, costs, eight_bits(graph), limits=Limits(limit_s))
    assert (found.best is None) == (not fitting)
    if fitting:
        assert found.best.timeline.period_s == pytest.approx(min(fitting)[0], abs=2e-9)
        assert found.best.timeline.latency_s <= limit_s
