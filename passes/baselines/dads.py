"""DADS (Hu et al., INFOCOM 2019): min cuts, for light load (DSL) and heavy load (DSH). Tensors travel unquantized.

DSL minimises T_e + T_t + T_c; on a correct graph its min cut is exactly the least sum over all ideals, which is how it
is computed here where all ideals are known (`min_cut` is the graph itself, and the test that both agree). DSH
searches weights for a small max{T_e, T_t, T_c}: it solves weighted DSL problems and keeps the best true maximum.

The published graph has no edges that forbid data flowing from the cloud back to the device; `min_cut(closure=False)`
builds it, and shows the error where operators differ in how much faster the cloud runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from coachc.core.graph import GraphView
from coachc.core.masks import mask_of
from coachc.core.plan import UNQUANTIZED, Way, quantizer_for
from coachc.passes.baselines.costing import serial_s
from coachc.passes.strategy import Strategy, strategy_of
from coachc.passes.timeline import Costs, header_bytes, uniform_way

#: Weights DSH tries for device and cloud, the link's being 1: a grid even in the logarithm, and (1, 1), which the
#: published bound of 3 times the optimum rests on.
WEIGHTS = (0.0, *(float(w) for w in np.geomspace(0.05, 40.0, 15)))
#: Sum of all capacities after scaling; int32 flows stay exact.
_CAPACITY_SUM = 2**29


def dsl(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """Light load: least T_e + T_t + T_c."""
    ways = [uniform_way(graph, mask, UNQUANTIZED, costs) for mask in masks]
    best = min(ways, key=lambda w: (serial_s(w.timeline), w.timeline.payload_bytes, w.mask))
    return strategy_of("DADS, light load (DSL)", best, "least device + link + cloud over all cuts, unquantized")


def dsh(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """Heavy load: the least max{T_e, T_t, T_c} among weighted DSL solutions."""
    ways = [uniform_way(graph, mask, UNQUANTIZED, costs) for mask in masks]
    stages = np.array([_stages(way) for way in ways])
    pairs = [(a, c) for a in WEIGHTS for c in WEIGHTS] + [(1.0, 1.0)]
    chosen = {int(np.argmin(stages @ np.array([a, 1.0, c]))) for a, c in pairs}
    best: Way = min((ways[i] for i in chosen), key=lambda w: (max(_stages(w)), w.timeline.payload_bytes, w.mask))
    return strategy_of("DADS, heavy load (DSH)", best, "least max stage among weighted min cuts, unquantized")


def min_cut(graph: GraphView, costs: Costs, *, closure: bool = True) -> int:
    """The operators DSL puts on the device: the source side of its min cut.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    closure : bool
        With edges of infinite capacity from every operator to those it reads from, and the inputs pinned to the
        device. False builds the graph as published.

    Returns
    -------
    int
        A mask; without closure it may not be an ideal.
    """
    device, cloud, count = 0, 1, len(graph.nodes)
    edges: list[tuple[int, int, float]] = []
    infinite: list[tuple[int, int]] = []
    for index, (on_device, on_cloud) in enumerate(zip(costs.device.seconds, costs.cloud.seconds, strict=True)):
        edges += [(device, 2 + index, on_cloud), (2 + index, cloud, on_device)]
    for position, (name, readers) in enumerate(graph.consumers.items()):
        if not readers:
            continue
        maker = 2 + graph.producer[name] if name in graph.producer else device
        sent = 2 + count + position
        value = graph.values[name]
        tensor_bytes = value.size_bytes + header_bytes(value, quantizer_for(value, UNQUANTIZED))
        send_s = costs.link.transfer_s(tensor_bytes) - costs.link.transfer_s(0)
        edges.append((maker, sent, send_s))
        infinite += [(sent, 2 + reader) for reader in readers]
        if closure and maker != device:
            infinite += [(2 + reader, maker) for reader in readers]
    return _source_side(edges, infinite, 2 + count + len(graph.consumers), count)


def _source_side(
    edges: list[tuple[int, int, float]], infinite: list[tuple[int, int]], vertices: int, count: int
) -> int:
    scale = _CAPACITY_SUM / max(sum(seconds for _, _, seconds in edges), 1e-12)
    capacity: dict[tuple[int, int], int] = {}
    for start, end, seconds in edges:
        capacity[start, end] = capacity.get((start, end), 0) + round(seconds * scale)
    for start, end in infinite:
        capacity[start, end] = _CAPACITY_SUM + 1
    rows, columns = zip(*capacity, strict=True)
    values = np.array(list(capacity.values()), np.int32)
    network = csr_array((values, (rows, columns)), shape=(vertices, vertices))
    residual = network - maximum_flow(network, 0, 1).flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = set(breadth_first_order(csr_array(residual), 0, return_predecessors=False).tolist())
    return mask_of(index for index in range(count) if 2 + index in reached)


def _stages(one: Way) -> tuple[float, float, float]:
    return one.timeline.device_s, one.timeline.link_s, one.timeline.cloud_s
