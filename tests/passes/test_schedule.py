"""The list schedule of one task: by hand, the paper's Fig. 4, and its definition on random graphs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from unittest import mock

import numpy as np
import pytest

import coachc.passes.schedule
from coachc.core.graph import GraphView, Node, Value, Work
from coachc.core.operations import Span
from coachc.core.plan import Quantizer
from coachc.passes.cluster import cluster
from coachc.passes.schedule import device_order, operations, overlap, schedule
from coachc.passes.timeline import stage_times
from tests.helpers.fig4 import PLACE, fig4
from tests.helpers.graphs import CHAIN, DIAMOND, costs_of, graph_of
from tests.helpers.splits import random_split

SEEDS = range(400)

#: Share of the latency that rounding of a few dozen sums may take.
ROUNDING = 1e-12

#: With it, a value of n bytes takes about (n + 91) ms, and the first one 330 ms more; quantizing takes no time.
PER_MS = {"bandwidth": 1e3 / 0.955, "bytes_per_s": math.inf}


def eight_bits(*names):
    return tuple(Quantizer(name, "packed", 8) for name in names)


def spans(found, places=9):
    """Times of each stage by name, rounded."""
    return {
        stage: {span.name: (round(span.start_s, places), round(span.end_s, places)) for span in getattr(found, stage)}
        for stage in ("device", "link", "cloud")
    }


def identity(found):
    return (
        found.device_s + (found.link_s - found.link_overlap_s) + (found.cloud_s - found.cloud_overlap_s) + found.idle_s
    )


def busy_s(found):
    return [sum(span.end_s - span.start_s for span in getattr(found, stage)) for stage in ("device", "link", "cloud")]


# By hand


def test_a_chain_overlaps_nothing():
    graph = graph_of(CHAIN, elements={"v1": 80})
    costs = costs_of(
        [1, 2, 4, 8], [0.1, 0.2, 0.4, 0.8], bandwidth=1e3 / 0.955, rtt_s=0.5, bytes_per_s=4e3, overhead_s=0.2
    )
    found = schedule(graph, 0b0011, eight_bits("v1"), costs)
    # Quantizing reads 320 bytes and writes 80: 0.1 s at 4 kB/s, and 0.2 s to start.
    assert spans(found) == {
        "device": {"n0": (0, 1), "n1": (1, 3), "quantize v1": (3, 3.3)},
        "link": {"v1": (3.3, 3.799)},
        "cloud": {"dequantize v1": (4.049, 4.349), "n2": (4.349, 4.749), "n3": (4.749, 5.549)},
    }
    assert found.latency_s == pytest.approx(5.799)
    assert (found.link_overlap_s, found.cloud_overlap_s) == (0, 0)
    assert found.idle_s == pytest.approx(0.5)
    assert found.latency_s == pytest.approx(stage_times(graph, 0b0011, eight_bits("v1"), costs).latency_s)


def test_a_diamond_sends_one_branch_while_it_computes_the_other():
    graph = graph_of(DIAMOND, elements={"v1": 579, "v2": 909})
    costs = costs_of([1, 1, 3, 9, 9], [9, 9, 9, 2, 1], **PER_MS)
    found = schedule(graph, 0b00111, eight_bits("v1", "v2"), costs)
    assert spans(found) == {
        "device": {"n0": (0, 1), "n1": (1, 2), "quantize v1": (2, 2), "n2": (2, 5), "quantize v2": (5, 5)},
        "link": {"v1": (2, 3), "v2": (5, 6)},
        "cloud": {"dequantize v1": (3, 3), "dequantize v2": (6, 6), "n3": (6, 8), "n4": (8, 9)},
    }
    assert found.latency_s == pytest.approx(9)
    assert found.link_overlap_s == pytest.approx(1)
    assert (found.cloud_overlap_s, found.idle_s) == (0, pytest.approx(0))


def test_device_only_is_the_device_time():
    graph = graph_of(DIAMOND)
    found = schedule(graph, graph.full_mask, (), costs_of([1, 2, 3, 4, 5], [9] * 5, rtt_s=7.0), order="best")
    assert (found.latency_s, found.device_s, found.link_s, found.cloud_s, found.idle_s) == (15, 15, 0, 0, 0)
    assert (found.link, found.cloud) == ((), ())


def test_cloud_only_waits_for_the_inputs():
    graph = graph_of(["a", "b", "v0 v1"], elements={"a": 580, "b": 910})
    found = schedule(graph, 0, eight_bits("a", "b"), costs_of([9] * 3, [2, 4, 8], **PER_MS))
    assert spans(found)["link"] == {"a": (0, 1), "b": (1, 2)}
    # The first operator runs while the second input is on its way.
    assert spans(found)["cloud"] == {
        "dequantize a": (1, 1), "n0": (1, 3), "dequantize b": (3, 3), "n1": (3, 7), "n2": (7, 15),
    }  # fmt: skip
    assert found.cloud_overlap_s == pytest.approx(1)


def test_a_raw_input_leaves_before_anything_is_quantized():
    graph = graph_of(["a b"], elements={"a": 1000, "b": 10}, dtypes={"b": "int64"})
    quantizers = (*eight_bits("a"), Quantizer("b", "raw", 64))
    found = schedule(graph, 0, quantizers, costs_of([1], [1], bandwidth=1e3, bytes_per_s=1e4))
    assert [span.name for span in found.link] == ["b", "a"]
    assert found.link[0].start_s == 0
    assert found.device == (Span("quantize a", 0.0, 0.5),)
    assert [span.name for span in found.cloud] == ["dequantize a", "n0"]


def test_raw_outputs_do_not_wait_for_quantized_ones():
    values = {name: Value(name, dtype, (1000,)) for name, dtype in (("x", "float32"), ("p", "float32"), ("r", "int64"))}
    nodes = (
        Node("split", "Split", ("split",), ("x",), ("p", "r"), Work()),
        Node("join", "Gather", ("join",), ("p", "r"), ("y",), Work()),
    )
    graph = GraphView(nodes, {**values, "y": Value("y", "float32", (1,))}, ("x",), ("y",))
    found = schedule(
        graph, 0b01, (*eight_bits("p"), Quantizer("r", "raw", 64)), costs_of([1, 1], [1, 1], bytes_per_s=5e3)
    )
    assert [(span.name, span.start_s) for span in found.link] == [("r", 1), ("p", 2)]


def test_an_output_on_the_device_may_come_last():
    graph = graph_of(["x", "v0", "v0"], elements={"v0": 579})
    # n1 makes an output on the device, n2 one on the cloud.
    found = schedule(graph, 0b011, eight_bits("v0"), costs_of([1, 50, 9], [9, 9, 2], rtt_s=4.0, **PER_MS))
    assert found.latency_s == pytest.approx(51)
    assert (found.link_overlap_s, found.cloud_overlap_s) == (pytest.approx(1), pytest.approx(2))
    assert identity(found) == pytest.approx(found.latency_s)


def test_values_are_dequantized_as_they_come():
    # n3 reads v2 before v0, which is there first.
    graph = graph_of(["x", "v0", "v1", "v2 v0"], elements={"v0": 579, "v2": 909})
    split = graph, 0b0111, eight_bits("v0", "v2"), costs_of([1, 1, 1, 9], [9, 9, 9, 2], **PER_MS)
    cloud = [operation for operation in operations(*split) if operation.stage == "cloud"]
    assert [operation.name for operation in cloud] == ["dequantize v0", "dequantize v2", "n3"]
    # Device: three operators and two quantizers; then two sends, which the dequantizers wait for, and n3 for those.
    assert [operation.after for operation in cloud] == [(5,), (6,), (7, 8)]


def test_nothing_crosses_but_the_request():
    node = Node("made", "RandomNormal", ("made",), (), ("y",), Work())
    graph = GraphView((node,), {"y": Value("y", "float32", (1,))}, (), ("y",))
    found = schedule(graph, 0, (), costs_of([9], [2], rtt_s=1.0, **PER_MS))
    assert spans(found) == {"device": {}, "link": {"request": (0, 0.33)}, "cloud": {"made": (0.83, 2.83)}}
    assert found.link_s == pytest.approx(0.33)


def test_an_operator_that_reads_nothing_waits_for_the_request():
    nodes = (
        Node("made", "RandomNormal", ("made",), (), ("m",), Work()),
        Node("add", "Add", ("add",), ("x", "m"), ("y",), Work()),
    )
    values = {name: Value(name, "float32", (580,)) for name in ("x", "m", "y")}
    graph = GraphView(nodes, values, ("x",), ("y",))
    found = schedule(graph, 0, eight_bits("x"), costs_of([9, 9], [2, 1], rtt_s=1.0, **PER_MS))
    assert spans(found)["cloud"] == {"made": (1.5, 3.5), "dequantize x": (3.5, 3.5), "add": (3.5, 4.5)}


# The paper's Fig. 4


def layers(found):
    """Spans by layer, quantizing left out."""
    name = {f"n{index}": layer for layer, index in PLACE.items()} | {
        f"v{index}": layer for layer, index in PLACE.items()
    }
    return {
        stage: {name[span]: times for span, times in by_name.items() if span in name}
        for stage, by_name in spans(found).items()
    }


def test_fig4_is_the_chain_1_b1_9():
    graph, mask, cut = fig4()
    assert [block.kind for block in cluster(graph).chain] == ["node", "virtual", "node"]
    branches = cluster(graph).chain[1].branches
    assert [[block.kind for block in branch] for branch in branches] == [["node", "virtual", "node"], ["node", "node"]]
    assert graph.is_ideal(mask)
    assert set(graph.cut_values(mask)) == set(cut)


def test_fig4_overlaps_as_the_text_says():
    graph, mask, cut = fig4()
    found = schedule(graph, mask, eight_bits(*cut), costs_of([1] * 9, [1] * 9, **PER_MS))
    times = layers(found)
    assert times["device"] == {1: (0, 1), 3: (1, 2), 5: (2, 3), 6: (3, 4), 2: (4, 5)}
    # 579 + 421 bytes, 1907 + 93, 909 + 91, at a byte per millisecond.
    assert times["link"] == {3: (2, 3), 6: (4, 6), 2: (6, 7)}
    assert times["cloud"] == {4: (3, 4), 7: (6, 7), 8: (7, 8), 9: (8, 9)}
    assert (found.link_overlap_s, found.cloud_overlap_s) == (pytest.approx(2), pytest.approx(2))
    assert found.latency_s == pytest.approx(9)


def test_fig4_layer_4_runs_while_v_0_2_is_sent():
    graph, mask, cut = fig4()
    # A longer layer 3's send than layers 5 and 6: then V_0^2 follows V_0^1 at once, as in the text.
    costs = costs_of([1] * 9, [1, 1, 1.5, 1, 1, 1, 1, 1, 1], **PER_MS)
    graph = dataclasses.replace(graph, values={**graph.values, cut[0]: Value(cut[0], "float32", (2577,))})
    times = layers(schedule(graph, mask, eight_bits(*cut), costs))
    sent_1, sent_2 = times["link"][3], times["link"][6]
    # "After end device computing of layer 3, subsequent end device computing (e.g., layers 5 and 6) and transmission
    # V_0^1 can execute in parallel."
    assert sent_1 == (2, 5)
    assert sent_1[0] == times["device"][5][0]
    assert times["device"][6][1] <= sent_1[1]
    # "After completing transmission V_0^1, the transmission V_0^2 and cloud computing of layer 4 can execute in
    # parallel, while cloud computing of layer 7 waits for transmission completion, introducing additional pipeline
    # bubbles."
    assert sent_2 == (5, 7)
    assert times["cloud"][4] == (5, 6.5)
    assert times["cloud"][7][0] == sent_2[1]


# Random graphs


@pytest.mark.parametrize("order", ["topological", "johnson", "best"])
def test_latency_is_stages_less_overlaps_plus_idle(order):
    for seed in SEEDS:
        found = schedule(*random_split(seed), order=order)
        assert identity(found) == pytest.approx(found.latency_s, rel=ROUNDING), f"seed {seed}"
        assert 0 <= found.link_overlap_s <= min(found.link_s, found.device_s) * (1 + ROUNDING), f"seed {seed}"
        assert 0 <= found.cloud_overlap_s <= found.cloud_s * (1 + ROUNDING), f"seed {seed}"


@pytest.mark.parametrize("order", ["topological", "johnson"])
def test_stage_totals_are_those_of_the_timeline(order):
    for seed in SEEDS:
        split = random_split(seed)
        found, total = schedule(*split, order=order), stage_times(*split)
        assert (found.device_s, found.link_s, found.cloud_s) == (total.device_s, total.link_s, total.cloud_s), (
            f"seed {seed}"
        )
        assert busy_s(found) == pytest.approx([total.device_s, total.link_s, total.cloud_s], rel=ROUNDING), (
            f"seed {seed}"
        )


def test_latency_lies_between_no_waiting_and_no_overlap():
    for seed in SEEDS:
        split = random_split(seed)
        found, total = schedule(*split), stage_times(*split)
        rtt_s = split.costs.link.rtt_s if found.cloud else 0.0
        assert found.latency_s <= total.latency_s * (1 + ROUNDING), f"seed {seed}"
        assert found.latency_s >= max(total.device_s, total.link_s + rtt_s, total.cloud_s + rtt_s) * (1 - ROUNDING), (
            f"seed {seed}"
        )


@pytest.mark.parametrize("order", ["topological", "johnson"])
def test_nothing_starts_before_what_it_needs(order):
    for seed in SEEDS:
        graph, mask, quantizers, costs = random_split(seed)
        found = schedule(graph, mask, quantizers, costs, order=order)
        device, link, cloud = (
            {span.name: span for span in getattr(found, stage)} for stage in ("device", "link", "cloud")
        )
        one_way_s, packed = costs.link.rtt_s / 2, {q.name for q in quantizers if q.codec == "packed"}
        for index, node in enumerate(graph.nodes):
            here, there = (device, cloud) if mask >> index & 1 else (cloud, device)
            assert node.name in here, f"seed {seed}"
            assert node.name not in there, f"seed {seed}"
            for name in node.inputs:
                maker = graph.nodes[graph.producer[name]].name if name in graph.producer else None
                if maker in here:
                    assert here[maker].end_s <= here[node.name].start_s, f"seed {seed}"
                elif here is cloud:
                    read = cloud[f"dequantize {name}" if name in packed else node.name]
                    assert link[name].end_s + one_way_s <= read.start_s, f"seed {seed}"
                    assert read.start_s <= cloud[node.name].start_s, f"seed {seed}"
        for quantizer in quantizers:
            maker = graph.nodes[graph.producer[quantizer.name]].name if quantizer.name in graph.producer else None
            ready_s = device[maker].end_s if maker else costs.device.program_s
            if quantizer.codec == "packed":
                assert device[f"quantize {quantizer.name}"].start_s == ready_s, f"seed {seed}"
                ready_s = device[f"quantize {quantizer.name}"].end_s
            assert link[quantizer.name].start_s >= ready_s, f"seed {seed}"


def test_one_thing_at_a_time_and_the_link_in_the_order_of_readiness():
    for seed in SEEDS:
        graph, mask, quantizers, costs = random_split(seed)
        found = schedule(graph, mask, quantizers, costs)
        for stage in (found.device, found.link, found.cloud):
            assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(stage)), f"seed {seed}"
        # The device never waits, and the link only for the next value.
        assert all(a.end_s == b.start_s for a, b in itertools.pairwise(found.device)), f"seed {seed}"
        done = {span.name: span.end_s for span in found.device} | dict.fromkeys(graph.inputs, costs.device.program_s)
        maker = {name: graph.nodes[index].name for name, index in graph.producer.items()}
        ready = [done.get(f"quantize {s.name}", done[maker.get(s.name, s.name)]) for s in found.link]
        assert ready == sorted(ready), f"seed {seed}"
        for before, span, ready_s in zip((None, *found.link), found.link, ready, strict=False):
            assert span.start_s == max(before.end_s if before else 0.0, ready_s), f"seed {seed}"


def test_operations_wait_for_earlier_ones_only():
    for seed in SEEDS:
        for place, operation in enumerate(operations(*random_split(seed))):
            assert all(earlier < place for earlier in operation.after), f"seed {seed}"


# Johnson's rule


def all_orders(graph, mask):
    """Every topological order of the nodes in `mask`."""

    def extend(done, order):
        if done == mask:
            yield order
        for index in range(len(graph.nodes)):
            if mask & ~done & 1 << index and not graph.predecessors[index] & ~done:
                yield from extend(done | 1 << index, (*order, index))

    return extend(0, ())


def scheduled_in(order, *split):
    with mock.patch.object(coachc.passes.schedule, "device_order", return_value=order):
        return schedule(*split)


def forked(rng):
    """A stem that forks into chains on the device, which meet on the cloud; a raw input carries the header."""
    lengths = rng.integers(1, 3, int(rng.integers(2, 4)))
    reads, ends = ["x"], []
    for length in lengths:
        for step in range(length):
            reads.append("v0" if step == 0 else f"v{len(reads) - 1}")
        ends.append(f"v{len(reads) - 1}")
    reads.append(" ".join([*ends, "x"]))
    graph = graph_of(reads, elements={name: int(rng.integers(1, 3000)) for name in ends}, dtypes={"x": "int64"})
    seconds = rng.uniform(0, 1, len(reads))
    costs = costs_of(seconds, seconds, bandwidth=float(10 ** rng.uniform(2.5, 4)), bytes_per_s=1e5)
    return graph, (1 << len(reads) - 1) - 1, (Quantizer("x", "raw", 64), *eight_bits(*ends)), costs


def test_johnson_ends_the_last_send_of_independent_branches_first():
    better = 0
    for seed in range(120):
        split = forked(np.random.default_rng(seed))
        best_s = min(scheduled_in(order, *split).link[-1].end_s for order in all_orders(*split[:2]))
        assert schedule(*split, order="johnson").link[-1].end_s == pytest.approx(best_s, rel=1e-9), f"seed {seed}"
        better += schedule(*split).link[-1].end_s > best_s * (1 + 1e-9)
    assert better > 30


def test_johnson_by_hand():
    # Computing 3 and sending 1, against computing 1 and sending 3: 7 s in the order of the graph, 5 s in the other.
    graph = graph_of(["x", "x", "v0 v1"], elements={"v0": 579, "v1": 2907})
    split = graph, 0b011, eight_bits("v0", "v1"), costs_of([3, 1, 9], [9, 9, 0], **PER_MS)
    assert device_order(*split) == (1, 0)
    assert schedule(*split).latency_s == pytest.approx(7)
    # The header of the request moves to the other value with the order.
    assert schedule(*split, order="johnson").latency_s == pytest.approx(1 + 3.33 + 0.67)
    assert schedule(*split, order="best") == schedule(*split, order="johnson")


def test_what_all_branches_share_does_not_decide():
    # After 10 s that both need, computing 1 and sending 5 goes before computing 2 and sending 8.
    graph = graph_of(["x", "v0", "v0", "v1 v2"], elements={"v1": 4907, "v2": 7907})
    split = graph, 0b0111, eight_bits("v1", "v2"), costs_of([10, 1, 2, 9], [9, 9, 9, 0], **PER_MS)
    assert device_order(*split) == (0, 1, 2)


def test_every_order_is_topological_and_complete():
    for seed in SEEDS:
        graph, mask, quantizers, costs = random_split(seed)
        order = device_order(graph, mask, quantizers, costs)
        assert sum(1 << index for index in order) == mask, f"seed {seed}"
        done = 0
        for index in order:
            assert not graph.predecessors[index] & ~done, f"seed {seed}"
            done |= 1 << index


def test_best_is_the_better_of_both():
    changed = 0
    for seed in SEEDS:
        split = random_split(seed)
        plain, johnson, best = (schedule(*split, order=order) for order in ("topological", "johnson", "best"))
        assert best == (johnson if johnson.latency_s < plain.latency_s else plain), f"seed {seed}"
        changed += johnson.latency_s < plain.latency_s
    assert changed > 10


def test_best_is_close_to_the_best_of_all_orders():
    gaps = []
    for seed in range(120):
        split = random_split(seed, most=7)
        orders = list(itertools.islice(all_orders(*split[:2]), 200))
        if len(split.quantizers) > 1 and len(orders) > 1:
            best_s = min(scheduled_in(order, *split).latency_s for order in orders)
            gaps.append(schedule(*split, order="best").latency_s / best_s - 1)
    assert len(gaps) >= 15
    assert np.mean(gaps) < 0.01
    assert max(gaps) < 0.1


@pytest.mark.parametrize("function", [schedule, operations, device_order])
def test_an_unknown_order_is_refused(function):
    with pytest.raises(ValueError, match="order 'random' is not one of topological, johnson, best"):
        function(graph_of(CHAIN), 0b0011, eight_bits("v1"), costs_of([1] * 4, [1] * 4), order="random")


def test_the_way_back_of_an_answer_is_nothing_that_overlapping_could_lose():
    for seed in SEEDS:
        graph, mask, quantizers, costs = random_split(seed)
        slow = dataclasses.replace(costs, link=dataclasses.replace(costs.link, answer_bytes=5000))
        plain, with_answer = (overlap(graph, mask, quantizers, one) for one in (costs, slow))
        # What is still on its way there meanwhile may hide some of it.
        assert with_answer.saved_s >= plain.saved_s - 1e-12, f"seed {seed}"
        one_by_one_s = stage_times(graph, mask, quantizers, slow).latency_s
        assert schedule(graph, mask, quantizers, slow).latency_s <= one_by_one_s + 1e-12, f"seed {seed}"
