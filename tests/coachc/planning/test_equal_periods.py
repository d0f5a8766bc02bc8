"""Periods that differ by less than profiles are accurate count as equal: then latency decides, against all ways."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.jpeg import JpegCost
from coachc.core.plan import MIN_BITS, UNQUANTIZED, Accuracy
from coachc.core.profile import Provenance
from coachc.passes.cluster import cluster
from coachc.passes.timeline import TIE_ESTIMATED, TIE_MEASURED, uniform_way, way_at
from coachc.planning.calibration import Calibration
from coachc.planning.decide import jpeg_way
from coachc.planning.make_plan import make_plan
from coachc.planning.precisions import FixedPrecision
from coachc.planning.problem import Problem
from tests.helpers.admissible import cuttable
from tests.helpers.explained import NO_LIMITS
from tests.helpers.graphs import down_closed_subsets, random_costs, random_graph

KEPT = Accuracy("labels", 0.9, 0.9, 1000, 0.0, 0.001, certified=True)


def with_kind(costs, kind):
    sides = {
        name: dataclasses.replace(getattr(costs, name), provenance=Provenance(kind, "by hand"))
        for name in ("device", "cloud")
    }
    return dataclasses.replace(costs, **sides)


@pytest.mark.parametrize(("kind", "tie"), [("measured", TIE_MEASURED), ("guess", TIE_ESTIMATED)])
def test_the_plan_answers_soonest_of_all_that_are_as_fast(kind, tie):
    """Against every partition of random graphs, at 2 bits and as it is."""
    later, pictures = 0, 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 7])
        graph = random_graph(rng, most=8)
        costs = with_kind(random_costs(graph, rng), kind)
        problem = Problem(None, graph, cluster(graph), costs)
        precision = FixedPrecision(graph, MIN_BITS)
        # From a tenth to four times the input's time, proven, so that a picture counts where it is soon enough.
        jpeg = JpegCost(
            round(graph.values[graph.inputs[0]].size_bytes * 4 ** rng.uniform(-2, 1)),
            1e-9,
            1e-9,
            KEPT,
            seed % 3 > 0,
            "by hand",
        )
        calibration = Calibration("none", precision, None, jpeg, None)
        way = make_plan(problem, calibration, NO_LIMITS).plan.way
        masks = [mask for mask in down_closed_subsets(graph) if cuttable(graph, mask) or mask == graph.full_mask]
        ways = [uniform_way(graph, mask, UNQUANTIZED, costs) for mask in masks]
        ways += [way_at(graph, mask, precision.known(mask), costs) for mask in masks if mask != graph.full_mask]
        ways += [jpeg_way(jpeg, costs)] if jpeg.keeps_budget else []
        shortest_s = min(one.timeline.period_s for one in ways)
        tied = [one for one in ways if one.timeline.period_s <= shortest_s * (1 + tie)]
        soonest_s = min(one.timeline.latency_s for one in tied)
        assert way.timeline.period_s <= shortest_s * (1 + tie) + 1e-12, f"seed {seed}"
        assert way.timeline.latency_s == pytest.approx(soonest_s, rel=1e-9), f"seed {seed}"
        pictures += way.mode == "cloud-jpeg"
        later += way.timeline.period_s > shortest_s * (1 + 1e-9)
    assert later, "no tie ever gave way to a lower latency"
    assert pictures, "a picture was never the best"
