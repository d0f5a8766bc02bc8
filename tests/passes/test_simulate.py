"""The simulated pipeline: queues by hand, closed forms, the paper's Fig. 2, and the compiler's own numbers."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from coachc.core.operations import Operation, Simulation
from coachc.core.plan import Quantizer
from coachc.passes.schedule import operations, schedule
from coachc.passes.simulate import pipeline, scheduled_task, simulate, staged_task
from coachc.passes.timeline import from_stages, stage_times
from tests.helpers.graphs import costs_of, graph_of
from tests.helpers.splits import random_split

ROUNDING = 1e-12


def saturated(task, count=48, workers=1):
    return pipeline([task] * count, [0.0] * count, workers)


def random_tasks(rng, count=30):
    """Early exits, staged and operator-level tasks, and when they come."""
    kinds = []
    for _ in range(4):
        split = random_split(int(rng.integers(10**6)), most=8)
        kinds += [
            scheduled_task(*split),
            staged_task(*rng.uniform(0, 1e-3, 3), rtt_s=1e-3),
            staged_task(rng.uniform(0, 1e-3)),
        ]
    tasks = [kinds[int(rng.integers(len(kinds)))] for _ in range(count)]
    return tasks, np.sort(rng.uniform(0, 0.02, count)).tolist()


def by_stage(result, stage, task=None):
    return [span for span in result.spans if span.stage == stage and task in (None, span.task)]


# One task


def test_one_staged_task_takes_its_latency():
    total = from_stages(3.0, 2.0, 1.0, 0, costs_of([], [], rtt_s=0.5))
    result = pipeline([staged_task(3.0, 2.0, 1.0, 0.5)], [10.0])
    assert result.finishes_s == (10 + total.latency_s,)
    assert result.starts_s == (10.0,)
    assert [(span.stage, span.start_s, span.end_s) for span in result.spans] == [
        ("device", 10.0, 13.0), ("link", 13.0, 15.0), ("cloud", 15.25, 16.25),
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["topological", "johnson"])
def test_one_task_alone_is_the_schedule(order):
    for seed in range(400):
        split = random_split(seed)
        expected = schedule(*split, order=order)
        result = pipeline([scheduled_task(*split, order=order)], [0.0], workers=1 + seed % 3)
        assert result.finishes_s[0] == pytest.approx(expected.latency_s, rel=ROUNDING), f"seed {seed}"
        for stage in ("device", "link", "cloud"):
            found = [(span.name, span.start_s, span.end_s) for span in by_stage(result, stage)]
            assert found == [dataclasses.astuple(span) for span in getattr(expected, stage)], f"seed {seed}"


def test_tasks_far_enough_apart_do_not_meet():
    for seed in range(100):
        split = random_split(seed)
        alone = schedule(*split)
        # The longest time from the first to the last thing a stage does for one task.
        apart_s = max(spans[-1].end_s - spans[0].start_s for spans in (alone.device, alone.link, alone.cloud) if spans)
        arrivals_s = [i * apart_s * 1.001 for i in range(8)]
        result = pipeline([scheduled_task(*split)] * 8, arrivals_s)
        assert result.latencies_s == pytest.approx([alone.latency_s] * 8, rel=1e-9), f"seed {seed}"


# The period


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_saturated_period_is_that_of_the_timeline(workers):
    for seed in range(100):
        graph, mask, quantizers, costs = random_split(seed)
        costs = dataclasses.replace(costs, workers=workers)
        total = stage_times(graph, mask, quantizers, costs)
        if total.period_s == 0:
            continue
        staged = staged_task(total.device_s, total.link_s, total.cloud_s, costs.link.rtt_s)
        for task in (staged, scheduled_task(graph, mask, quantizers, costs)):
            result = saturated(task, workers=workers)
            assert result.steady_period_s == pytest.approx(total.period_s, rel=1e-9), f"seed {seed}"


def test_operators_of_other_tasks_fill_the_gaps():
    # On the cloud 1 s for v0, then a wait of 4 s for v1, then 4 s: a span of 9 s, of which 5 s are work.
    graph = graph_of(["x", "v0", "v0", "v1 v2"], elements={"v0": 579, "v1": 909})
    costs = costs_of([0.5, 4, 9, 9], [9, 9, 1, 4], bandwidth=1e3 / 0.955, bytes_per_s=float("inf"))
    quantizers = [Quantizer(name, "packed", 8) for name in ("v0", "v1")]
    alone = schedule(graph, 0b0011, quantizers, costs)
    assert (alone.cloud[0].start_s, alone.cloud[-1].end_s) == (pytest.approx(1.5), pytest.approx(9.5))
    assert saturated(scheduled_task(graph, 0b0011, quantizers, costs)).steady_period_s == pytest.approx(5)


def test_two_workers_give_results_in_pairs():
    # Cloud 2 s, device 0.5 s: results come 0.5 s and 1.5 s apart, so no single gap is the period.
    result = saturated(staged_task(0.5, 0.1, 2.0), count=40, workers=2)
    gaps = {round(later - earlier, 9) for earlier, later in itertools.pairwise(result.finishes_s)}
    assert gaps == {0.5, 1.5}
    assert result.steady_period_s == pytest.approx(1.0)


def test_the_period_of_an_irregular_stream_is_its_mean_gap():
    result = pipeline([staged_task(0.0)] * 6, [0, 1, 3, 4, 7, 12])
    assert result.steady_period_s == pytest.approx((12 - 3) / 3)
    assert pipeline([staged_task(2.0)], [5.0]).steady_period_s == 2.0
    assert saturated(staged_task(0.0, 0.0, 3.0), count=3, workers=3).steady_period_s == 1.0


# Queues with known answers


def test_a_queue_by_hand():
    result = pipeline([staged_task(2.0)] * 4, [0.0, 1.0, 5.0, 6.5])
    assert result.starts_s == (0, 2, 5, 7)
    assert result.finishes_s == (2, 4, 7, 9)
    assert result.latencies_s == (2, 3, 2, 2.5)
    assert (result.makespan_s, result.interval_s, result.mean_latency_s) == (9, 2.25, 2.375)
    assert result.busy_share == {"device": pytest.approx(8 / 9), "link": 0, "cloud": 0}


def test_three_stages_by_hand():
    result = pipeline([staged_task(1.0, 3.0, 2.0, 1.0)] * 3, [0.0, 0.0, 9.0])
    assert [(s.task, s.stage, s.start_s, s.end_s) for s in result.spans] == [
        (0, "device", 0.0, 1.0), (1, "device", 1.0, 2.0), (0, "link", 1.0, 4.0), (1, "link", 4.0, 7.0),
        (0, "cloud", 4.5, 6.5), (1, "cloud", 7.5, 9.5), (2, "device", 9.0, 10.0), (2, "link", 10.0, 13.0),
        (2, "cloud", 13.5, 15.5),
    ]  # fmt: skip
    assert result.latencies_s == (7, 10, 7)


def test_two_servers_by_hand():
    result = pipeline([staged_task(1.0, 1.0, 5.0)] * 4, [0.0] * 4, workers=2)
    assert [(span.task, span.start_s) for span in by_stage(result, "cloud")] == [(0, 2), (1, 3), (2, 7), (3, 8)]
    assert result.busy_share["cloud"] == pytest.approx(20 / (13 * 2))


def test_one_stage_follows_lindley():
    # Finish = max(arrival, finish before) + service.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        service, arrivals = rng.exponential(1, 200), np.cumsum(rng.exponential(1.2, 200))
        result = pipeline([staged_task(float(s)) for s in service], arrivals.tolist())
        finish = 0.0
        for s, arrival, found in zip(service, arrivals, result.finishes_s, strict=True):
            finish = max(arrival, finish) + s
            assert found == pytest.approx(finish, rel=1e-12), f"seed {seed}"


def test_m_d_1_waits_as_pollaczek_and_khinchine_say():
    # Mean wait of constant service 1 at load 0.7: rho / 2 (1 - rho).
    rng = np.random.default_rng(7)
    result = pipeline([staged_task(1.0)] * 30_000, np.cumsum(rng.exponential(1 / 0.7, 30_000)).tolist())
    assert result.mean_latency_s - 1 == pytest.approx(0.7 / 0.6, rel=0.05)
    assert result.busy_share["device"] == pytest.approx(0.7, rel=0.02)


def test_a_flow_shop_follows_its_recurrence():
    # Each stage starts when the task has left the stage before and the task before has left the stage.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        stages, arrivals = rng.uniform(0, 1, (40, 3)), np.cumsum(rng.uniform(0, 1, 40))
        result = pipeline([staged_task(*times) for times in stages.tolist()], arrivals.tolist())
        free = [0.0, 0.0, 0.0]
        for times, arrival, found in zip(stages, arrivals, result.finishes_s, strict=True):
            now = arrival
            for stage in range(3):
                now = free[stage] = max(now, free[stage]) + times[stage]
            assert found == pytest.approx(now, rel=1e-12), f"seed {seed}"


def test_makespan_of_equal_tasks_in_closed_form():
    # n tasks through serial stages: their sum, and n - 1 times the longest.
    for stages in itertools.product((1.0, 2.0, 4.0), repeat=3):
        assert saturated(staged_task(*stages), count=9).makespan_s == sum(stages) + 8 * max(stages)


# Order


def test_stages_serve_in_the_order_of_the_tasks():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        tasks = [staged_task(*rng.uniform(0, 1, 3), rtt_s=0.3) for _ in range(20)]
        result = pipeline(tasks, np.sort(rng.uniform(0, 8, 20)).tolist())
        for stage in ("device", "link", "cloud"):
            assert [span.task for span in by_stage(result, stage)] == list(range(20)), f"seed {seed}"


def test_the_lowest_task_that_could_start_goes_first():
    tasks = [staged_task(1.0), staged_task(1.0), staged_task(1.0)]
    # Task 0 comes while task 2 is served; then it is its turn, before task 1, which has waited longer.
    result = pipeline(tasks, [0.5, 0.2, 0.0])
    assert result.starts_s == (1.0, 2.0, 0.0)


def test_no_stage_does_more_than_it_can_and_every_operation_runs_once():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        workers = 1 + seed % 3
        tasks, arrivals_s = random_tasks(rng)
        result = pipeline(tasks, arrivals_s, workers)
        assert [span.start_s for span in result.spans] == sorted(span.start_s for span in result.spans), f"seed {seed}"
        for stage, most in (("device", 1), ("link", 1), ("cloud", workers)):
            ends: list[float] = []
            for span in by_stage(result, stage):
                ends = [end for end in ends if end > span.start_s]
                if span.end_s > span.start_s:
                    ends.append(span.end_s)
                assert len(ends) <= most, f"seed {seed}"
        for task, todo in enumerate(tasks):
            for stage in ("device", "link", "cloud"):
                mine = by_stage(result, stage, task)
                # One after the other, in the order of the list, whatever the number of workers.
                assert [span.name for span in mine] == [op.name for op in todo if op.stage == stage], f"seed {seed}"
                assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(mine)), f"seed {seed}"
            assert result.arrivals_s[task] <= result.starts_s[task] <= result.finishes_s[task], f"seed {seed}"


def test_operations_without_duration_change_no_order():
    instant = (Operation("a", "device", 0.0), Operation("b", "link", 0.0, (0,)), Operation("c", "cloud", 1.0, (1,)))
    result = pipeline([instant, instant], [0.0, 0.0])
    assert [(span.task, span.start_s) for span in by_stage(result, "cloud")] == [(0, 0.0), (1, 1.0)]
    # Task 0 reaches the cloud in the same moment as task 1, by way of two operations more.
    longer = (
        Operation("a", "device", 1.0), Operation("b", "link", 0.0, (0,)), Operation("c", "link", 0.0, (1,)),
        Operation("d", "cloud", 1.0, (2,)),
    )  # fmt: skip
    straight = (Operation("a", "link", 1.0), Operation("b", "cloud", 1.0, (0,)))
    assert [s.task for s in by_stage(pipeline([longer, straight], [0.0, 0.0]), "cloud")] == [0, 1]


# Mixtures


def test_two_cuts_in_turn_beat_either():
    # Cut A computes 1 and sends 3, cut B the other way round: a period of 3 each, of 2 in turn.
    a, b = staged_task(1.0, 3.0, 0.1), staged_task(3.0, 1.0, 0.1)
    assert saturated(a).steady_period_s == saturated(b).steady_period_s == pytest.approx(3)
    assert pipeline([a, b] * 24, [0.0] * 48).steady_period_s == pytest.approx(2)


def test_an_early_exit_overtakes_and_leaves_the_link_free():
    whole, exits = staged_task(1.0, 4.0, 1.0), staged_task(1.0)
    result = pipeline([whole, exits, whole], [0.0, 0.0, 0.0])
    assert result.finishes_s == (6, 2, 10)
    assert len(exits) == 1
    assert pipeline([whole] * 3, [0.0] * 3).finishes_s == (6, 10, 14)


def test_a_mixture_of_staged_and_operator_level_tasks():
    rng = np.random.default_rng(5)
    tasks, arrivals_s = random_tasks(rng)
    result = pipeline(tasks, arrivals_s)
    assert len(result.spans) == sum(len(todo) for todo in tasks)
    for stage, share in result.busy_share.items():
        work = sum(op.duration_s for todo in tasks for op in todo if op.stage == stage)
        assert share == pytest.approx(work / result.makespan_s)


# The paper's Fig. 2: "four inference tasks arrive sequentially every 2 time units" (section II-C).

#: Schemes 1 and 2 are given by the sum and the longest of their stages: "achieving a duration of 6 time units per
#: task", "slightly increases task latency to 7 time units", "the maximum stage is reduced from 4 to 3 time units".
#: Which stage is which the text does not say, so every way to cut the sum into whole units is tried.
SCHEME_1 = sorted(set(itertools.permutations((1, 4, 1))))
SCHEME_2 = sorted(set(itertools.permutations((3, 3, 1))) | set(itertools.permutations((2, 3, 2))))

#: "An adaptive quantization adjustment": the cut of scheme 2 with a shorter send, "reduced from 4 to 2 time units".
SCHEME_2_CUT = (2, 3, 2)
SCHEME_3 = (2, 2, 2)


def fig2(stages, exits=()):
    tasks = [staged_task(*(stages[:1] if task in exits else stages)) for task in range(4)]
    return pipeline(tasks, [0, 2, 4, 6])


@pytest.mark.parametrize(
    ("schemes", "latency", "longest"), [(SCHEME_1, 6, 4), (SCHEME_2, 7, 3), ([SCHEME_3], 6, 2)], ids=["1", "2", "3"]
)
def test_fig2_latency_and_longest_stage(schemes, latency, longest):
    for stages in schemes:
        result = fig2(stages)
        assert result.latencies_s[0] == latency
        assert max(stages) == result.steady_period_s == longest
        assert from_stages(*stages, 0, costs_of([], [])).period_s == longest
        assert result.makespan_s == latency + 3 * longest


def test_fig2_gains():
    first, second, third = (fig2(stages).steady_period_s for stages in (SCHEME_1[0], SCHEME_2_CUT, SCHEME_3))
    # "a 25% efficiency increase over Scheme 1, as the maximum stage is reduced from 4 to 3 time units"
    assert 1 - second / first == 0.25
    # "a reduction of 50% compared to Scheme 1, as the maximum stage is reduced from 4 to 2 time units"
    assert 1 - third / first == 0.5


def test_fig2_scheme_2_has_fewer_bubbles_and_scheme_3_none():
    def idle(stages):
        """Over the three stages, time between the first and the last task in which a stage does nothing."""
        result, total = fig2(stages), 0.0
        for stage in ("device", "link", "cloud"):
            spans = by_stage(result, stage)
            total += sum(b.start_s - a.end_s for a, b in itertools.pairwise(spans))
        return total

    assert all(idle(SCHEME_2_CUT) < idle(stages) for stages in SCHEME_1)
    assert idle(SCHEME_3) == 0


@pytest.mark.parametrize("exits", [{1}, {2}, {1, 2}, {1, 3}])
def test_fig2_scheme_4_is_scheme_3_with_exits(exits):
    # "Scheme 4 integrates an early-exit policy": what exits takes the device's time, the others no longer than before.
    plain, result = fig2(SCHEME_3), fig2(SCHEME_3, exits)
    assert [result.latencies_s[task] for task in sorted(exits)] == [2] * len(exits)
    assert all(result.latencies_s[task] == 6 for task in range(4) if task not in exits)
    assert result.mean_latency_s < plain.mean_latency_s
    assert result.busy_share["link"] < plain.busy_share["link"]


def test_fig2_waiting_grows_where_the_longest_stage_exceeds_the_arrivals():
    assert fig2(SCHEME_1[0]).latencies_s == (6, 8, 10, 12)
    assert fig2(SCHEME_2_CUT).latencies_s == (7, 8, 9, 10)
    assert fig2(SCHEME_3).latencies_s == (6, 6, 6, 6)


# Numbers about a simulation


def test_percentiles_are_numpys():
    rng = np.random.default_rng(3)
    latencies = rng.exponential(1, 37)
    result = Simulation((0.0,) * 37, (0.0,) * 37, tuple(latencies.tolist()), (), {"device": 1})
    for percent in (0, 5, 50, 95, 99, 100):
        assert result.latency_percentile_s(percent) == pytest.approx(np.percentile(latencies, percent), rel=1e-12)
    assert result.mean_latency_s == pytest.approx(latencies.mean())


def test_tasks_that_take_no_time():
    result = pipeline([staged_task(0.0)] * 3, [1.0] * 3)
    assert (result.makespan_s, result.steady_period_s) == (0, 0)
    assert result.busy_share == {"device": 0, "link": 0, "cloud": 0}


def test_the_same_operations_as_the_schedule():
    split = random_split(4)
    assert scheduled_task(*split) == operations(*split)


@pytest.mark.parametrize(
    ("tasks", "arrivals", "capacity", "message"),
    [
        ([staged_task(1.0)], [], {"device": 1}, "1 tasks with 0 arrivals"),
        ([], [], {"device": 1}, "0 tasks with 0 arrivals"),
        ([staged_task(1.0, 1.0, 1.0)], [0.0], {"device": 1, "link": 1, "cloud": 0},
         "task 0: nothing runs 'cloud' on stage 'cloud'"),
        ([staged_task(1.0), (Operation("a", "device", 1.0, (1,)), Operation("b", "link", 1.0, (0,)))], [0.0, 0.0],
         {"device": 1, "link": 1}, "task 1: operations wait for each other in a circle"),
        ([(Operation("a", "device", 1.0, (1,)), Operation("b", "device", 1.0))], [0.0], {"device": 1},
         "task 0: operations wait for each other in a circle"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(tasks, arrivals, capacity, message):
    with pytest.raises(ValueError, match=message):
        simulate(tasks, arrivals, capacity)
