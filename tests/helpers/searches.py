"""Series-parallel graphs, and stage times of partitions from their definitions alone."""

from __future__ import annotations

import math

import numpy as np

from coachc.core.graph import GraphView
from coachc.passes.timeline import Costs
from tests.helpers.graphs import graph_of
from tests.helpers.wire import entry_bytes

#: Objectives compare whole nanoseconds.
TICK = 1.5e-9


def random_series_parallel(rng: np.random.Generator, *, most: int = 14, cuttable: float = 1.0) -> GraphView:
    """Chains and parallel branches nested in each other, about `most` nodes at most."""
    reads = ["x"]

    def extend(last: int, budget: int, depth: int) -> int:
        """Append to node `last` some nodes that end in one, whose index is returned."""
        while budget > 0:
            if budget < 3 or depth > 2 or rng.random() < 0.45:
                reads.append(f"v{last}")
                last, budget = len(reads) - 1, budget - 1
                continue
            branches = int(rng.integers(2, min(4, budget - 1) + 1))
            ends = []
            for _ in range(branches):
                share = int(rng.integers(1, max((budget - 1) // branches, 1) + 1))
                ends.append(extend(last, share, depth + 1))
                budget -= share
            reads.append(" ".join(f"v{end}" for end in dict.fromkeys(ends)))
            last, budget = len(reads) - 1, budget - 1
        return last

    extend(0, int(rng.integers(2, most - 1)), 0)
    names = ["x", *(f"v{i}" for i in range(len(reads)))]
    return graph_of(
        reads,
        elements={name: int(rng.integers(1, 4000)) for name in names},
        dtypes={name: "int64" for name in names if rng.random() < 0.1},
        uncuttable={name for name in names if rng.random() >= cuttable},
    )


def crossing(graph: GraphView, mask: int) -> set[str]:
    """Values of a cut, straight from the definition."""
    inside = {name for index, node in enumerate(graph.nodes) if mask >> index & 1 for name in node.outputs}
    outside = {name for index, node in enumerate(graph.nodes) if not mask >> index & 1 for name in node.inputs}
    return (inside | set(graph.inputs)) & outside


def stages(graph: GraphView, mask: int, bits: int, costs: Costs) -> tuple[float, float, float, int]:
    """Seconds of device, link and cloud, and bytes; infinite link where a value cannot cross."""
    device_s = costs.device.program_s + sum(s for i, s in enumerate(costs.device.seconds) if mask >> i & 1)
    cloud_s = sum(s for i, s in enumerate(costs.cloud.seconds) if not mask >> i & 1)
    if mask == graph.full_mask:
        return device_s, 0.0, 0.0, 0
    cut = crossing(graph, mask)
    payload, headers = 0, costs.link.request_bytes
    for name in cut:
        value = graph.values[name]
        headers += entry_bytes(value, bits)
        if value.dtype == "int64":
            payload += 8 * value.elements
            continue
        payload += math.ceil(value.elements * bits / 8)
        device_s += value.elements * 5 / costs.device.bytes_per_s + costs.device.overhead_s
        cloud_s += value.elements * 5 / costs.cloud.bytes_per_s + costs.cloud.overhead_s
    link_s = (payload + headers) / (costs.link.bandwidth_bytes_per_s * 0.955)
    if not all(graph.values[name].cuttable for name in cut):
        link_s = math.inf
    return device_s, link_s, cloud_s, payload


def period(graph: GraphView, mask: int, bits: int, costs: Costs) -> float:
    device_s, link_s, cloud_s, _ = stages(graph, mask, bits, costs)
    return max(device_s, link_s, cloud_s / costs.workers)


def latency(graph: GraphView, mask: int, bits: int, costs: Costs) -> float:
    device_s, link_s, cloud_s, _ = stages(graph, mask, bits, costs)
    return device_s + link_s + cloud_s + (costs.link.rtt_s if mask != graph.full_mask else 0.0)


def best_two(graph: GraphView, masks, bits: int, costs: Costs) -> tuple[float, float]:
    """Least period of some partitions, and the least latency of those that have it to within `TICK`."""
    rows = [(period(graph, mask, bits, costs), latency(graph, mask, bits, costs)) for mask in masks]
    least = min(row[0] for row in rows)
    return least, min(row[1] for row in rows if row[0] <= least + 1e-12)
