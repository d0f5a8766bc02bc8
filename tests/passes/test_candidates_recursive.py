"""The paper's recursion: never better than exact, exact for sums, linear in branches and layers."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.bench.search_benchmark import graph_of, parallel
from coachc.passes.candidates import exact, recursive
from coachc.passes.candidates.candidate_masks import boundaries
from coachc.passes.candidates.tally import BITS
from coachc.passes.cluster import cluster
from coachc.passes.objective import key
from tests.helpers.graphs import costs_of, random_costs, random_graph
from tests.helpers.searches import best_two, period, random_series_parallel, stages


@pytest.mark.parametrize("block", range(10))
def test_never_better_than_exact(block):
    gaps = []
    for seed in range(20 * block, 20 * block + 20):
        rng = np.random.default_rng([seed, 21])
        graph = random_series_parallel(rng, cuttable=0.95) if seed % 2 else random_graph(rng, most=10)
        costs = random_costs(graph, rng)
        found, every = recursive.candidates(graph, costs), exact.candidates(graph, costs)
        assert set(found.masks) <= set(every.masks), f"seed {seed}"
        assert set(boundaries(cluster(graph).chain)) <= set(found.masks), f"seed {seed}"
        assert not found.complete
        assert found.bound_s <= every.bound_s + 1e-12, f"seed {seed}"
        for bits in BITS:
            best_s = best_two(graph, every.masks, bits, costs)[0]
            gaps.append(best_two(graph, found.masks, bits, costs)[0] - best_s)
    assert min(gaps) >= -1e-15
    # At the bits of the sweep it is nearly always exact on graphs this small.
    assert sum(gap < 1e-12 for gap in gaps) > 0.8 * len(gaps)


def total_s(graph, mask, bits, costs):
    """The sum of the stages; a value that cannot cross counts before any time."""
    device_s, link_s, cloud_s, _ = stages(graph, mask, bits, costs)
    return device_s + link_s + cloud_s


@pytest.mark.parametrize("block", range(10))
def test_exact_for_the_sum_of_the_stages(block):
    """Formulation 9.5: branches are separable once it is fixed whether the tensor at the fork is sent."""
    for seed in range(30 * block, 30 * block + 30):
        rng = np.random.default_rng([seed, 22])
        graph = random_series_parallel(rng)
        costs = random_costs(graph, rng)
        bits = int(rng.integers(2, 9))
        found = recursive.candidates(
            graph, costs, bits=bits, score=lambda t, mask: (t.device_s + t.link_s + t.cloud_s,)
        )
        every = exact.candidates(graph, costs)
        least_s = min(total_s(graph, mask, bits, costs) for mask in every.masks)
        assert min(total_s(graph, mask, bits, costs) for mask in found.masks) == pytest.approx(least_s, rel=1e-12), (
            f"seed {seed}"
        )


@pytest.mark.parametrize("branches", [2, 4, 8, 16])
@pytest.mark.parametrize("layers", [1, 5, 20])
def test_evaluations_are_linear_in_branches_and_layers(branches, layers):
    rng = np.random.default_rng([branches, layers])
    graph = graph_of(parallel(branches, layers), rng)
    count = len(graph.nodes)
    costs = costs_of(rng.uniform(0, 1e-3, count), rng.uniform(0, 2e-4, count))
    found = recursive.candidates(graph, costs)
    # Boundaries, and from either start c + 1 positions of each branch, of which starts and ends repeat.
    assert branches * layers <= found.seen <= 4 + 2 * branches * (layers + 1)


def test_keeps_two_partitions_of_each_virtual_block_at_most():
    graph = graph_of(parallel(5, 6), np.random.default_rng(5))
    count = len(graph.nodes)
    found = recursive.candidates(graph, costs_of([1e-3] * count, [2e-4] * count))
    assert len(found.masks) <= len(boundaries(cluster(graph).chain)) + 2


def test_a_prime_block_is_enumerated_or_followed_in_order():
    rng = np.random.default_rng(9)
    for seed in range(200):
        rng = np.random.default_rng([seed, 23])
        graph = random_graph(rng, most=9)
        chain = cluster(graph).chain
        if any(block.kind == "virtual" for block in chain) or not any(block.kind == "prime" for block in chain):
            continue
        costs = random_costs(graph, rng)
        found = recursive.candidates(graph, costs, bits=4)
        every = exact.candidates(graph, costs)
        assert best_two(graph, found.masks, 4, costs) == pytest.approx(best_two(graph, every.masks, 4, costs))
        some = recursive.candidates(graph, costs, bits=4, prime_limit=2)
        assert some.seen <= len(graph.nodes) + 1
        return
    pytest.fail("no prime graph among the seeds")


@pytest.mark.parametrize("objective", ["exact", "latency", "paper-eq6"])
def test_takes_any_objective(objective):
    rng = np.random.default_rng(4)
    graph = random_series_parallel(rng)
    costs = random_costs(graph, rng)
    by_name = recursive.candidates(graph, costs, objective=objective)
    assert by_name == recursive.candidates(graph, costs, score=lambda t, mask: key(t, mask, objective))
    assert all(graph.is_ideal(mask) for mask in by_name.masks)
    assert min(period(graph, mask, 4, costs) for mask in by_name.masks) > 0
