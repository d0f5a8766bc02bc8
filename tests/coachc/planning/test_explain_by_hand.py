"""Explanations of a chain whose numbers are worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest

from coachc.core.operations import STAGES
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, BitPlan, Rejected, quantizer_for
from coachc.passes.cluster import cluster
from coachc.passes.partition import Limits
from coachc.passes.timeline import stage_times
from coachc.planning.calibration import Calibration
from coachc.planning.explain import explain
from coachc.planning.make_plan import make_plan
from coachc.planning.precisions import FixedPrecision
from coachc.planning.problem import Problem
from tests.helpers.explained import NO_LIMITS, Measured
from tests.helpers.graphs import CHAIN, costs_of, down_closed_subsets, graph_of


def eight_bits(cut):
    return BitPlan(tuple(quantizer_for(GRAPH.values[name], MAX_BITS) for name in cut))


GRAPH = graph_of(CHAIN, elements={"x": 4000, "v0": 8000, "v1": 800, "v2": 80})


def explained(costs, bits, *, limits=NO_LIMITS, graph=GRAPH, **options):
    """Plan and explanation of the chain, with the bits that each mask needs."""

    def source(mask, cut, most_bits):
        if bits.get(mask, MIN_BITS) > most_bits:
            return Rejected("cut at " + ", ".join(cut), f"more than 1.00% accuracy is lost at {most_bits} bits")
        return BitPlan(tuple(quantizer_for(graph.values[name], bits.get(mask, MIN_BITS)) for name in cut))

    problem = Problem(None, graph, cluster(graph), costs)
    precision = Measured(problem, source)
    calibration = Calibration("labels", precision, None, None, precision)
    plan = make_plan(problem, calibration, limits).plan
    masks = [(1 << count) - 1 for count in range(len(graph.nodes) + 1)]
    found = explain(problem, plan, masks, precision=precision, limits=limits, **options)
    return plan, {option.way.mask: option for option in found.runners_up}, found


def test_reasons_by_hand():
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=1e6, bytes_per_s=1e12)
    # 4000 samples of 2 bits would take 1.49 ms, of 8 bits 4.63 ms: the device's 4 ms for the first operator win.
    plan, options, _ = explained(costs, {0: 8, 1: 2})
    assert plan.way.mask == 0b0001
    assert options[0].binds == "accuracy"
    assert options[0].reason == "needs 8 bits to keep the accuracy budget; at 2 its period would be 4.00 ms"
    assert (options[0b0011].binds, options[0b0011].reason) == ("device", "device busy for 8.00 ms a task")
    assert (options[0b1111].way.mode, options[0b1111].reason) == ("device-only", "device busy for 16.00 ms a task")


def test_a_rejected_cut_is_left_with_its_tensors_as_they_are():
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=1e6, bytes_per_s=1e12)
    _, options, _ = explained(costs, {0: 9, 1: 9})
    assert options[0].binds == "accuracy"
    assert options[0].reason == "more than 1.00% accuracy is lost at 8 bits"
    assert (options[0].way.bits.fewest, options[0].known, options[0].possible) == (32, True, True)
    assert options[0].way.timeline == stage_times(GRAPH, 0, (quantizer_for(GRAPH.values["x"], UNQUANTIZED),), costs)
    # With a hundred times the rate it is the plan all the same.
    fast = dataclasses.replace(costs, link=dataclasses.replace(costs.link, bandwidth_bytes_per_s=1e8))
    plan, _, found = explained(fast, {0: 9, 1: 9})
    assert (plan.way.mask, plan.way.bits.quantizers[0].codec) == (0, "raw")
    assert (found.moves[0].option.way.mask, found.moves[0].option.way.timeline) == (0, plan.way.timeline)


def test_limits_by_hand():
    graph = graph_of(CHAIN, elements={"x": 4000, "v0": 8000, "v1": 800, "v2": 80}, uncuttable={"v0"})
    graph = dataclasses.replace(
        graph,
        nodes=tuple(
            dataclasses.replace(n, work=dataclasses.replace(n.work, weight_elements=2**19)) for n in graph.nodes
        ),
    )
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=1e6, bytes_per_s=1e12)
    plan, options, found = explained(costs, {}, graph=graph, limits=Limits(0.013, 7 << 20))
    assert plan.way.mask == 0
    assert (options[0b0111].binds, options[0b0111].reason) == (
        "latency", "answers after 13.5 ms, the limit is 13.0 ms",
    )  # fmt: skip
    # The limit is that of the split device half: the whole model is not refused here.
    assert 0b0001 not in options, "v0 has no static shape"
    assert [(region.first, region.last, region.binds) for region in found.regions][:2] == [
        ("input", "input", "cloud"), ("n0", "n0", "shape"),
    ]  # fmt: skip
    _, options, _ = explained(costs, {}, graph=graph, limits=Limits(None, 5 << 20))
    assert (options[0b0111].binds, options[0b0111].reason) == (
        "memory", "needs 6 MiB on the device, which has 5 MiB",
    )  # fmt: skip
    assert not options[0b0111].possible


@pytest.mark.parametrize(("gain", "mode"), [(0.005, "device-only"), (0.04, "split")])
def test_a_server_has_to_gain_more_than_a_tie_at_every_bandwidth(gain, mode):
    # The last operator takes `gain` of the device's time, and its input is a single value.
    graph = graph_of(CHAIN, elements={"x": 10**9, "v0": 10**9, "v1": 10**9, "v2": 8})
    costs = costs_of([0.01, 0.01, 0.01, 0.03 * gain / (1 - gain)], [1e-5] * 4, bandwidth=1e6, bytes_per_s=1e15)
    plan, _, found = explained(costs, {}, graph=graph)
    assert plan.way.mode == mode
    named = [move.option for move in found.moves if move.low_bytes_per_s <= 1e6 < move.high_bytes_per_s]
    assert [option.way.mode for option in named] == [mode]
    assert ("split" in {move.option.way.mode for move in found.moves if move.option.way.mask == 0b0111}) == (
        mode == "split"
    )
    assert found.moves[-1].option.way.mode == "device-only"


def test_a_refined_plan_is_shown_as_it_is():
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=2e5, bytes_per_s=1e12)
    problem = Problem(None, GRAPH, cluster(GRAPH), costs)
    precision = Measured(problem, lambda m, cut, most: eight_bits(cut) if most == MAX_BITS else Rejected("cut", "no"))
    plan = make_plan(problem, Calibration("labels", precision, None, None, precision), NO_LIMITS).plan
    assert (plan.way.mask, plan.way.bits.quantizers[0].bits) == (0b0011, 8)
    # Five bits for the same cut once it was refined, and a quarter of its bytes coded away.
    refined = BitPlan((quantizer_for(GRAPH.values["v1"], 5),), coded_bytes=375.0)
    timeline = stage_times(GRAPH, plan.way.mask, refined.quantizers, costs, refined)
    plan = dataclasses.replace(plan, way=dataclasses.replace(plan.way, bits=refined, timeline=timeline))
    found = explain(problem, plan, down_closed_subsets(GRAPH), precision=precision, limits=NO_LIMITS)
    (here,) = [
        move.option
        for move in found.moves
        if move.option.way.mask == plan.way.mask and move.option.way.bits.fewest != 32
    ]
    assert (here.way.bits.fewest, here.known, here.way.timeline) == (5, True, timeline)
    assert plan.way.mask not in [option.way.mask for option in found.runners_up]


def test_only_the_mode_that_was_asked_for():
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=1e6, bytes_per_s=1e12)
    _, options, found = explained(costs, {}, mode="split")
    assert {option.way.mode for option in options.values()} == {"split"}
    assert {move.option.way.mode for move in found.moves} == {"split"}
    assert found.regions[0].first == "n0"


def test_a_precision_taken_for_granted_is_known_and_binds_nothing():
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=1e6, bytes_per_s=1e12)
    problem = Problem(None, GRAPH, cluster(GRAPH), costs)
    precision = FixedPrecision(GRAPH, 6)
    plan = make_plan(problem, Calibration("none", precision, None, None, None), NO_LIMITS).plan
    found = explain(problem, plan, down_closed_subsets(GRAPH), precision=precision, limits=NO_LIMITS, measure=True)
    assert {option.binds for option in found.runners_up} <= set(STAGES)
    assert {option.way.bits.fewest for option in found.runners_up} <= {None, 6, 8, 32}
    assert all(option.known for option in found.runners_up)
