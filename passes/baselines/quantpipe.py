"""QuantPipe-like: a cut fixed beforehand, bits that follow the bandwidth.

The cut is the one of least period at a nominal bandwidth with tensors as they are; at the bandwidth at hand the most
bits are taken with which the link is not the slowest stage, else the fewest. The published system knows no floor; here
it gets that of the accuracy budget, as everybody else, so that its row is comparable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, UNQUANTIZED, Rejected
from coachc.passes.baselines.costing import best_single, single_tensor_masks
from coachc.passes.partition import Precision
from coachc.passes.strategy import Part, Strategy, part
from coachc.passes.timeline import Costs, stage_times

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
        chosen = part(graph, costs, fixed, bits)
        if chosen.timeline.link_s <= max(chosen.timeline.device_s, chosen.timeline.cloud_s / costs.server_share):
            break
    name, note = "QuantPipe-like", "cut fixed for 100 Mbit/s, bits follow the link down to the accuracy floor"
    if chosen.quantizers and any(quantizer.codec == "packed" for quantizer in chosen.quantizers):
        floor = precision(fixed, graph.cut_values(fixed), MAX_BITS)
        if isinstance(floor, Rejected):
            return Strategy(name, (part(graph, costs, fixed, UNQUANTIZED),), note + ": unquantized, no bits pass")
        lowest = max((q.bits for q in floor.quantizers if q.codec == "packed"), default=MAX_BITS)
        if lowest > max(q.bits for q in chosen.quantizers if q.codec == "packed"):
            timeline = stage_times(graph, fixed, floor.quantizers, costs)
            chosen = Part(1.0, fixed, floor.quantizers, timeline)
    return Strategy(name, (chosen,), note)
