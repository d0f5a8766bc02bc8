"""Every other system by its own objective, against brute force and against coachc's exact optimum."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.core.plan import UNQUANTIZED, BitPlan
from coachc.passes.baselines import dads, jps, neurosurgeon
from coachc.passes.baselines.costing import serial_s
from coachc.passes.timeline import uniform, uniform_way
from coachc.planning.compare import compare
from tests.helpers.graphs import down_closed_subsets, random_costs, random_graph

TICK = 1e-9
BITS = 4


def drawn(seed):
    rng = np.random.default_rng([seed, 77])
    graph = random_graph(rng, most=8)
    return graph, random_costs(graph, rng), rng


@pytest.mark.parametrize("seed", range(60))
def test_nobody_is_ahead_of_the_exact_optimum_and_the_mixture_is_not_behind_it(seed):
    graph, costs, _ = drawn(seed)
    masks = [
        mask
        for mask in down_closed_subsets(graph)
        if all(graph.values[name].cuttable for name in graph.cut_values(mask))
    ]
    precision = lambda mask, cut, most_bits: BitPlan(uniform(graph, cut, BITS))  # noqa: E731
    found = compare(graph, costs, precision, interval_s=1.0)
    table = {row.strategy.name: row for row in found.rows}
    best_s = min(
        uniform_way(graph, mask, bits, costs).timeline.period_s for mask in masks for bits in (BITS, UNQUANTIZED)
    )
    assert found.proven
    assert table["coachc, exact"].period_s == pytest.approx(best_s)
    assert table["coachc, mixture"].period_s <= best_s + TICK
    # SPINN sends 8 bits, no less than coachc's; mixtures are not single cuts.
    for name, row in table.items():
        assert len(row.strategy.parts) > 1 or row.period_s >= best_s - TICK, name
        assert len(row.strategy.parts) > 1 or row.gap >= -1e-9, name
    unquantized_s = min(uniform_way(graph, mask, UNQUANTIZED, costs).timeline.period_s for mask in masks)
    for name in (
        "Neurosurgeon, chain",
        "Neurosurgeon, topological",
        "DADS, light load (DSL)",
        "DADS, heavy load (DSH)",
    ):
        assert table[name].period_s >= unquantized_s - TICK, name
    for row in table.values():
        assert max(row.busy) == pytest.approx(1.0)
        assert sum(one.share for one in row.strategy.parts) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(60))
def test_the_min_cut_of_dads_is_the_least_sum_of_stages(seed):
    graph, costs, _ = drawn(seed)
    ideals = down_closed_subsets(graph)
    # The min cut knows nothing of a request's header, which every ideal but the full one pays once.
    header_s = costs.link.transfer_s(0)

    def sum_s(mask):
        return serial_s(uniform_way(graph, mask, UNQUANTIZED, costs).timeline) - (
            header_s if mask != graph.full_mask else 0
        )

    mask = dads.min_cut(graph, costs)
    assert graph.is_ideal(mask)
    assert sum_s(mask) == pytest.approx(min(map(sum_s, ideals)), rel=1e-5)


def test_the_published_graph_sends_data_back_to_the_device():
    wrong = [seed for seed in range(60) if not (d := drawn(seed))[0].is_ideal(dads.min_cut(*d[:2], closure=False))]
    assert wrong


@pytest.mark.parametrize("seed", range(30))
def test_jps_mixes_at_most_two_cuts_and_is_not_behind_a_single_one(seed):
    graph, costs, _ = drawn(seed)
    masks = down_closed_subsets(graph)

    def balance_s(strategy):
        return max(strategy.stage_s()[:2])

    mixed, single = jps.mix(graph, costs, masks), jps.single(graph, costs, masks)
    assert len(mixed.parts) <= 2
    assert balance_s(mixed) <= balance_s(single) + TICK


def test_neurosurgeon_on_a_chain_sends_one_tensor():
    for seed in range(20):
        graph, costs, _ = drawn(seed)
        (only,) = neurosurgeon.chain(graph, costs, down_closed_subsets(graph)).parts
        assert only.way.mask == graph.full_mask or len(only.way.bits.quantizers) == 1
