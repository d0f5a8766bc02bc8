"""Min cuts, the bound they give, and branching, against brute force."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.bench.search_benchmark import costs_of as bench_costs
from coachc.bench.search_benchmark import graph_of as graph_of_reads
from coachc.bench.search_benchmark import irreducible, parallel
from coachc.core.plan import MIN_BITS
from coachc.passes.candidates import exact, mincut
from coachc.passes.candidates.candidate_masks import compute_bound_s
from coachc.passes.candidates.climb import climb
from coachc.passes.candidates.dual import maximise
from coachc.passes.candidates.network import Network
from coachc.passes.candidates.tally import BITS, Tally
from tests.helpers.graphs import CHAIN, costs_of, down_closed_subsets, graph_of, random_costs, random_graph
from tests.helpers.searches import period, random_series_parallel, stages


def drawn(seed, stream, *, most=10):
    rng = np.random.default_rng([seed, stream])
    if seed % 2:
        graph = random_series_parallel(rng, most=most, cuttable=0.9)
    else:
        graph = random_graph(rng, most=most, source=seed % 4 == 0)
    costs = random_costs(graph, rng)
    # A weighted sum knows operators and bytes; what every partition takes besides is none of it.
    return rng, graph, dataclasses.replace(costs, device=dataclasses.replace(costs.device, program_s=0.0))


def weighted(graph, mask, bits, costs, weights):
    """The weighted sum as the network charges it: a request's header is paid by every ideal."""
    device_s, link_s, cloud_s, _ = stages(graph, mask, bits, costs)
    link_s = max(link_s, 330 / (costs.link.bandwidth_bytes_per_s * 0.955))
    return weights @ np.array([device_s, link_s, cloud_s / costs.workers]) if np.isfinite(link_s) else np.inf


def nobody(graph):
    return np.zeros(len(graph.nodes), dtype=bool)


@pytest.mark.parametrize("block", range(10))
def test_the_least_cut_is_the_least_weighted_sum(block):
    for seed in range(15 * block, 15 * block + 15):
        rng, graph, costs = drawn(seed, 41)
        network = Network(Tally(graph, costs))
        for _ in range(4):
            weights = rng.dirichlet([0.7] * 3)
            bits = int(rng.integers(2, 9))
            device, cloud = nobody(graph), nobody(graph)
            assert network.closed(device, cloud)
            mask, least_s = network.least(weights, bits, device, cloud)
            expected = min(weighted(graph, m, bits, costs, weights) for m in down_closed_subsets(graph))
            where = f"seed {seed}, weights {weights}, {bits} bits"
            assert graph.is_ideal(mask), where
            assert weighted(graph, mask, bits, costs, weights) == pytest.approx(expected, rel=1e-6, abs=1e-15), where
            assert least_s <= expected * (1 + 1e-12), where
            assert least_s == pytest.approx(expected, rel=1e-6, abs=1e-15), where


@pytest.mark.parametrize("block", range(5))
def test_pinned_nodes_stay_where_they_are(block):
    empty = 0
    for seed in range(15 * block, 15 * block + 15):
        rng, graph, costs = drawn(seed, 42)
        network = Network(Tally(graph, costs))
        device, cloud = rng.random(len(graph.nodes)) < 0.15, rng.random(len(graph.nodes)) < 0.15
        on, off = (sum(1 << int(i) for i in np.flatnonzero(side)) for side in (device, cloud))
        weights = rng.dirichlet([1.0] * 3)
        left = {
            mask: weighted(graph, mask, 4, costs, weights)
            for mask in down_closed_subsets(graph)
            if mask & on == on and not mask & off and np.isfinite(stages(graph, mask, 4, costs)[1])
        }
        if not network.closed(device, cloud):
            assert not left, f"seed {seed}"
            empty += 1
            continue
        mask, least_s = network.least(weights, 4, device, cloud)
        assert mask in left, f"seed {seed}"
        assert least_s == pytest.approx(min(left.values()), rel=1e-6, abs=1e-15), f"seed {seed}"
        assert all(np.array([m >> i & 1 for m in left]).all() for i in np.flatnonzero(device))
        assert not any(np.array([m >> i & 1 for m in left]).any() for i in np.flatnonzero(cloud))
    assert empty


@pytest.mark.parametrize("block", range(10))
def test_the_bound_is_below_every_period_and_the_best_ideals_are_found(block):
    for seed in range(15 * block, 15 * block + 15):
        _, graph, costs = drawn(seed, 43, most=13 if seed % 5 == 0 else 10)
        every, found = exact.candidates(graph, costs), mincut.candidates(graph, costs)
        assert (found.method, found.complete) == ("mincut", False)
        assert {0, graph.full_mask} <= set(found.masks) <= set(every.masks), f"seed {seed}"
        assert found.bound_s <= every.bound_s * (1 + 1e-12), f"seed {seed}"
        # Small graphs are branched to the end.
        assert found.bound_s >= every.bound_s * (1 - 2e-4), f"seed {seed}"
        least_s = min(period(graph, mask, MIN_BITS, costs) for mask in found.masks)
        assert least_s == pytest.approx(every.bound_s, rel=2e-4), f"seed {seed}"


@pytest.mark.parametrize("seed", range(30))
def test_one_cut_without_branching_is_a_bound_already(seed):
    _, graph, costs = drawn(seed, 44)
    network = Network(Tally(graph, costs))
    splits = [mask for mask in exact.candidates(graph, costs).masks if mask != graph.full_mask]
    device, cloud = nobody(graph), nobody(graph)
    assert network.closed(device, cloud)
    bounds = [maximise(network, MIN_BITS, device, cloud, cuts=cuts).bound_s for cuts in (1, 3, 20)]
    assert bounds == sorted(bounds)
    assert bounds[-1] <= min(period(graph, mask, MIN_BITS, costs) for mask in splits) * (1 + 1e-12)
    few = mincut.candidates(graph, costs, cuts=1)
    assert compute_bound_s(costs) * (1 - 1e-12) <= few.bound_s <= exact.candidates(graph, costs).bound_s * (1 + 1e-12)


def test_nothing_flows_back_from_the_cloud():
    # Without reverse edges the third node alone would be taken off the device: it is the one that is slow there.
    graph = graph_of(CHAIN, elements=dict.fromkeys(("x", "v0", "v1", "v2", "v3"), 8))
    costs = costs_of([1e-4, 1e-4, 1.0, 1e-4], [1.0, 1.0, 1e-4, 1.0], bandwidth=1e9)
    network = Network(Tally(graph, costs))
    mask, least_s = network.least(np.ones(3) / 3, 8, nobody(graph), nobody(graph))
    assert mask in (0b0011, 0b1111)
    assert 3 * least_s == pytest.approx(1.0, rel=1e-2)


def test_among_equal_cuts_the_one_with_the_fewest_nodes():
    # Every cut costs the same: a node takes as long on either side, and integers need no quantizer.
    graph = graph_of(CHAIN, dtypes=dict.fromkeys(("x", "v0", "v1", "v2", "v3"), "int64"))
    costs = costs_of([1e-3] * 4, [1e-3] * 4)
    network = Network(Tally(graph, costs))
    assert network.least(np.array([0.5, 0.0, 0.5]), 8, nobody(graph), nobody(graph))[0] == 0


def test_a_value_that_cannot_cross_is_never_cut():
    graph = graph_of(CHAIN, uncuttable={"x", "v1"})
    costs = costs_of([1.0] * 4, [1e-3] * 4, bandwidth=1e9)
    network = Network(Tally(graph, costs))
    device, cloud = nobody(graph), nobody(graph)
    assert network.closed(device, cloud)
    assert device.tolist() == [True, False, False, False]
    assert network.least(np.ones(3) / 3, 8, device, cloud)[0] == 0b0001
    assert not network.closed(nobody(graph), np.array([True, False, False, False]))
    device, cloud = np.array([False, True, False, False]), nobody(graph)
    assert network.closed(device, cloud)
    assert device.tolist() == [True, True, True, False]


def test_climbing_moves_one_node_at_a_time():
    graph = graph_of(CHAIN, elements=dict.fromkeys(("x", "v0", "v1", "v2", "v3"), 8))
    costs = costs_of([1e-3] * 4, [1e-3] * 4, bandwidth=1e9)
    improved, looked = climb(Tally(graph, costs), [0], 8, starts=1)
    assert improved[-1] == 0b0011
    assert looked == 1 + 1 + 2 + 2


def test_more_branches_than_can_be_listed():
    rng = np.random.default_rng(2)
    graph = graph_of_reads(parallel(6, 6), rng)
    costs = bench_costs(graph, rng, tensors=6)
    every, found = exact.candidates(graph, costs, limit=200_000), mincut.candidates(graph, costs)
    assert every.complete
    assert found.bound_s <= every.bound_s
    tally = Tally(graph, costs)
    for bits in BITS:
        assert tally.periods(found.masks, bits).min() <= tally.periods(every.masks, bits).min() * 1.02


def test_an_irreducible_graph_of_hundreds_of_nodes():
    rng = np.random.default_rng(6)
    graph = graph_of_reads(irreducible(300, rng), rng)
    costs = bench_costs(graph, rng, tensors=20)
    found = mincut.candidates(graph, costs)
    assert found == mincut.candidates(graph, costs), "not deterministic"
    assert all(graph.is_ideal(mask) for mask in found.masks)
    best_s = Tally(graph, costs).periods(found.masks, MIN_BITS).min()
    assert found.bound_s <= best_s <= found.bound_s * 1.01
