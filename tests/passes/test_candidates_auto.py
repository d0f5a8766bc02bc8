"""Which method is taken, and what it may claim."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.bench.search_benchmark import costs_of as bench_costs
from coachc.bench.search_benchmark import graph_of as graph_of_reads
from coachc.bench.search_benchmark import irreducible, parallel
from coachc.core.plan import MIN_BITS
from coachc.passes.candidates import auto, exact, frontier, mincut
from coachc.passes.candidates.tally import Tally
from tests.helpers.graphs import random_costs, random_graph


def bench(reads, seed=1, *, tensors=6):
    rng = np.random.default_rng(seed)
    graph = graph_of_reads(reads, rng)
    return graph, bench_costs(graph, rng, tensors=tensors)


def test_all_ideals_where_they_can_be_listed():
    graph, costs = bench(parallel(3, 4))
    assert auto.candidates(graph, costs) == exact.candidates(graph, costs)


def test_labels_where_they_can_be_merged():
    graph, costs = bench(parallel(4, 6))
    found = auto.candidates(graph, costs, limit=1000)
    assert found == frontier.candidates(graph, costs)
    assert found.complete
    assert found.bound_s == pytest.approx(exact.candidates(graph, costs).bound_s)


def test_min_cuts_where_a_block_is_neither(monkeypatch):
    monkeypatch.setattr(frontier, "MAX_PRIME", 100)
    graph, costs = bench(irreducible(40, np.random.default_rng(1), reach=5))
    assert auto.candidates(graph, costs, limit=100) == mincut.candidates(graph, costs)


def test_a_coarse_frontier_is_joined_with_min_cuts():
    graph, costs = bench(parallel(4, 8))
    found = auto.candidates(graph, costs, limit=1000, max_labels=10)
    assert found.method == "frontier"
    assert found.epsilon > auto.MAX_EPSILON
    assert set(mincut.candidates(graph, costs).masks) <= set(found.masks)
    least_s = exact.candidates(graph, costs).bound_s
    best_s = Tally(graph, costs).periods(found.masks, MIN_BITS).min()
    assert mincut.candidates(graph, costs).bound_s <= found.bound_s <= least_s * (1 + 1e-12) <= best_s * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_every_method_gives_ideals_and_a_bound(seed):
    rng = np.random.default_rng([seed, 51])
    graph = random_graph(rng)
    costs = random_costs(graph, rng)
    every = exact.candidates(graph, costs)
    for method in auto.METHODS:
        found = auto.candidates(graph, costs, method)
        assert found.method == method
        assert {0, graph.full_mask} <= set(found.masks) <= set(every.masks)
        assert found.masks == tuple(sorted(set(found.masks), key=lambda m: (m.bit_count(), m)))
        assert found.bound_s <= every.bound_s * (1 + 1e-12)
        assert found == auto.candidates(graph, costs, method)
    # The gap of the paper's recursion is to the optimum, not to what it knows itself.
    assert auto.candidates(graph, costs, "recursive").bound_s == pytest.approx(every.bound_s)


def test_only_a_list_of_all_is_complete_under_the_papers_objective():
    graph, costs = bench(parallel(3, 3))
    for method in auto.METHODS:
        found = auto.candidates(graph, costs, method, objective="paper-eq6")
        assert found.complete == (method == "exact")


def test_an_unknown_method():
    graph, costs = bench(parallel(2, 2))
    with pytest.raises(ValueError, match="unknown method 'best', expected one of auto, exact, recursive"):
        auto.candidates(graph, costs, "best")
