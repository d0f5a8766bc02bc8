"""QuantPipe-like: a cut fixed beforehand, bits that follow the bandwidth.

The cut is the one of least period at a nominal bandwidth with tensors as they are; at the bandwidth at hand the most
bits are taken with which the link is not the slowest stage, else the fewest. The published system knows no floor; here
it gets that of the accuracy budget, as everybody else, so that its row is comparable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, UNQUANTIZED, BitPlan, Rejected
from coachc.passes.baselines.costing import best_single, single_tensor_masks
from coachc.passes.partition import Precision
from coachc.passes.strategy import Strategy, strategy_of
from coachc.passes.timeline import Costs, uniform_way, way_at

#: Bandwidth the cut is chosen for, bytes a second (100 Mbit/s).
NOMINAL_BYTES_PER_S = 100e6 / 8
BITS = (8, 7, 6, 5, 4, 3, 2)


def adaptive_bits(graph: GraphView, costs: Costs, masks: Sequence[int], precision: Precision) -> Strategy:
    """Fixed single-tensor cut, adaptive bits down to the lowest admissible precision."""
    nominal = dataclasses.replace(
        costs, link=dataclasses.replace(costs.link, bandwidth_bytes_per_s=NOMINAL_BYTES_PER_S)
    )
    fixed = best_single(graph, nominal, single_tensor_masks(graph, masks), UNQUANTIZED, lambda t: t.period_s).mask
    for bits in (UNQUANTIZED, *BITS):
        chosen = uniform_way(graph, fixed, bits, costs)
        if chosen.timeline.link_s <= max(chosen.timeline.device_s, chosen.timeline.cloud_s / costs.server_share):
            break
    name, note = "QuantPipe-like", "cut fixed for 100 Mbit/s, bits follow the link down to the accuracy floor"
    if chosen.bits.packed:
        floor = precision(fixed, graph.cut_values(fixed), MAX_BITS)
        if isinstance(floor, Rejected):
            whole = uniform_way(graph, fixed, UNQUANTIZED, costs)
            return strategy_of(name, whole, note + ": unquantized, no bits pass")
        if _most(floor) > _most(chosen.bits):
            chosen = way_at(graph, fixed, floor, costs)
    return strategy_of(name, chosen, note)


def _most(bits: BitPlan) -> int:
    return max((quantizer.bits for quantizer in bits.quantizers if quantizer.packed), default=MAX_BITS)
