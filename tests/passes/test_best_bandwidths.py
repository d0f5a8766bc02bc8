"""The bandwidths at which the best cut changes, against the least period at each of many bandwidths."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from coachc.passes.best_bandwidths import best_ranges
from coachc.passes.timeline import from_stages, uniform_way
from tests.helpers.graphs import costs_of, down_closed_subsets, random_costs, random_graph


@pytest.mark.parametrize("seed", range(40))
def test_at_every_bandwidth_the_range_names_a_cut_of_least_period(seed):
    rng = np.random.default_rng([seed, 41])
    graph = random_graph(rng, most=8)
    costs = random_costs(graph, rng)
    masks = down_closed_subsets(graph)
    found = best_ranges([uniform_way(graph, mask, 4, costs).timeline for mask in masks], costs)
    assert (found[0].high_bytes_per_s, found[-1].low_bytes_per_s) == (float("inf"), 0.0)
    assert all(a.low_bytes_per_s == b.high_bytes_per_s for a, b in itertools.pairwise(found))
    for rate in 10 ** rng.uniform(3, 10, 50):
        link = dataclasses.replace(costs.link, bandwidth_bytes_per_s=float(rate))
        here = dataclasses.replace(costs, link=link)
        periods = [uniform_way(graph, mask, 4, here).timeline.period_s for mask in masks]
        (named,) = [r.option for r in found if r.low_bytes_per_s <= rate < r.high_bytes_per_s]
        assert periods[named] == pytest.approx(min(periods), rel=1e-9), f"seed {seed}, {rate:.0f} bytes/s"


def test_by_hand():
    costs = costs_of([], [], bandwidth=1000.0)
    # On the device 4 s; 1 s of computing and 1000 bytes; 2 s and 300 bytes; 2 s and 400 bytes, which is never best.
    timelines = [from_stages(*stages, 0, costs) for stages in ((4, 0, 0), (1, 1, 0.5), (2, 0.3, 1), (2, 0.4, 0))]
    assert [(r.option, r.low_bytes_per_s, r.high_bytes_per_s) for r in best_ranges(timelines, costs)] == [
        (1, 500.0, float("inf")),
        (2, 75.0, 500.0),
        (0, 0.0, 75.0),
    ]
