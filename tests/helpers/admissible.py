"""A made-up accuracy: the fewest bits of every cut that it bears, and stage times from their definitions alone."""

from __future__ import annotations

import math

import numpy as np

from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, BitPlan, Rejected, quantizer_for
from coachc.passes.timeline import Costs
from tests.helpers.graphs import down_closed_subsets
from tests.helpers.searches import crossing
from tests.helpers.wire import entry_bytes

#: Bits of a cut that bears none of 2 to 8.
NONE = MAX_BITS + 1
WIDTH = {"int64": 8, "float32": 4}


class Admissible:
    """The lowest admissible bits of each cut, drawn once; a `passes.partition.Precision` that notes its calls.

    Attributes
    ----------
    bits : dict of int to int
        By mask, `NONE` where every precision loses too much.
    asked : list of (int, int)
        Mask and most bits of every call.
    """

    def __init__(self, graph: GraphView, rng: np.random.Generator, *, rejects: float = 0.2):
        self.graph = graph
        self.bits = {
            mask: NONE if rng.random() < rejects else int(rng.integers(MIN_BITS, MAX_BITS + 1))
            for mask in down_closed_subsets(graph)
        }
        self.asked: list[tuple[int, int]] = []

    def __call__(self, mask: int, cut: tuple[str, ...], most_bits: int) -> BitPlan | Rejected:
        assert set(cut) == crossing(self.graph, mask)
        self.asked.append((mask, most_bits))
        if self.bits[mask] > most_bits:
            return Rejected(f"mask {mask}", f"needs {self.bits[mask]} bits")
        return BitPlan(tuple(quantizer_for(self.graph.values[name], self.bits[mask]) for name in cut))


def stage_seconds(graph: GraphView, mask: int, bits: int, costs: Costs) -> tuple[float, float, float]:
    """Seconds of device, link and cloud; `UNQUANTIZED` bits send tensors as they are."""
    device_s = costs.device.program_s + sum(s for i, s in enumerate(costs.device.seconds) if mask >> i & 1)
    cloud_s = sum(s for i, s in enumerate(costs.cloud.seconds) if not mask >> i & 1)
    if mask == graph.full_mask:
        return float(device_s), 0.0, 0.0
    cut, payload, headers = crossing(graph, mask), 0, costs.link.request_bytes
    for name in cut:
        value = graph.values[name]
        headers += entry_bytes(value, None if bits == UNQUANTIZED else bits)
        if value.dtype == "int64" or bits == UNQUANTIZED:
            payload += WIDTH[value.dtype] * value.elements
            continue
        payload += math.ceil(value.elements * bits / 8)
        device_s += value.elements * 5 / costs.device.bytes_per_s + costs.device.overhead_s
        cloud_s += value.elements * 5 / costs.cloud.bytes_per_s + costs.cloud.overhead_s
    link_s = (payload + headers) / (costs.link.bandwidth_bytes_per_s * 0.955)
    return float(device_s), float(link_s), float(cloud_s)


def period_s(stages: tuple[float, float, float], costs: Costs) -> float:
    """The busiest stage; each of the devices has its share of the workers."""
    return max(stages[0], stages[1], stages[2] * costs.devices / costs.workers)


def cuttable(graph: GraphView, mask: int) -> bool:
    return all(graph.values[name].cuttable for name in crossing(graph, mask))
