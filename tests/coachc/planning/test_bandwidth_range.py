"""Cuts for a range of bandwidths: against every chain there is, within limits, and what the manifest says of them."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from coachc.core.plan import UNQUANTIZED
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.errors import InfeasibleError
from coachc.models import synthetic
from coachc.passes.half_memory import half_memory
from coachc.passes.ideals import all_ideals
from coachc.passes.partition import Limits
from coachc.passes.timeline import uniform_way
from coachc.planning.bandwidth_range import GRID, grid_of, plan_cuts
from coachc.planning.calibration import without_samples
from coachc.planning.make_plan import make_plan
from coachc.planning.problem import Setting, load_problem
from coachc.planning.summary import cut_set_json
from tests.helpers.bundles import save
from tests.helpers.light import shipped

BITS = 4
MBIT = 1e6 / 8


def problem_of(path, low, high, **changes):
    setting = Setting(
        model=str(path),
        device=find_device("tx2", side="device"),
        cloud=find_device("a6000", side="cloud"),
        link=Link((low * high) ** 0.5, 0.005),
        **changes,
    )
    return load_problem(setting)


def at(problem, rate):
    link = dataclasses.replace(problem.costs.link, bandwidth_bytes_per_s=rate)
    return dataclasses.replace(problem, costs=dataclasses.replace(problem.costs, link=link))


@pytest.fixture(scope="module")
def squeezenet():
    """A range in which the cut moves several times."""
    low, high = 2 * MBIT, 200 * MBIT
    return problem_of(shipped("squeezenet"), low, high), (low, high)


def least_period_s(problem, rate):
    """Of every partition there is, at the one precision and as it is."""
    costs, graph = at(problem, rate).costs, problem.graph
    masks, complete = all_ideals(graph)
    assert complete
    bits = {mask: (BITS, UNQUANTIZED) if mask else (8, UNQUANTIZED) for mask in masks}
    return min(uniform_way(graph, mask, b, costs).timeline.period_s for mask in masks for b in bits[mask])


def test_no_bandwidth_of_the_grid_is_far_from_the_optimum(squeezenet):
    problem, (low, high) = squeezenet
    calibration = without_samples(problem, BITS)
    planned = plan_cuts(problem, calibration, Limits(), (low, high))
    cut_set = planned.cut_set
    assert (len(cut_set.grid), cut_set.grid[0], cut_set.grid[-1]) == (GRID, low, high)
    assert cut_set.grid[GRID // 2] == problem.costs.link.bandwidth_bytes_per_s
    assert 2 <= len(cut_set.cuts) <= 4
    assert cut_set.cuts[-1].way.mode == "device-only"
    assert all(not one.way.mask & ~other.way.mask for one, other in itertools.pairwise(cut_set.cuts))
    ratios = []
    for rate in cut_set.grid:
        costs = at(problem, rate).costs
        periods = []
        for cut in cut_set.cuts:
            raw = not cut.way.bits.packed
            bits = UNQUANTIZED if raw else cut.way.bits.quantizers[0].bits
            periods.append(uniform_way(problem.graph, cut.way.mask, bits, costs).timeline.period_s)
        ratios.append(min(periods) / least_period_s(problem, rate))
    assert max(ratios) == pytest.approx(cut_set.worst, rel=1e-6)
    assert sum(ratios) / GRID == pytest.approx(cut_set.mean, rel=1e-6)
    assert cut_set.worst < 1.25
    chosen = next(cut.way for cut in cut_set.cuts if cut.way.name == cut_set.chosen)
    assert dataclasses.replace(planned.plan.way, overlap=chosen.overlap) == chosen


def test_intervals_fill_the_range_and_say_who_is_best(squeezenet):
    problem, (low, high) = squeezenet
    cut_set = plan_cuts(problem, without_samples(problem, BITS), Limits(), (low, high)).cut_set
    found = sorted((start, end, cut.way.name) for cut in cut_set.cuts for start, end in cut.best_between)
    assert (found[0][0], found[-1][1]) == (low, high)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(found))
    assert any(start <= cut_set.grid[GRID // 2] <= end for start, end, name in found if name == cut_set.chosen)
    for start, end, name in found:
        costs = at(problem, (start * end) ** 0.5).costs
        periods = {}
        for cut in cut_set.cuts:
            raw = not cut.way.bits.packed
            bits = UNQUANTIZED if raw else cut.way.bits.quantizers[0].bits
            period_s = uniform_way(problem.graph, cut.way.mask, bits, costs).timeline.period_s
            periods[cut.way.name] = period_s / (1.01 if cut.way.mode == "device-only" else 1)
        assert min(periods, key=lambda one: periods[one]) == name


def test_a_narrow_range_needs_one_cut_and_gets_the_plan_of_its_middle(squeezenet):
    problem, _ = squeezenet
    middle = problem.costs.link.bandwidth_bytes_per_s
    calibration = without_samples(problem, BITS)
    cut_set = plan_cuts(problem, calibration, Limits(), (middle * 0.999, middle * 1.001)).cut_set
    plan = make_plan(problem, calibration, Limits()).plan
    assert [cut.way.mode for cut in cut_set.cuts] == [plan.way.mode, "device-only"]
    assert (cut_set.cuts[0].way.mask, cut_set.cuts[0].way.name, cut_set.chosen) == (
        plan.way.mask,
        plan.way.mode,
        plan.way.mode,
    )
    assert cut_set.cuts[0].best_between == ((middle * 0.999, middle * 1.001),)
    assert cut_set.cuts[1].best_between == ()


def test_only_one_mode(squeezenet):
    problem, bandwidths = squeezenet
    calibration = without_samples(problem, BITS)
    splits = plan_cuts(problem, calibration, Limits(), bandwidths, mode="split").cut_set
    assert {cut.way.mode for cut in splits.cuts[:-1]} == {"split"}
    assert splits.cuts[-1].best_between == ()
    alone = plan_cuts(problem, calibration, Limits(), bandwidths, mode="device-only").cut_set
    assert ([cut.way.name for cut in alone.cuts], alone.chosen) == (["device-only"], "device-only")
    assert alone.cuts[0].best_between == (bandwidths,)


def test_a_model_too_large_for_the_device_is_never_run_there_whole(squeezenet):
    """Its largest cut has to fit; device-only stays in the bundle, and no task takes it."""
    problem, bandwidths = squeezenet
    graph, size = problem.graph, problem.costs.device.element_bytes
    whole = half_memory(graph, graph.full_mask, size).total_bytes
    limits = Limits(device_memory_bytes=whole // 2)
    planned = plan_cuts(problem, without_samples(problem, BITS), limits, bandwidths)
    cut_set = planned.cut_set
    assert len(cut_set.cuts) > 1
    assert all(half_memory(graph, cut.way.mask, size).total_bytes <= whole // 2 for cut in cut_set.cuts[:-1])
    assert cut_set.cuts[-1].best_between == ()
    assert planned.plan.way.mode != "device-only"


def test_a_latency_limit_holds_at_every_bandwidth(squeezenet):
    problem, bandwidths = squeezenet
    calibration = without_samples(problem, BITS)
    free = plan_cuts(problem, calibration, Limits(), bandwidths).plan.way.timeline
    limits = Limits(max_latency_s=free.latency_s * 0.999)
    planned = plan_cuts(problem, calibration, limits, bandwidths)
    cut_set = planned.cut_set
    assert planned.plan.way.timeline.latency_s <= limits.max_latency_s
    assert cut_set.worst >= 1
    low, high = (rate / MBIT for rate in bandwidths)
    with pytest.raises(InfeasibleError, match="no plan answers within") as caught:
        plan_cuts(problem, calibration, Limits(max_latency_s=1e-6), bandwidths)
    assert caught.value.context[0] == f"at {low:g} Mbit/s of {low:g} to {high:g}"


def test_the_same_as_json(squeezenet):
    problem, bandwidths = squeezenet
    cut_set = plan_cuts(problem, without_samples(problem, BITS), Limits(), bandwidths).cut_set
    shown = cut_set_json(problem.graph, cut_set)
    assert (shown["low_bytes_per_s"], shown["high_bytes_per_s"]) == bandwidths
    assert [cut["name"] for cut in shown["cuts"]] == [cut.way.name for cut in cut_set.cuts]
    assert shown["cuts"][-1]["device_operators"] == len(problem.graph.nodes) == shown["cuts"][0]["operators"]
    assert shown["worst_ratio"] == cut_set.worst


@pytest.mark.parametrize("make", [synthetic.inception, synthetic.nested, synthetic.residual])
def test_branches(make, tmp_path):
    low, high = 0.05 * MBIT, 500 * MBIT
    problem = problem_of(save(make(), tmp_path / "net.onnx"), low, high)
    cut_set = plan_cuts(problem, without_samples(problem, BITS), Limits(), (low, high)).cut_set
    assert all(not one.way.mask & ~other.way.mask for one, other in itertools.pairwise(cut_set.cuts))
    assert 1 <= cut_set.mean <= cut_set.worst


def test_the_grid_is_even_in_logarithms():
    grid = grid_of(1.0, 64.0)
    assert grid == pytest.approx([1, 2, 4, 8, 16, 32, 64])
