"""QuantPipe-like: a cut fixed beforehand, bits that follow the bandwidth with no floor from accuracy.

The cut is the one of least period at a nominal bandwidth with tensors as they are; at the bandwidth at hand the most
bits are taken with which the link is not the slowest stage, else the fewest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from coachc.core.graph import GraphView
from passes.baselines.base import Strategy, best_single, part, single_tensor_masks
from passes.timeline import UNQUANTIZED, Costs

#: Bandwidth the cut is chosen for, bytes a second (100 Mbit/s).
NOMINAL_BYTES_PER_S = 100e6 / 8
BITS = (8, 7, 6, 5, 4, 3, 2)


def adaptive_bits(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """Fixed single-tensor cut, adaptive bits."""
    nominal = dataclasses.replace(
        costs, link=dataclasses.replace(costs.link, bandwidth_bytes_per_s=NOMINAL_BYTES_PER_S)
    )
    fixed = best_single(graph, nominal, single_tensor_masks(graph, masks), UNQUANTIZED, lambda t: t.period_s).mask
    for bits in (UNQUANTIZED, *BITS):
        chosen = part(graph, costs, fixed, bits)
        if chosen.timeline.link_s <= max(chosen.timeline.device_s, chosen.timeline.cloud_s / costs.workers):
            break
    return Strategy("QuantPipe-like", (chosen,), "cut fixed for 100 Mbit/s, bits follow the link, no accuracy floor")
