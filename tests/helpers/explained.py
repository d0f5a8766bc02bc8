"""Plans of random graphs with a made-up accuracy, and what can be said of each of their ideals."""

from __future__ import annotations

import dataclasses
import math
from unittest import mock

import numpy as np

from coachc.core.operations import STAGES
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED
from coachc.cost.link import CODING_S_PER_BYTE
from coachc.errors import InfeasibleError
from coachc.passes.cluster import cluster
from coachc.passes.half_memory import half_memory
from coachc.passes.partition import Limits
from coachc.passes.timeline import wire_bytes
from coachc.planning import precisions
from coachc.planning.calibration import Calibration
from coachc.planning.explain import explain
from coachc.planning.make_plan import make_plan
from coachc.planning.precisions import MeasuredPrecision
from coachc.planning.problem import Problem
from coachc.runtime.bundle.frame import FRAME_HEADER_BYTES
from coachc.runtime.bundle.manifest_types import Layout
from tests.helpers.admissible import Admissible, cuttable, period_s, stage_seconds
from tests.helpers.graphs import down_closed_subsets, random_costs, random_graph
from tests.helpers.searches import crossing

NO_LIMITS = Limits()


class Measured(MeasuredPrecision):
    """Remembers as the real one does, and asks a made-up accuracy instead of samples.

    `coded` holds by mask the share of its packed bytes that a cut takes once it is coded; none of the others is coded.
    """

    def __init__(self, problem, source, coded=None):
        super().__init__(problem, None, 0.01)
        self.problem, self.source, self.coded = problem, source, coded or {}

    def __call__(self, mask, cut, most_bits):
        def quickly_coded(evaluator, bits):
            layouts = (Layout("bytes", (), "huffman", 9),) * len(bits.quantizers)
            return dataclasses.replace(bits, layouts=layouts, coded_bytes=self.coded_bytes(mask, bits))

        with mock.patch.object(precisions, "quickly_coded", quickly_coded):
            return super().__call__(mask, cut, most_bits)

    def coded_bytes(self, mask, bits):
        packed = sum(wire_bytes(self.problem.graph.values[q.name], q) for q in bits.quantizers)
        return self.coded[mask] * packed if mask in self.coded else None

    def evaluator(self, mask):
        cut = self.problem.graph.cut_values(mask)
        return mock.Mock(lowest=lambda most_bits: self.source(mask, cut, most_bits))


class Case:
    """A random graph with its plan, and all that can be known about its ideals."""

    def __init__(self, seed, *, limited=False, coded=False):
        rng = np.random.default_rng([seed, 61])
        self.graph = random_graph(rng, most=8)
        self.costs = dataclasses.replace(random_costs(self.graph, rng), devices=int(rng.integers(1, 3)))
        if self.costs.devices > 1:
            self.costs = dataclasses.replace(self.costs, workers=int(rng.integers(1, 3)))
        self.source = Admissible(self.graph, rng)
        self.masks = down_closed_subsets(self.graph)
        self.limits, self.coded = NO_LIMITS, {}
        if limited:
            latencies = sorted(self.latency_s(mask, MAX_BITS) for mask in self.masks)
            memory = half_memory(self.graph, self.graph.full_mask, 4).total_bytes
            self.limits = Limits(latencies[int(rng.integers(len(latencies)))] * 1.01, int(memory * rng.uniform(0.3, 1)))
        self.problem = Problem(None, self.graph, cluster(self.graph), self.costs)
        # Coded 3 to 8 bits take more than 2, so that the search's bounds hold.
        shares = {m: float(rng.uniform(0.7, 1)) for m in self.masks if rng.random() < 0.5 and self.source.bits[m] > 2}
        if coded:
            self.coded = shares
        self.precision = Measured(self.problem, self.source, self.coded)
        calibration = Calibration("labels", self.precision, None, None, self.precision)
        try:
            planned = make_plan(self.problem, calibration, self.limits)
        except InfeasibleError:
            self.plan = None
            return
        self.plan, self.plan_s, self.found = planned.plan, planned.plan.way.timeline.period_s, planned.found

    def explain(self, **options):
        return explain(self.problem, self.plan, self.masks, precision=self.precision, limits=self.limits, **options)

    def stages(self, mask, bits):
        """Seconds of each stage; a cut whose precision was measured is coded where that is faster."""
        device_s, link_s, cloud_s = stage_seconds(self.graph, mask, bits, self.costs)
        if bits != UNQUANTIZED and mask in self.coded and self.known(mask) == (True, bits):
            values = [self.graph.values[name] for name in crossing(self.graph, mask)]
            packed = sum(math.ceil(v.elements * bits / 8) if v.dtype == "float32" else 8 * v.elements for v in values)
            rate = self.costs.link.bandwidth_bytes_per_s * 0.955
            saved_s = packed * (1 - self.coded[mask]) / rate - packed * CODING_S_PER_BYTE
            frames = FRAME_HEADER_BYTES * sum(v.dtype == "float32" for v in values)
            link_s -= saved_s if saved_s > 0 else -frames / rate
        return device_s, link_s, cloud_s

    def period_s(self, mask, bits):
        return period_s(self.stages(mask, bits), self.costs)

    def latency_s(self, mask, bits):
        device_s, link_s, cloud_s = self.stages(mask, bits)
        if mask == self.graph.full_mask:
            return device_s
        return device_s + link_s + cloud_s * (1 + self.costs.queue_length) + self.costs.link.rtt_s

    def known(self, mask):
        """Bits that are certain, and the fewest that are not ruled out."""
        calls = [most for asked, most in self.source.asked if asked == mask]
        needed = self.source.bits[mask]
        if any(needed <= most or most == MAX_BITS for most in calls):
            return True, needed
        return False, max(calls, default=MIN_BITS - 1) + 1

    def ways(self, mask):
        """Bits with which a cut can be had, `UNQUANTIZED` last."""
        if mask == self.graph.full_mask:
            return [UNQUANTIZED]
        bits = self.known(mask)[1]
        return [bits, UNQUANTIZED] if bits <= MAX_BITS else [UNQUANTIZED]

    def fits(self, mask):
        memory = self.limits.device_memory_bytes
        return memory is None or half_memory(self.graph, mask, 4).total_bytes <= memory

    def in_time(self, mask, bits):
        return self.limits.max_latency_s is None or self.latency_s(mask, bits) <= self.limits.max_latency_s

    def best_way(self, mask):
        if mask != self.graph.full_mask and not (cuttable(self.graph, mask) and self.fits(mask)):
            return MIN_BITS

        def rank(bits):
            return (
                not self.in_time(mask, bits),
                round(self.period_s(mask, bits) * 1e9),
                self.latency_s(mask, bits),
            )

        return min(self.ways(mask), key=rank)

    def binds(self, mask):
        """What may be said to bind a candidate; more than one thing only where two times are equal."""
        if not cuttable(self.graph, mask):
            return {"shape"}
        if not self.fits(mask):
            return {"memory"}
        if mask != self.graph.full_mask and self.known(mask)[1] > MAX_BITS:
            return {"accuracy"}
        way = self.best_way(mask)
        if not self.in_time(mask, way):
            return {"latency"}
        device_s, link_s, cloud_s = self.stages(mask, way)
        times = dict(zip(STAGES, (device_s, link_s, cloud_s / self.costs.server_share), strict=True))
        slowest = {stage for stage, s in times.items() if near(s, max(times.values()))}
        if mask == self.graph.full_mask:
            return slowest
        hope_s, best_s = self.period_s(mask, MIN_BITS), min(self.period_s(mask, bits) for bits in self.ways(mask))
        if near(hope_s, self.plan_s) or near(best_s, self.plan_s):
            return {"accuracy"} | slowest
        return {"accuracy"} if hope_s < self.plan_s < best_s else slowest


def near(a, b):
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-15)


def cases(seeds, **options):
    for seed in seeds:
        case = Case(seed, **options)
        if case.plan is not None:
            yield seed, case
