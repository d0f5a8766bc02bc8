"""Pareto labels: the optimum for every uniform number of bits, and the stated error when thinned."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.bench.search_benchmark import costs_of as bench_costs
from coachc.bench.search_benchmark import graph_of as graph_of_reads
from coachc.bench.search_benchmark import irreducible, parallel
from coachc.passes.candidates import exact, frontier
from coachc.passes.candidates.labels import ALL, NOTHING, PROPER, Labels, objects, pareto, thinned, undominated
from coachc.passes.candidates.tally import BITS, Tally
from tests.helpers.graphs import DIAMOND, costs_of, graph_of, random_costs, random_graph
from tests.helpers.searches import best_two, latency, period, random_series_parallel


def drawn(seed, stream):
    rng = np.random.default_rng([seed, stream])
    if seed % 2:
        graph = random_series_parallel(rng, most=14, cuttable=0.95)
    else:
        graph = random_graph(rng, most=11, source=seed % 4 == 0)
    return graph, random_costs(graph, rng)


@pytest.mark.parametrize("block", range(10))
def test_holds_the_optimum_for_every_number_of_bits(block):
    fewer = 0
    for seed in range(20 * block, 20 * block + 20):
        graph, costs = drawn(seed, 31)
        found, every = frontier.candidates(graph, costs), exact.candidates(graph, costs)
        assert found.complete
        assert found.epsilon == 0.0
        assert set(found.masks) <= set(every.masks), f"seed {seed}"
        assert {0, graph.full_mask} <= set(found.masks)
        assert found.bound_s == pytest.approx(every.bound_s, rel=1e-12, abs=1e-15), f"seed {seed}"
        for bits in BITS:
            where = f"seed {seed}, {bits} bits"
            expected = best_two(graph, every.masks, bits, costs)
            assert best_two(graph, found.masks, bits, costs) == pytest.approx(expected, rel=1e-9, abs=1e-15), where
            least_s = min(latency(graph, mask, bits, costs) for mask in every.masks)
            assert min(latency(graph, mask, bits, costs) for mask in found.masks) == pytest.approx(least_s), where
        fewer += len(found.masks) < len(every.masks)
    assert fewer


@pytest.mark.parametrize("block", range(4))
def test_holds_the_best_split_where_neither_all_nor_nothing_is_allowed(block):
    for seed in range(30 * block, 30 * block + 30):
        graph, costs = drawn(seed, 32)
        trivial = {0, graph.full_mask}
        every = set(exact.candidates(graph, costs).masks) - trivial
        found = set(frontier.candidates(graph, costs).masks) - trivial
        for bits in (2, 5, 8):
            least_s = min((period(graph, mask, bits, costs) for mask in every), default=np.inf)
            assert min((period(graph, mask, bits, costs) for mask in found), default=np.inf) == pytest.approx(
                least_s, rel=1e-12
            ), f"seed {seed}, {bits} bits"


@pytest.mark.parametrize("block", range(6))
def test_thinned_stays_within_its_stated_error(block):
    thinner = 0
    for seed in range(20 * block, 20 * block + 20):
        graph, costs = drawn(seed, 33)
        found, every = frontier.candidates(graph, costs, max_labels=3), exact.candidates(graph, costs)
        thinner += found.epsilon > 0
        assert found.bound_s <= every.bound_s * (1 + 1e-12), f"seed {seed}"
        for bits in BITS:
            best_s = best_two(graph, every.masks, bits, costs)[0]
            mine_s = best_two(graph, found.masks, bits, costs)[0]
            assert mine_s <= best_s * (1 + found.epsilon) * (1 + 1e-12), f"seed {seed}, {bits} bits"
    assert thinner


@pytest.mark.parametrize(("branches", "layers"), [(3, 4), (4, 6)])
def test_many_branches(branches, layers):
    rng = np.random.default_rng([branches, layers])
    graph = graph_of_reads(parallel(branches, layers), rng)
    costs = bench_costs(graph, rng, tensors=branches)
    every, found = exact.candidates(graph, costs), frontier.candidates(graph, costs)
    tally = Tally(graph, costs)
    for bits in BITS:
        least_s = tally.periods(every.masks, bits).min()
        assert tally.periods(found.masks, bits).min() == pytest.approx(least_s, rel=1e-12)
    assert len(found.masks) < len(every.masks) / 2


def test_a_prime_block_too_large_to_enumerate():
    rng = np.random.default_rng(3)
    graph = graph_of_reads(irreducible(24, rng, reach=5), rng)
    costs = bench_costs(graph, rng, tensors=6)
    every = exact.candidates(graph, costs)
    found = frontier.candidates(graph, costs, prime_limit=10)
    assert not found.complete
    assert found.bound_s <= every.bound_s
    assert set(found.masks) <= set(every.masks)
    assert frontier.candidates(graph, costs).complete


def test_a_fork_tensor_is_sent_once():
    # With the fork alone on the device v0 is read twice and sent once: 2000 bytes at 2 bits, and headers.
    sizes = {"x": 80000, "v0": 8000, "v1": 80000, "v2": 80000, "v3": 80000}
    graph = graph_of(DIAMOND, elements=sizes)
    costs = costs_of([1e-3, 9e-3, 9e-3, 1e-3, 1e-3], [1e-4] * 5, bandwidth=1e6, bytes_per_s=1e12)
    found = frontier.candidates(graph, costs)
    assert 0b00001 in found.masks
    assert found.bound_s == pytest.approx((2000 + 330 + 93) / 0.955e6)


class TestLabels:
    def test_pareto_keeps_the_first_of_equal_rows(self):
        costs = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0], [0.5, 9.0]])
        assert pareto(costs).tolist() == [0, 1, 4]
        assert pareto(np.zeros((0, 3))).tolist() == []

    @pytest.mark.parametrize("seed", range(20))
    def test_pareto_by_definition(self, seed):
        rng = np.random.default_rng(seed)
        costs = rng.integers(0, 6, (int(rng.integers(1, 300)), 3)).astype(float)
        kept = pareto(costs)
        for row in costs:
            assert (costs[kept] <= row).all(axis=1).any()
        for index in kept:
            others = costs[kept[kept != index]]
            assert not (others <= costs[index]).all(axis=1).any()

    def test_more_needs_cannot_beat_fewer(self):
        labels = Labels(
            np.array([[1.0], [2.0], [3.0], [0.0], [0.0]]),
            objects([1, 2, 3, 0, 7]),
            objects([0b11, 0b01, 0b101, 0b1, 0]),
            np.array([PROPER, PROPER, PROPER, NOTHING, ALL]),
        )
        # The third needs what the second does and costs more; nothing and all drop none and stay.
        assert undominated(labels).masks.tolist() == [1, 2, 0, 7]

    def test_thinning_states_its_error(self):
        rng = np.random.default_rng(1)
        costs = rng.uniform(0, 1, (500, 3))
        needs = objects(rng.integers(0, 2, 500).tolist())
        labels = Labels(costs, objects(list(range(500))), needs, np.zeros(500, dtype=int))
        offset = np.array([0.1, 0.0, 1.0])
        kept, error = thinned(labels, offset, most=50)
        assert len(kept) <= 50
        assert error > 0
        for cost, need in zip(costs, needs, strict=True):
            near = kept.costs[np.array([n == need for n in kept.needs])] + offset
            assert (near <= (cost + offset) * (1 + error) * (1 + 1e-12)).all(axis=1).any()
        assert thinned(labels, offset, most=500) == (labels, 0.0)
