"""Plans in many settings are those of each alone, and a front is what its definition says, over all partitions."""

from __future__ import annotations

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest

from coachc.calib.jpeg import JpegCost
from coachc.core.placement import Placement
from coachc.core.plan import MIN_BITS, UNQUANTIZED, Accuracy, BitPlan
from coachc.core.profile import Provenance
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.emit import find_placement
from coachc.passes.cluster import cluster
from coachc.passes.half_memory import half_memory
from coachc.passes.partition import Limits, unfit
from coachc.passes.timeline import TIE_ESTIMATED, uniform_way, way_at
from coachc.planning import problem as problem_module
from coachc.planning.calibration import Calibration, without_samples
from coachc.planning.decide import jpeg_way
from coachc.planning.estimate import Certainty, certainty_of, estimate_cell, estimate_cells, front_of
from coachc.planning.make_plan import make_plan
from coachc.planning.precisions import FixedPrecision
from coachc.planning.problem import Problem, Setting, limits_of, load_problem, load_problems
from tests.helpers.admissible import NONE, Admissible, cuttable
from tests.helpers.commands import REPOSITORY
from tests.helpers.graphs import costs_of, down_closed_subsets, graph_of, random_costs, random_graph

DIGITS = str(REPOSITORY / "models" / "digits.onnx")
NOWHERE = Setting(
    model="", device=find_device("tx2", side="device"), cloud=find_device("a6000", side="cloud"), link=Link(1e6)
)
KEPT = Accuracy("labels", 0.9, 0.9, 1000, 0.0, 0.001, certified=True)


def settings():
    devices = [find_device(name, side="device") for name in ("tx2", "nx", "orin-nano")]
    clouds = [find_device(name, side="cloud") for name in ("a6000", "l4")]
    links = [Link(mbit * 1e6 / 8, 5e-3) for mbit in (1, 20, 300)]
    return [
        Setting(model=DIGITS, device=device, cloud=cloud, link=link)
        for device, cloud, link in itertools.product(devices, clouds, links)
    ]


def made_up(seed, *, most=8):
    """A random problem, a precision drawn for each cut, and every way to run it, by definition."""
    rng = np.random.default_rng([seed, 11])
    graph = random_graph(rng, most=most)
    costs = random_costs(graph, rng)
    # Half of the problems take pictures, which are soon enough here and there.
    size = round(graph.values[graph.inputs[0]].size_bytes * 4 ** rng.uniform(-2, 1))
    jpeg = JpegCost(size, 1e-9, 1e-9, KEPT, True, "by hand") if seed % 2 else None
    return Problem(None, graph, cluster(graph), costs), Admissible(graph, rng), jpeg


def ways_of(problem, precision, limits, jpeg):
    """Every ideal that is within the limits, at its precision and as it is; device-only; a picture."""
    graph, costs = problem.graph, problem.costs
    ways = [] if jpeg is None or limits.placement.cloud else [jpeg_way(jpeg, costs)]
    for mask in down_closed_subsets(graph):
        if mask == graph.full_mask:
            memory = half_memory(graph, mask, costs.device.element_bytes).total_bytes
            fits = limits.device_memory_bytes is None or memory <= limits.device_memory_bytes
            ways += [way_at(graph, mask, BitPlan(()), costs)] * (fits and not limits.placement.device)
        elif cuttable(graph, mask) and not unfit(graph, mask, costs, limits):
            ways.append(uniform_way(graph, mask, UNQUANTIZED, costs))
            if precision.bits[mask] != NONE:
                ways.append(uniform_way(graph, mask, precision.bits[mask], costs))
    return ways


def nanoseconds(way):
    return round(way.timeline.period_s * 1e9), round(way.timeline.latency_s * 1e9)


def unbeaten(ways):
    """Straight from the definition: no other is as good in both and better in one."""
    points = {nanoseconds(way) for way in ways}

    def beats(one, other):
        return one != other and one[0] <= other[0] and one[1] <= other[1]

    return sorted(point for point in points if not any(beats(other, point) for other in points))


def limits_for(problem, seed):
    """None, half of the memory that the whole model takes, or an operator that one side lacks."""
    graph = problem.graph
    whole = half_memory(graph, graph.full_mask, problem.costs.device.element_bytes).total_bytes
    refused = {seed % len(graph.nodes): "it has no such operator"}
    return (
        Limits(),
        Limits(device_memory_bytes=whole // 2),
        Limits(placement=Placement(device=refused)),
        Limits(placement=Placement(cloud=refused)),
    )[seed % 4]


@pytest.mark.parametrize("tenth", range(4))
def test_a_front_is_every_way_that_no_other_beats_and_the_plan_is_one(tenth):
    sizes, asked, all_cuts = [], 0, 0
    for seed in range(tenth * 20, tenth * 20 + 20):
        problem, precision, jpeg = made_up(seed)
        limits = limits_for(problem, seed)
        ways = ways_of(problem, precision, limits, jpeg)
        calibration = Calibration("none", precision, None, jpeg, None)
        front = front_of(problem, calibration, limits)
        assert [nanoseconds(way) for way in front.ways] == unbeaten(ways), f"seed {seed}"
        assert (front.method, front.complete) == ("exact", True)
        latencies = [way.timeline.latency_s for way in front.ways]
        assert latencies == sorted(latencies, reverse=True)
        asked, all_cuts = asked + len(precision.asked), all_cuts + len(ways)
        sizes.append(len(front.ways))
        if ways:
            plan = make_plan(problem, calibration, limits).plan.way
            assert any((way.mode, way.mask, way.bits) == (plan.mode, plan.mask, plan.bits) for way in front.ways), seed
    assert max(sizes) >= 3
    assert asked < all_cuts / 2, "cuts that cannot belong to it are not measured"


@pytest.mark.parametrize("tenth", range(4))
def test_a_cell_is_the_plan_and_what_it_gains_over_not_splitting(tenth):
    """Against `make_plan`, and against every partition."""
    split, alone = 0, 0
    for seed in range(tenth * 20, tenth * 20 + 20):
        problem, precision, jpeg = made_up(seed)
        limits = limits_for(problem, seed)
        calibration = Calibration("none", precision, None, jpeg, None)
        cell = estimate_cell(NOWHERE, problem, calibration, limits)
        ways = ways_of(problem, precision, limits, jpeg)
        if not ways:
            assert (cell.plan, cell.instead, cell.gain, cell.certainty) == (None,) * 4
            assert cell.no_plan
            continue
        assert cell.plan == make_plan(problem, calibration, limits).plan
        shortest_s = min(way.timeline.period_s for way in ways)
        assert cell.plan.way.timeline.period_s <= shortest_s * (1 + TIE_ESTIMATED) + 1e-12, f"seed {seed}"
        whole_s = min((way.timeline.period_s for way in ways if way.mode != "split"), default=None)
        if whole_s is None:
            assert cell.instead is None
        else:
            assert cell.instead.mode != "split"
            assert cell.instead.timeline.period_s == pytest.approx(whole_s), f"seed {seed}"
        if cell.plan.way.mode != "split" or whole_s is None:
            assert cell.gain is None
            alone += 1
        else:
            assert cell.gain == pytest.approx(whole_s / cell.plan.way.timeline.period_s)
            assert cell.gain > 1 / (1 + TIE_ESTIMATED) - 1e-9
            split += 1
    assert split
    assert alone


def test_each_cell_of_a_matrix_is_what_its_setting_gets_alone():
    every = settings()
    problems = load_problems(every)
    calibration = without_samples(problems[0], 4)
    told = []
    cells = estimate_cells(every, problems, calibration, lambda *step: told.append(step))
    assert told == [("plan", place, 18) for place in range(18)]
    for setting, cell in zip(every, cells, strict=True):
        problem = load_problem(setting)
        plan = make_plan(problem, without_samples(problem, 4), limits_of(setting, problem)).plan
        assert (cell.setting, cell.costs, cell.plan) == (setting, problem.costs, plan)
        assert cell.plan.gap == 0
    assert {cell.plan.way.mode for cell in cells} == {"split", "device-only", "cloud-raw"}
    assert len({cell.plan.way.mask for cell in cells}) >= 4


def test_a_model_is_imported_once_and_each_target_asked_once():
    every = settings()
    with (
        mock.patch.object(problem_module, "import_model", wraps=problem_module.import_model) as imports,
        mock.patch.object(problem_module, "side_profile", wraps=problem_module.side_profile) as profiles,
        mock.patch.object(find_placement, "_refused", wraps=find_placement._refused) as refused,
    ):
        problems = load_problems(every)
        estimate_cells(every, problems, without_samples(problems[0], 4))
    assert (imports.call_count, profiles.call_count, refused.call_count) == (1, 5, 5)
    assert len({id(problem.graph) for problem in problems}) == 1


def test_where_no_plan_is_possible_the_cell_says_why():
    graph = graph_of(["x", "v0"])
    problem = Problem(None, graph, cluster(graph), costs_of([1.0, 1.0], [0.1, 0.1]))
    calibration = Calibration("none", FixedPrecision(graph), None, None, None)
    limits = Limits(placement=Placement(device={1: "no Optional"}, cloud={1: "no Optional here"}))
    cell = estimate_cell(NOWHERE, problem, calibration, limits)
    assert (cell.plan, cell.instead, cell.gain, cell.certainty) == (None,) * 4
    assert cell.no_plan == "no plan builds on both sides"
    assert cell.reasons == ("device: no Optional", "cloud: no Optional here")
    assert front_of(problem, calibration, limits).ways == ()


def test_the_only_way_gains_nothing_over_another():
    """The first operator is not on the cloud, the last not on the device: only between them can it be cut."""
    graph = graph_of(["x", "v0"])
    problem = Problem(None, graph, cluster(graph), costs_of([1.0, 1.0], [0.1, 0.1]))
    limits = Limits(placement=Placement(device={1: "no"}, cloud={0: "no"}))
    cell = estimate_cell(NOWHERE, problem, Calibration("none", FixedPrecision(graph), None, None, None), limits)
    assert cell.plan.way.cut == ("v0",)
    assert (cell.instead, cell.gain) == (None, None)


def with_bands(costs, device, cloud):
    sides = {"device": device, "cloud": cloud}
    return dataclasses.replace(
        costs,
        **{
            name: dataclasses.replace(getattr(costs, name), provenance=Provenance(*provenance))
            for name, provenance in sides.items()
        },
    )


def test_a_plan_is_as_certain_as_the_less_certain_side_that_it_uses():
    graph = graph_of(["x", "v0"])
    costs = with_bands(costs_of([1.0, 1.0], [0.1, 0.1]), ("measured", "here"), ("guess", "from another", 2.0))
    ways = {bits: uniform_way(graph, 0b01, bits, costs) for bits in (UNQUANTIZED, MIN_BITS)}
    assert certainty_of(ways[MIN_BITS], costs) == Certainty(False, 2.0)
    assert certainty_of(way_at(graph, 0b11, BitPlan(()), costs), costs) == Certainty(True, 1.0)
    other = with_bands(costs, ("fitted", "published", 1.4), ("measured", "here"))
    assert certainty_of(ways[UNQUANTIZED], other) == Certainty(False, 1.4)
    # What is sent as it is leaves nothing to do to the device; rounded, the device rounds it.
    assert certainty_of(uniform_way(graph, 0, UNQUANTIZED, other), other) == Certainty(True, 1.0)
    assert certainty_of(uniform_way(graph, 0, 8, other), other) == Certainty(False, 1.4)
    jpeg = jpeg_way(JpegCost(100, 1e-3, 1e-3, KEPT, True, "by hand"), other)
    assert certainty_of(jpeg, other) == Certainty(True, 1.0)


def test_a_front_says_so_where_there_are_too_many_partitions():
    """Sixteen branches side by side, of two operators each: 3^16 ideals."""
    branches = 16
    reads = ["x"]
    for _ in range(branches):
        reads += ["v0", f"v{len(reads)}"]
    reads.append(" ".join(f"v{2 * branch + 2}" for branch in range(branches)))
    graph = graph_of(reads)
    problem = Problem(None, graph, cluster(graph), random_costs(graph, np.random.default_rng(3)))
    calibration = Calibration("none", FixedPrecision(graph, 4), None, None, None)
    front = front_of(problem, calibration, Limits())
    assert (front.method, front.complete) == ("frontier", False)
    assert len(front.ways) >= 1
    plan = make_plan(problem, calibration, Limits()).plan.way
    assert any((way.mode, way.mask) == (plan.mode, plan.mask) for way in front.ways)
