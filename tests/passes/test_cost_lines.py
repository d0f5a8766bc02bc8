"""The parts of every stage add up to it, for every partition of random graphs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coachc.calib.jpeg import JpegCost
from coachc.core.plan import UNQUANTIZED, BitPlan, Way
from coachc.passes.cost_lines import cost_lines
from coachc.passes.timeline import uniform, uniform_way, way_at
from coachc.planning.decide import jpeg_way
from coachc.runtime.bundle.manifest_types import Layout
from tests.helpers.admissible import cuttable
from tests.helpers.graphs import down_closed_subsets, random_costs, random_graph


def added(lines, stage):
    return sum(line.seconds for line in lines if line.stage == stage)


def check(graph, way, costs):
    lines, timeline = cost_lines(graph, way, costs), way.timeline
    for stage, seconds in (("device", timeline.device_s), ("link", timeline.link_s), ("cloud", timeline.cloud_s)):
        assert added(lines, stage) == pytest.approx(seconds, rel=1e-9, abs=1e-15)
    assert sum(line.seconds for line in lines) == pytest.approx(timeline.latency_s, rel=1e-9)
    assert all(line.seconds >= 0 for line in lines)


@pytest.mark.parametrize("block", range(4))
def test_every_part_of_every_partition(block):
    for seed in range(10 * block, 10 * block + 10):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng, most=7)
        costs = dataclasses.replace(random_costs(graph, rng), devices=int(rng.integers(1, 4)), workers=2)
        for mask in down_closed_subsets(graph):
            if not cuttable(graph, mask) and mask != graph.full_mask:
                continue
            for bits in (UNQUANTIZED, 4):
                check(graph, uniform_way(graph, mask, bits, costs), costs)
            if mask != graph.full_mask:
                quantizers = uniform(graph, graph.cut_values(mask), 3)
                layouts = (Layout("bytes", (), "huffman"),) * len(quantizers)
                check(graph, way_at(graph, mask, BitPlan(quantizers, None, layouts, 123.5), costs), costs)


def test_a_picture():
    rng = np.random.default_rng(1)
    graph = random_graph(rng, most=5)
    costs = random_costs(graph, rng)
    jpeg = JpegCost(2000, 0.001, 0.002, None, False, "by hand")
    check(graph, jpeg_way(jpeg, costs), costs)
    said = {line.what: line for line in cost_lines(graph, jpeg_way(jpeg, costs), costs)}
    assert said["encode the picture"].seconds == pytest.approx(0.001)
    assert said["decode the picture"].seconds == pytest.approx(0.002)
    assert said["tensors"].note == "2,000 bytes"


def test_what_is_said_beside_the_figures():
    rng = np.random.default_rng(2)
    graph = random_graph(rng, most=5)
    costs = random_costs(graph, rng)
    way: Way = uniform_way(graph, 0, 8, costs)
    notes = {line.what: line.note for line in cost_lines(graph, way, costs)}
    assert notes["HTTP and JSON headers"] == "422 bytes"
    assert notes["TCP and IP headers"] == "4.5% of the wire"
    assert list(dict.fromkeys(line.stage for line in cost_lines(graph, way, costs)))[:3] == ["device", "link", "cloud"]
