"""Mixed plans: against every triple of nested cuts blended in closed form, and against the simulated stream."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from coachc.core.plan import MAX_BITS, UNQUANTIZED, BitPlan, Rejected, Way
from coachc.passes.half_memory import half_memory
from coachc.passes.mixture import best_mixture, search_mixture
from coachc.passes.partition import Limits
from coachc.passes.strategy import Part, Strategy, saturated
from coachc.passes.timeline import from_stages, uniform, uniform_way
from tests.helpers.admissible import NONE, Admissible, cuttable, period_s, stage_seconds
from tests.helpers.graphs import CHAIN, costs_of, down_closed_subsets, graph_of, random_costs, random_graph

TICK = 1e-9
NO_LIMITS = Limits()


def drawn(seed, *, most=6):
    rng = np.random.default_rng([seed, 31])
    graph = random_graph(rng, most=most)
    return graph, random_costs(graph, rng), Admissible(graph, rng)


def latency_s(graph, mask, stages, costs):
    return sum(stages) + (costs.link.rtt_s if mask != graph.full_mask else 0.0)


def admissible(graph, costs, bits, limits=NO_LIMITS):
    """(mask, stage seconds) of every way to run the model: each cut at its bits, and as it is."""
    found = []
    for mask in down_closed_subsets(graph):
        most = limits.device_memory_bytes
        if not cuttable(graph, mask) or (most is not None and half_memory(graph, mask, 4).total_bytes > most):
            continue
        for chosen in {bits[mask], UNQUANTIZED} - {NONE}:
            stages = stage_seconds(graph, mask, chosen, costs)
            if limits.max_latency_s is None or latency_s(graph, mask, stages, costs) <= limits.max_latency_s:
                found.append((mask, (stages[0], stages[1], stages[2] / costs.workers)))
    return found


def least_blend_s(ways):
    """Least maximum of the mean stages over all blends of up to three nested ways.

    One way: its longest stage. Two: the ends, or a share that makes two stages equal. Three: the one blend that makes
    all stages equal; where the optimum is none of these, a blend of fewer ways is as good.
    """
    masks, times = [mask for mask, _ in ways], np.array([stages for _, stages in ways])
    best_s = float(times.max(axis=1).min())
    pairs = itertools.combinations(range(len(ways)), 2)
    nested = {(i, j) for i, j in pairs if masks[i] & masks[j] in (masks[i], masks[j])}
    for i, j in nested:
        for p, q in ((0, 1), (0, 2), (1, 2)):
            gap_i, gap_j = times[i, p] - times[i, q], times[j, p] - times[j, q]
            if gap_i * gap_j < 0:
                share = gap_j / (gap_j - gap_i)
                best_s = min(best_s, float(max(share * times[i] + (1 - share) * times[j])))
    triples = itertools.combinations(range(len(ways)), 3)
    triples = [three for three in triples if nested.issuperset(itertools.combinations(three, 2))]
    if triples:
        blocks = times[np.array(triples)]
        # Shares are orthogonal to both differences of stages.
        shares = np.cross(blocks[..., 0] - blocks[..., 1], blocks[..., 1] - blocks[..., 2])
        total = shares.sum(axis=1, keepdims=True)
        shares = np.divide(shares, total, out=np.full_like(shares, -1.0), where=abs(total) > 1e-30)
        inside = (shares >= 0).all(axis=1)
        means = np.einsum("nk,nks->ns", shares[inside], blocks[inside])
        best_s = min(best_s, float(means.max(axis=1).min(initial=np.inf)))
    return best_s


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force_over_nested_triples(block):
    mixed = 0
    for seed in range(30 * block, 30 * block + 30):
        graph, costs, precision = drawn(seed)
        masks = down_closed_subsets(graph)
        found = search_mixture(graph, costs, masks, precision, limits=NO_LIMITS)
        least_s = least_blend_s(admissible(graph, costs, precision.bits))
        assert found.period_s(costs.server_share) == pytest.approx(least_s, rel=1e-6, abs=TICK), f"seed {seed}"
        assert found.note == "least mean period over nested cuts"
        assert sum(one.share for one in found.parts) == pytest.approx(1.0)
        assert len(found.parts) <= 3, f"seed {seed}"
        masks = [one.way.mask for one in found.parts]
        assert all(a & b in (a, b) for a, b in itertools.combinations(masks, 2))
        asked = [mask for mask, _ in precision.asked]
        assert len(asked) == len(set(asked)), f"seed {seed}"
        assert {most for _, most in precision.asked} <= {MAX_BITS}
        for one in found.parts:
            packed = {q.bits for q in one.way.bits.quantizers if q.codec == "packed"}
            assert packed <= {precision.bits[one.way.mask]}, f"seed {seed}"
            stages = stage_seconds(graph, one.way.mask, packed.pop() if packed else UNQUANTIZED, costs)
            shown = one.way.timeline
            assert (shown.device_s, shown.link_s, shown.cloud_s) == pytest.approx(stages)
        mixed += len(found.parts) > 1
    assert mixed > 10


@pytest.mark.parametrize("seed", range(40))
def test_every_part_keeps_the_limits(seed):
    graph, costs, precision = drawn(seed)
    rng = np.random.default_rng([seed, 32])
    every = admissible(graph, costs, precision.bits)
    latencies = sorted(latency_s(graph, mask, (d, t, c * costs.workers), costs) for mask, (d, t, c) in every)
    # Between two of those that occur, so that no rounding decides; sometimes below all of them.
    place = int(rng.integers(0, len(latencies)))
    limit_s = (latencies[place] + ([0.0, *latencies])[place]) / 2
    memory = half_memory(graph, graph.full_mask, 4).total_bytes * rng.choice([0.5, 1.0])
    limits = Limits(limit_s, int(memory))
    ways = admissible(graph, costs, precision.bits, limits)
    found = search_mixture(graph, costs, down_closed_subsets(graph), precision, limits=limits)
    assert (found is None) == (not ways)
    if found is not None:
        assert found.period_s(costs.server_share) == pytest.approx(least_blend_s(ways), rel=1e-6, abs=TICK)
        for one in found.parts:
            assert one.way.timeline.latency_s <= limit_s
            assert half_memory(graph, one.way.mask, 4).total_bytes <= memory


def test_nothing_admissible_is_none():
    graph, costs = graph_of(CHAIN), costs_of([1] * 4, [1] * 4)
    masks = down_closed_subsets(graph)
    plain = lambda mask, cut, most: BitPlan(uniform(graph, cut, 8))  # noqa: E731
    assert search_mixture(graph, costs, masks, plain, limits=Limits(0.0)) is None
    assert search_mixture(graph, costs, [], plain, limits=NO_LIMITS) is None
    # Rejected everywhere: tensors as they are and the whole model on the device are left.
    rejected = lambda mask, cut, most: Rejected("cut", "too much is lost")  # noqa: E731
    found = search_mixture(graph, costs, masks, rejected, limits=NO_LIMITS)
    assert all(q.codec == "raw" for one in found.parts for q in one.way.bits.quantizers)


@pytest.mark.parametrize("seed", range(40))
def test_the_simulated_period_is_the_mixtures(seed):
    graph, costs, precision = drawn(seed)
    found = search_mixture(graph, costs, down_closed_subsets(graph), precision, limits=NO_LIMITS)
    expected_s = found.period_s(costs.server_share)
    assert saturated(found, costs).steady_period_s == pytest.approx(expected_s, rel=0.02)


def test_a_rare_part_is_simulated_often_enough():
    costs = costs_of([], [], rtt_s=1.0)
    alone, sent = from_stages(1.01, 0.0, 0.0, 0, costs), from_stages(0.0, 100.0, 0.1, 0, costs)
    ways = [(0.99, Way("split", 0b1, BitPlan(()), alone)), (0.01, Way("split", 0, BitPlan(()), sent))]
    mixed = Strategy("by hand", tuple(Part(share, way) for share, way in ways), "")
    assert mixed.period_s() == pytest.approx(1.0)
    # 200 tasks hold the rare part twice: one more or less in the window is half of it.
    assert saturated(mixed, costs, 200).steady_period_s != pytest.approx(1.0, rel=0.1)
    assert saturated(mixed, costs).steady_period_s == pytest.approx(1.0, rel=0.02)


def test_three_cuts_by_hand():
    costs = costs_of([], [])
    # Each cut loads one stage only.
    stages = {0b00: (0.0, 3.0, 0.0), 0b01: (0.0, 0.0, 3.0), 0b11: (3.0, 0.0, 0.0)}
    parts = [Way("split", mask, BitPlan(()), from_stages(*times, 0, costs)) for mask, times in stages.items()]
    found = best_mixture(parts, costs)
    assert {one.way.mask: one.share for one in found.parts} == pytest.approx(dict.fromkeys(stages, 1 / 3))
    assert found.period_s() == pytest.approx(1.0)
    # With two workers the cloud bears twice as many tasks as the others.
    found = best_mixture(parts, costs_of([], [], workers=2))
    assert {one.way.mask: one.share for one in found.parts} == pytest.approx({0b00: 0.25, 0b01: 0.5, 0b11: 0.25})
    assert found.period_s(2.0) == pytest.approx(0.75)


@pytest.mark.parametrize("seed", range(30))
def test_a_mixture_is_nested_and_no_blend_of_nested_cuts_on_a_grid_is_better(seed):
    graph, costs, _ = drawn(seed, most=8)
    parts = [uniform_way(graph, mask, 4, costs) for mask in down_closed_subsets(graph)]
    mixed = best_mixture(parts, costs)
    masks = [one.way.mask for one in mixed.parts]
    assert len(masks) <= 3
    assert all(a & b in (a, b) for a in masks for b in masks)
    times = {
        p.mask: np.array([p.timeline.device_s, p.timeline.link_s, p.timeline.cloud_s / costs.workers]) for p in parts
    }
    grid = np.linspace(0, 1, 11)
    least_s = min(
        float(max(share * times[a] + (1 - share) * times[b]))
        for a in times
        for b in times
        if a & b in (a, b)
        for share in grid
    )
    assert mixed.period_s(costs.server_share) <= least_s + TICK


def test_few_programs_are_said_to_be_the_best_found():
    # Cuts after different branches are not nested; the first program mixes them.
    graph = graph_of(["x", "x", "v0 v1"])
    costs = costs_of([], [])
    times = {0b001: (2.0, 0.0, 0.0), 0b010: (0.0, 2.0, 0.0), 0b011: (1.9, 1.9, 0.0)}
    parts = [Way("split", mask, BitPlan(()), from_stages(*stages, 0, costs)) for mask, stages in times.items()]
    assert all(graph.is_ideal(mask) for mask in times)
    found = best_mixture(parts, costs)
    assert [one.way.mask for one in found.parts] == [0b011]
    assert found.note == "least mean period over nested cuts"
    hurried = best_mixture(parts, costs, max_programs=1)
    assert hurried.note == "least mean period over nested cuts, best found"
    assert period_s(hurried.stage_s(), costs) == pytest.approx(1.9)
