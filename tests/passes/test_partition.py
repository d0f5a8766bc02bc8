"""The search against brute force: every subset of small random graphs, costed from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.core.plan import MAX_BITS, MIN_BITS, BitPlan, Quantizer, Rejected
from coachc.passes.candidates import auto
from coachc.passes.candidates.candidate_masks import compute_bound_s
from coachc.passes.objective import Overlap, key, rank
from coachc.passes.partition import Limits, search
from coachc.passes.schedule import schedule
from coachc.passes.timeline import from_stages
from tests.helpers.alive import activations_bytes
from tests.helpers.graphs import CHAIN, DIAMOND, costs_of, down_closed_subsets, graph_of, random_costs, random_graph
from tests.helpers.wire import entry_bytes

#: `key` compares whole nanoseconds.
TICK = 1.5e-9
NO_LIMITS = Limits()


def crossing(graph, mask):
    """Values of a cut, straight from the definition."""
    inside = {name for index, node in enumerate(graph.nodes) if mask >> index & 1 for name in node.outputs}
    outside = {name for index, node in enumerate(graph.nodes) if not mask >> index & 1 for name in node.inputs}
    return (inside | set(graph.inputs)) & outside


#: Stands for tensors that are sent as they are.
AS_IT_IS = None
WIDTH = {"int64": 8, "float32": 4}


def cost(graph, mask, bits, costs):
    """(period, latency, bytes) of a partition, from the definitions alone."""
    device_s = costs.device.program_s + sum(s for i, s in enumerate(costs.device.seconds) if mask >> i & 1)
    cloud_s = sum(s for i, s in enumerate(costs.cloud.seconds) if not mask >> i & 1)
    payload, headers = 0, 330
    for name in crossing(graph, mask):
        value = graph.values[name]
        headers += entry_bytes(value, bits)
        if value.dtype == "int64" or bits is AS_IT_IS:
            payload += WIDTH[value.dtype] * value.elements
            continue
        payload += math.ceil(value.elements * bits / 8)
        device_s += value.elements * 5 / costs.device.bytes_per_s + costs.device.overhead_s
        cloud_s += value.elements * 5 / costs.cloud.bytes_per_s + costs.cloud.overhead_s
    link_s = (payload + headers) / (costs.link.bandwidth_bytes_per_s * 0.955)
    period_s = max(device_s, link_s, cloud_s / costs.workers)
    return period_s, device_s + link_s + cloud_s + costs.link.rtt_s, payload


def scheduled(graph, mask, bits, costs):
    """Latency with each operator, send and dequantization as early as its stage and what it reads allow."""

    def packed(name):
        return graph.values[name].dtype != "int64" and bits is not AS_IT_IS

    def quantize(side, name):
        return graph.values[name].elements * 5 / side.bytes_per_s + side.overhead_s if packed(name) else 0.0

    cut, ready, clock, rate = (
        crossing(graph, mask),
        {},
        costs.device.program_s,
        costs.link.bandwidth_bytes_per_s * 0.955,
    )
    for name in graph.inputs:
        if name in cut:
            clock += quantize(costs.device, name)
            ready[name] = clock
    for index, node in enumerate(graph.nodes):
        if mask >> index & 1:
            clock += costs.device.seconds[index]
            for name in node.outputs:
                if name in cut:
                    clock += quantize(costs.device, name)
                    ready[name] = clock
    link, arrived, header = 0.0, {}, 330
    for name in sorted(ready, key=ready.get):
        value = graph.values[name]
        size = math.ceil(value.elements * bits / 8) if packed(name) else WIDTH[value.dtype] * value.elements
        link = max(link, ready[name]) + (size + entry_bytes(value, bits) + header) / rate
        arrived[name], header = link + costs.link.rtt_s / 2, 0
    clock, done = 0.0, {}
    for index, node in enumerate(graph.nodes):
        if mask >> index & 1:
            continue
        for name in sorted({n for n in node.inputs if n in arrived} - set(done), key=arrived.get):
            if packed(name):
                clock = max(clock, arrived[name]) + quantize(costs.cloud, name)
            done[name] = clock if packed(name) else arrived[name]
        if not cut:
            done[""] = 330 / rate + costs.link.rtt_s / 2
        clock = (
            max([clock, *(done[n] for n in node.inputs if n in done), done.get("", 0.0)]) + costs.cloud.seconds[index]
        )
        done |= dict.fromkeys(node.outputs, clock)
    return clock + costs.link.rtt_s / 2


def memory(graph, mask):
    return 4 * sum(node.work.weight_elements for node in graph.nodes_in(mask)) + activations_bytes(graph, mask, 4)


class Precision:
    """The lowest admissible bits of each cut, decided by the seed; counts its calls."""

    def __init__(self, graph, rng, *, rejects=0.2):
        self.graph = graph
        self.bits = {
            mask: 9 if rng.random() < rejects else int(rng.integers(MIN_BITS, MAX_BITS + 1))
            for mask in down_closed_subsets(graph)
        }
        self.called: list[int] = []

    def __call__(self, mask, cut, most_bits):
        assert set(cut) == crossing(self.graph, mask)
        assert mask not in self.called
        self.called.append(mask)
        if self.bits[mask] > most_bits:
            return Rejected(f"mask {mask}", f"needs {self.bits[mask]} bits")
        return BitPlan(tuple(self.quantizer(name, self.bits[mask]) for name in cut))

    def quantizer(self, name, bits):
        if self.graph.values[name].dtype == "int64":
            return Quantizer(name, "raw", 64)
        return Quantizer(name, "packed", bits)


def brute_force(graph, costs, bits, objective, limits=NO_LIMITS, *, lossless=True):
    """Every admissible split with its cost, best first: at its number of bits, and with tensors as they are."""
    found = []
    for mask in down_closed_subsets(graph):
        if mask == graph.full_mask or not all(graph.values[name].cuttable for name in crossing(graph, mask)):
            continue
        if limits.device_memory_bytes is not None and memory(graph, mask) > limits.device_memory_bytes:
            continue
        for chosen in (bits[mask], AS_IT_IS) if lossless else (bits[mask],):
            if chosen is not AS_IT_IS and chosen > MAX_BITS:
                continue
            period_s, latency_s, payload = cost(graph, mask, chosen, costs)
            if limits.max_latency_s is not None and latency_s > limits.max_latency_s:
                continue
            first = (latency_s, period_s)
            if objective == "exact":
                first = (period_s, scheduled(graph, mask, chosen, costs))
            found.append((*first, payload, mask.bit_count(), mask, 0 if chosen is AS_IT_IS else chosen))
    return sorted(found)


def agrees(found, expected, objective):
    """Whether the search's best is brute force's, equal seconds to a tick being a tie."""
    if found.best is None:
        return not expected
    timeline = found.best.timeline
    mine = (timeline.latency_s, timeline.period_s)
    if objective == "exact":
        mine = (timeline.period_s, timeline.latency_s - found.best.overlap.saved_s)
    if not expected or abs(mine[0] - expected[0][0]) > TICK:
        return False
    ties = [e for e in expected if e[0] - expected[0][0] < TICK and e[1] - expected[0][1] < TICK]
    return found.best.mask in {e[-2] for e in ties} and (
        len(ties) > 1 or found.best.timeline.payload_bytes == ties[0][2]
    )


@pytest.mark.parametrize("objective", ["exact", "latency"])
@pytest.mark.parametrize("block", range(10))
def test_equals_brute_force(block, objective):
    called = possible = as_they_are = 0
    for seed in range(20 * block, 20 * block + 20):
        rng = np.random.default_rng([seed, objective == "latency"])
        graph = random_graph(rng, source=seed % 2 == 0)
        costs = random_costs(graph, rng)
        precision = Precision(graph, rng)
        found = search(graph, costs, precision, objective=objective)
        expected = brute_force(graph, costs, precision.bits, objective)
        where = f"seed {seed}, {objective}: found {found.best}, expected {expected[:2]}"
        assert agrees(found, expected, objective), where
        assert found.candidates == len(down_closed_subsets(graph)), where
        assert found.best is None or found.bound_s == found.best.timeline.period_s, where
        assert found.measured == len(precision.called), where
        if found.best is None:
            continue
        best = found.best
        packed = any(quantizer.codec == "packed" for quantizer in best.bits.quantizers)
        chosen = precision.bits[best.mask] if packed else AS_IT_IS
        if packed:
            quantizers = tuple(precision.quantizer(n, precision.bits[best.mask]) for n in best.cut)
            assert best.bits == BitPlan(quantizers), where
        as_they_are += not packed
        period_s, latency_s, payload = cost(graph, best.mask, chosen, costs)
        assert best.timeline.period_s == pytest.approx(period_s, rel=1e-12), where
        assert best.timeline.latency_s == pytest.approx(latency_s, rel=1e-12), where
        assert best.timeline.payload_bytes == payload, where
        # Only cuts that could still win with the fewest bits were measured.
        goal = latency_s if objective == "latency" else period_s
        for mask in precision.called[1:]:  # the first is a guess
            hope_s, hope_latency_s, _ = cost(graph, mask, MIN_BITS, costs)
            assert (hope_latency_s if objective == "latency" else hope_s) <= goal + TICK, where
        called += len(precision.called)
        hopes = dict.fromkeys(precision.bits, MIN_BITS)
        possible += len(brute_force(graph, costs, hopes, objective, lossless=False))
        if objective == "exact":
            assert compute_bound_s(costs) <= best.timeline.period_s + TICK, where
            assert found.bound_s == best.timeline.period_s, where
    assert called < possible / 2, "nearly every cut was measured"
    assert as_they_are, "sending tensors as they are never won"


@pytest.mark.parametrize("block", range(5))
def test_limits_equal_brute_force(block):
    met = missed = 0
    for seed in range(20 * block, 20 * block + 20):
        rng = np.random.default_rng([seed, 7])
        graph = random_graph(rng, most=10)
        costs = random_costs(graph, rng)
        precision = Precision(graph, rng)
        latencies = [cost(graph, mask, 8, costs)[1] for mask in down_closed_subsets(graph) if mask != graph.full_mask]
        limits = Limits(
            max_latency_s=float(np.quantile(latencies, rng.uniform(0, 0.6)) * rng.choice([0.7, 1.0])),
            device_memory_bytes=int(memory(graph, graph.full_mask) * rng.uniform(0.1, 1.0)),
        )
        found = search(graph, costs, precision, limits=limits)
        expected = brute_force(graph, costs, precision.bits, "exact", limits)
        where = f"seed {seed}: found {found.best}, expected {expected[:2]}"
        assert agrees(found, expected, "exact"), where
        if found.best is not None:
            met += 1
            assert found.best.timeline.latency_s <= limits.max_latency_s, where
            assert memory(graph, found.best.mask) <= limits.device_memory_bytes, where
        elif found.closest is not None:
            missed += 1
            assert found.closest.timeline.latency_s > limits.max_latency_s, where
            unmeasured = brute_force(
                graph, costs, dict.fromkeys(precision.bits, MIN_BITS), "latency",
                Limits(device_memory_bytes=limits.device_memory_bytes),
            )  # fmt: skip
            assert found.closest.timeline.latency_s >= unmeasured[0][0] - TICK, where
    assert met
    assert missed


def always(bits):
    return lambda mask, cut, most_bits: BitPlan(tuple(Quantizer(name, "packed", bits) for name in cut))


class TestByHand:
    graph = graph_of(CHAIN, elements={"x": 4000, "v0": 8000, "v1": 800, "v2": 80})
    costs = costs_of([0.004] * 4, [0.001] * 4, bandwidth=1e6, bytes_per_s=1e12)

    def test_one_call_settles_it_where_the_fewest_bits_will_do(self):
        calls = []

        def precision(mask, cut, most_bits):
            calls.append(mask)
            return always(MIN_BITS)(mask, cut, most_bits)

        found = search(self.graph, self.costs, precision)
        # Device 4 ms, 8 ms, 12 ms, 16 ms; 8000 values of 2 bits take 2.5 ms, 4000 values 1.5 ms.
        assert (found.best.mask, calls, found.measured, found.candidates) == (0, [0], 1, 5)
        assert found.best.timeline.period_s == pytest.approx(4e-3, rel=1e-3)

    def test_more_bits_may_move_the_cut(self):
        found = search(self.graph, self.costs, always(8))
        # The input at 8 bits takes 4.6 ms, v0 8.8 ms; behind node 1 the device takes 8 ms: the input still wins, but
        # not if its samples need more than there is.
        assert found.best.mask == 0
        reject = Rejected("cut at x", "noise")
        found = search(self.graph, self.costs, lambda m, c, b: reject if m == 0 else always(8)(m, c, b))
        assert found.best.mask == 0b0011
        assert found.rejected == (reject,)

    def test_a_challenger_is_asked_for_no_more_bits_than_it_wins_with(self):
        asked = {}

        def precision(mask, cut, most_bits):
            asked[mask] = most_bits
            return always(8)(mask, cut, most_bits) if most_bits == 8 else Rejected("cut", "needs 8 bits")

        graph = graph_of(["x", "v0"], elements={"x": 4000, "v0": 2000})
        costs = costs_of([0.0025, 0.1], [0.0, 0.0001], bandwidth=0.5e6, bytes_per_s=1e12)
        # v0 comes first, since at 2 bits the device's 2.5 ms count; it gets 8 bits: 2000 bytes. The input at n bits
        # is 500 n bytes: with 4 bits the link takes as long, and the device, idle, makes the latency shorter.
        assert search(graph, costs, precision).best.mask == 1
        assert asked == {1: 8, 0: 4}

    def test_mask_0_can_be_left_out(self):
        found = search(self.graph, self.costs, always(8), keep=lambda mask: mask != 0)
        assert found.best.mask == 0b0011
        assert search(self.graph, self.costs, always(8), keep=lambda mask: False).best is None

    def test_a_value_without_static_shape_is_not_cut(self):
        graph = graph_of(CHAIN, uncuttable={"x", "v0"})
        found = search(graph, self.costs, always(2))
        assert found.best.mask == 0b0011
        assert [(r.what, r.reason) for r in found.rejected] == [
            ("cut at x", "'x' has no static shape, or no type that can be sent"),
            ("cut at v0", "'v0' has no static shape, or no type that can be sent"),
        ]  # fmt: skip

    def test_what_needs_more_memory_than_there_is_is_left_out(self):
        graph = random_graph(np.random.default_rng(3))
        found = search(graph, random_costs(graph, np.random.default_rng(3)), always(2), limits=Limits(None, 0))
        assert found.best is None or found.best.mask == 0
        assert any("MiB on the device, which has 0 MiB" in r.reason for r in found.rejected)

    def test_integers_cross_raw(self):
        graph = graph_of(CHAIN, dtypes={"v1": "int64"})
        timeline = search(
            graph, self.costs, lambda m, c, b: BitPlan((Quantizer("v1", "raw", 64),)), keep=lambda m: m == 3
        )
        assert timeline.best.timeline.payload_bytes == 64


@pytest.mark.parametrize("seed", range(40))
def test_too_many_ideals(seed):
    rng = np.random.default_rng([seed, 11])
    graph = random_graph(rng, most=9)
    costs = random_costs(graph, rng)
    precision = Precision(graph, rng, rejects=0.0)
    every = search(graph, costs, precision)
    again = Precision.__call__.__get__(precision_again(precision))
    few = auto.candidates(graph, costs, "exact", limit=2)
    some = search(graph, costs, again, candidates=few)
    assert every.method == some.method == "exact"
    assert some.candidates == few.seen
    if few.complete:  # a chain has no more than its boundaries
        assert some.best.timeline == every.best.timeline
    packed_s = brute_force(graph, costs, precision.bits, "exact", lossless=False)[0][0]
    assert every.bound_s == every.best.timeline.period_s
    assert some.bound_s >= compute_bound_s(costs) - TICK
    if some.best is not None:
        assert some.bound_s <= packed_s + TICK
        assert every.best.timeline.period_s <= some.best.timeline.period_s + TICK


def precision_again(precision):
    again = object.__new__(Precision)
    again.graph, again.bits, again.called = precision.graph, precision.bits, []
    return again


class TestBound:
    @pytest.mark.parametrize(
        ("device", "cloud", "workers", "bound_s"),
        [
            # Node by node to the cloud: 4 - 4p = 1 + p, so p = 0.6.
            ([4, 4], [1, 1], 1, 1.6),
            # The first is 10 times faster there and goes; 6 - 6p = 1 + 3p.
            ([10, 6], [1, 3], 1, 8 / 3),
            # Two workers halve the cloud's share: 4 - 4p = 0.5 + 0.5p.
            ([4, 4], [1, 1], 2, 8 / 9),
            # Free on the cloud: all of it goes.
            ([4, 4], [0, 0], 1, 0),
            # Slower on the cloud: a part still goes, 4 - 4p = 16p.
            ([4], [16], 1, 3.2),
            ([0, 0], [0, 0], 1, 0),
        ],
    )
    def test_by_hand(self, device, cloud, workers, bound_s):
        assert compute_bound_s(costs_of(device, cloud, workers=workers)) == pytest.approx(bound_s)

    @pytest.mark.parametrize("seed", range(50))
    def test_is_below_every_assignment_and_not_by_more_than_one_operator(self, seed):
        rng = np.random.default_rng([seed, 13])
        count = int(rng.integers(1, 9))
        device, cloud, workers = rng.uniform(0, 1, count), rng.uniform(0, 1, count), int(rng.integers(1, 4))
        assignments = [
            max(
                sum(seconds for i, seconds in enumerate(device) if mask >> i & 1),
                sum(seconds for i, seconds in enumerate(cloud) if not mask >> i & 1) / workers,
            )
            for mask in range(2**count)
        ]
        bound_s = compute_bound_s(costs_of(device, cloud, workers=workers))
        assert bound_s <= min(assignments) + 1e-12
        assert min(assignments) <= bound_s + max(*device, *cloud)


def test_a_diamond_may_be_cut_in_both_branches():
    graph = graph_of(DIAMOND, elements={"x": 10**6, "v0": 10**6, "v1": 10, "v2": 10, "v3": 10**6})
    costs = costs_of([1e-3] * 5, [1e-4] * 5, bandwidth=1e6, bytes_per_s=1e12)
    found = search(graph, costs, always(8))
    assert found.best.cut == ("v1", "v2")
    assert found.best.mask == 0b00111


@pytest.mark.parametrize("block", range(5))
def test_eq6_equals_brute_force(block):
    """COACH's Eq. 6 falls as the link takes longer where another stage is longest, so no number of bits is a bound."""
    differs = 0
    for seed in range(20 * block, 20 * block + 20):
        rng = np.random.default_rng([seed, 17])
        graph = random_graph(rng, most=9)
        costs = random_costs(graph, rng)
        precision = Precision(graph, rng)
        found = search(graph, costs, precision, objective="paper-eq6")
        keys = []
        for *_, mask, _ in brute_force(graph, costs, precision.bits, "latency", lossless=False):
            quantizers = [precision.quantizer(name, precision.bits[mask]) for name in graph.cut_values(mask)]
            placed = schedule(graph, mask, quantizers, costs)
            overlap = Overlap(placed.link_overlap_s, placed.cloud_overlap_s)
            timeline = from_stages(placed.device_s, placed.link_s, placed.cloud_s, 0, costs)
            keys.append((*key(timeline, mask, "paper-eq6", overlap)[:2], mask))
        keys.sort()
        assert (found.best is None) == (not keys), f"seed {seed}"
        if found.best is not None:
            assert rank(found.best, "paper-eq6")[:2] == pytest.approx(keys[0][:2], abs=2), f"seed {seed}"
            differs += found.best.mask != brute_force(graph, costs, precision.bits, "exact", lossless=False)[0][-2]
    assert differs, "Eq. 6 never disagreed with the least period"


@pytest.mark.parametrize("seed", range(8))
def test_equals_brute_force_over_all_subsets_of_16_operators(seed):
    rng = np.random.default_rng([seed, 16])
    graph = random_graph(rng, most=16)
    while len(graph.nodes) < 16:
        graph = random_graph(rng, most=16)
    costs = random_costs(graph, rng)
    precision = Precision(graph, rng)
    found = search(graph, costs, precision)
    expected = brute_force(graph, costs, precision.bits, "exact")
    assert agrees(found, expected, "exact"), f"seed {seed}: found {found.best}, expected {expected[:2]}"
