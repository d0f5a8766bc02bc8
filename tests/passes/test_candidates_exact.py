"""All ideals block by block, and the table of stage times, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.bench.search_benchmark import graph_of as graph_of_reads
from coachc.bench.search_benchmark import parallel
from coachc.core.masks import mask_of
from coachc.core.plan import MIN_BITS, quantizer_for
from coachc.passes import ideals
from coachc.passes.candidates import candidate_masks as base
from coachc.passes.candidates import exact
from coachc.passes.candidates.candidate_masks import boundaries, ideals_within, pack
from coachc.passes.candidates.tally import BITS, Tally, unpack
from coachc.passes.cluster import cluster
from coachc.passes.timeline import stage_times
from tests.helpers.graphs import DIAMOND, costs_of, down_closed_subsets, graph_of, random_costs, random_graph
from tests.helpers.searches import TICK, crossing, period, random_series_parallel


@pytest.mark.parametrize("block", range(10))
def test_equals_brute_force_over_all_subsets(block):
    for seed in range(12 * block, 12 * block + 12):
        rng = np.random.default_rng([seed, 1])
        most = 14 if seed % 12 == 0 else 10
        graph = (
            random_series_parallel(rng, most=most) if seed % 2 else random_graph(rng, most=most, source=seed % 4 == 0)
        )
        costs = random_costs(graph, rng)
        found = exact.candidates(graph, costs)
        every = down_closed_subsets(graph)
        assert found.masks == tuple(sorted(every, key=lambda m: (m.bit_count(), m))), f"seed {seed}"
        assert (found.method, found.complete, found.epsilon, found.seen) == ("exact", True, 0.0, len(every))
        least_s = min(period(graph, mask, MIN_BITS, costs) for mask in every)
        assert found.bound_s == pytest.approx(least_s, rel=1e-12, abs=1e-15), f"seed {seed}"
        assert found.masks == ideals.all_ideals(graph)[0], f"seed {seed}"


def test_beyond_the_limit_prefixes_remain():
    graph = graph_of_reads(parallel(3, 4), np.random.default_rng(0))
    costs = costs_of([1e-3] * 14, [1e-4] * 14)
    # The empty one, the fork, 125 states of which the first is "after the fork", the join.
    assert len(exact.candidates(graph, costs, limit=127).masks) == 127
    found = exact.candidates(graph, costs, limit=126)
    assert not found.complete
    assert found.masks == tuple((1 << n) - 1 for n in range(15))
    assert found.bound_s <= exact.candidates(graph, costs).bound_s


@pytest.mark.parametrize("seed", range(60))
def test_pruning_leaves_out_nothing_that_beats_what_is_certain(seed):
    rng = np.random.default_rng([seed, 2])
    graph = random_series_parallel(rng)
    costs = random_costs(graph, rng)
    certain_s = sum(costs.device.seconds) * rng.uniform(0.3, 1.0)
    every = exact.candidates(graph, costs)
    found = exact.candidates(graph, costs, prune_above_s=certain_s)
    assert set(boundaries(cluster(graph).chain)) <= set(found.masks)
    for mask in set(every.masks) - set(found.masks):
        assert all(period(graph, mask, bits, costs) > certain_s for bits in BITS), f"seed {seed}"
    assert found.bound_s <= every.bound_s + 1e-15 or found.bound_s == certain_s, f"seed {seed}"
    assert found.bound_s <= max(every.bound_s, certain_s), f"seed {seed}"


def test_pruning_is_off_unless_asked_for():
    graph = graph_of(DIAMOND)
    costs = costs_of([1.0] * 5, [0.1] * 5, bandwidth=1e9)
    assert len(exact.candidates(graph, costs).masks) == 7
    # Inside the block the device is busy for the first second, the cloud for the last 0.2.
    assert len(exact.candidates(graph, costs, prune_above_s=0.9).masks) == 5
    assert len(exact.candidates(graph, costs, prune_above_s=1.1).masks) == 7


@pytest.mark.parametrize("seed", range(40))
def test_the_table_agrees_with_the_timeline(seed):
    rng = np.random.default_rng([seed, 3])
    graph = random_graph(rng, most=9, source=seed % 2 == 0)
    costs = random_costs(graph, rng)
    tally = Tally(graph, costs)
    masks = down_closed_subsets(graph)
    for bits in BITS:
        for mask, (timeline, uncuttable) in zip(masks, tally.timelines(masks, bits), strict=True):
            cut = graph.cut_values(mask)
            assert set(cut) == crossing(graph, mask)
            quantizers = [quantizer_for(graph.values[name], bits) for name in cut]
            expected = stage_times(graph, mask, quantizers, costs)
            for name in ("device_s", "link_s", "cloud_s", "period_s", "latency_s"):
                assert getattr(timeline, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-18)
            assert timeline.payload_bytes == expected.payload_bytes
            assert uncuttable == sum(not graph.values[name].cuttable for name in cut)
        periods = tally.periods(masks, bits)
        assert periods == pytest.approx([period(graph, mask, bits, costs) for mask in masks], rel=1e-12)


def test_masks_pack_and_unpack():
    masks = [0, 1, 0b101, 1 << 70, (1 << 71) - 1]
    table = unpack(masks, 71)
    assert [pack(np.flatnonzero(row), 71) for row in table] == masks
    assert [mask_of(np.flatnonzero(row).tolist()) for row in table] == masks
    assert unpack([0], 0).shape == (1, 0)


def test_ideals_within_stops_at_its_limit():
    graph = graph_of(["x"] * 10)
    assert sorted(ideals_within(graph, tuple(range(10)), limit=1024)) == list(range(1024))
    assert ideals_within(graph, tuple(range(10)), limit=1023) is None


def test_the_bound_of_the_operators_alone_is_below_every_ideal():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng)
        costs = random_costs(graph, rng)
        least_s = min(period(graph, mask, MIN_BITS, costs) for mask in down_closed_subsets(graph))
        assert base.compute_bound_s(costs) <= least_s + TICK
