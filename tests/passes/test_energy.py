"""Energy of a task: by hand, monotone in every stage, and as a limit of the search against all partitions."""

from __future__ import annotations

import numpy as np
import pytest

from coachc.core.plan import MIN_BITS, UNQUANTIZED
from coachc.core.power import Power
from coachc.core.profile import Provenance
from coachc.passes.energy import joules
from coachc.passes.partition import Limits, search
from coachc.passes.timeline import from_stages, uniform_way, way_at
from coachc.planning.precisions import FixedPrecision
from tests.helpers.admissible import cuttable
from tests.helpers.graphs import CHAIN, costs_of, down_closed_subsets, graph_of, random_costs, random_graph

POWER = Power(2.0, 10.0, 1.0, Provenance("guess", "by hand"))
COSTS = costs_of([1.0] * 4, [1.0] * 4)


def test_by_hand():
    timeline = from_stages(0.5, 0.2, 0.1, 1000, COSTS)
    # 0.5 s at 10 W; the radio 0.2 s at 1 W; it waits no longer than it computes.
    assert joules(timeline, POWER) == pytest.approx(5.0 + 0.2)
    waits = from_stages(0.1, 0.5, 0.1, 1000, COSTS)
    assert joules(waits, POWER) == pytest.approx(0.1 * 10 + 0.4 * 2 + 0.5)


@pytest.mark.parametrize("stage", range(3))
def test_what_takes_longer_takes_no_less(stage):
    rng = np.random.default_rng(stage)
    for _ in range(100):
        times = rng.uniform(0, 1, 3)
        longer = times.copy()
        longer[stage] += rng.uniform(0, 1)
        before, after = (joules(from_stages(*map(float, one), 1, COSTS), POWER) for one in (times, longer))
        assert after >= before - 1e-12


@pytest.mark.parametrize("seed", range(30))
def test_a_limit_of_the_search_against_all_partitions(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, most=7)
    costs = random_costs(graph, rng)
    precision = FixedPrecision(graph, MIN_BITS)
    masks = [mask for mask in down_closed_subsets(graph) if cuttable(graph, mask) and mask != graph.full_mask]
    ways = [way_at(graph, mask, precision.known(mask), costs) for mask in masks]
    ways += [uniform_way(graph, mask, UNQUANTIZED, costs) for mask in masks]
    limit = float(np.quantile([joules(way.timeline, POWER) for way in ways], rng.uniform(0, 1)))
    limits = Limits(max_joules=limit, power=POWER)
    found = search(graph, costs, precision, limits=limits).best
    fitting = [way for way in ways if joules(way.timeline, POWER) <= limit]
    assert found is not None
    assert joules(found.timeline, POWER) <= limit
    assert found.timeline.period_s == pytest.approx(min(way.timeline.period_s for way in fitting))


def test_without_a_statement_of_power_nothing_is_limited():
    way = way_at(graph_of(CHAIN), 0, FixedPrecision(graph_of(CHAIN), 4).known(0), COSTS)
    assert not Limits(max_joules=1e-9).hungry(way)
    assert Limits(max_joules=1e-9, power=POWER).hungry(way)
    assert not Limits(max_joules=1e-9, power=POWER).admits(way)
