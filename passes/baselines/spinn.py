"""SPINN (Laskaridis et al., MobiCom 2020) without exits: a single-tensor cut, features at 8 bits.

Minimises the latency of one task at the bandwidth given; its lossless stage (bit shuffle and LZ4) is taken as off. Exit
heads need training and are not part of this row.
"""

from __future__ import annotations

from collections.abc import Sequence

from coachc.core.graph import GraphView
from coachc.passes.baselines.costing import best_single, serial_s, single_tensor_masks
from coachc.passes.strategy import Strategy, strategy_of
from coachc.passes.timeline import Costs

BITS = 8


def no_exit(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """Least latency over single-tensor cuts at 8 bits."""
    best = best_single(graph, costs, single_tensor_masks(graph, masks), BITS, serial_s)
    return strategy_of("SPINN, no exit", best, "least latency over single-tensor cuts, 8 bits")
