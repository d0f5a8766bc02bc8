"""Neurosurgeon (Kang et al., ASPLOS 2017): one cut of a chain that minimises the latency of one task.

Its predictors are replaced by the profiles in use. A graph is not a chain, so two readings: `chain` cuts only where one
tensor crosses; `topological` (DADS' evaluation of it) takes any prefix of a topological order and sends all that
crosses. Tensors travel unquantized.
"""

from __future__ import annotations

from collections.abc import Sequence

from coachc.core.graph import GraphView
from coachc.core.plan import UNQUANTIZED
from coachc.passes.baselines.costing import best_single, cuttable, serial_s, single_tensor_masks
from coachc.passes.strategy import Strategy, strategy_of
from coachc.passes.timeline import Costs


def chain(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """Cuts at single tensors only."""
    best = best_single(graph, costs, single_tensor_masks(graph, masks), UNQUANTIZED, serial_s)
    return strategy_of("Neurosurgeon, chain", best, "least latency over single-tensor cuts, unquantized")


def topological(graph: GraphView, costs: Costs) -> Strategy:
    """Prefixes of the topological order."""
    every = ((1 << count) - 1 for count in range(len(graph.nodes) + 1))
    prefixes = [mask for mask in every if cuttable(graph, mask)]
    best = best_single(graph, costs, prefixes, UNQUANTIZED, serial_s)
    return strategy_of("Neurosurgeon, topological", best, "least latency over prefixes of the node order, unquantized")
