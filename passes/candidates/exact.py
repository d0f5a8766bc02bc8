"""All ideals, block by block.

Every ideal is a boundary of the chain of blocks or lies inside exactly one block, so a block can be enumerated, or
left out, on its own.

Source: COACH section III-B (the chain of virtual blocks). Differs: each block is enumerated, not swept.
"""

from __future__ import annotations

from coachc.core.blocks import BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import mask_of
from coachc.core.plan import MIN_BITS
from coachc.passes.candidates.candidate_masks import (
    Candidates,
    boundaries,
    compute_bound_s,
    ideals_within,
    ordered,
)
from coachc.passes.candidates.tally import Tally
from coachc.passes.cluster import cluster
from coachc.passes.timeline import Costs

#: Beyond this many ideals another method has to do.
MAX_IDEALS = 50_000


def candidates(
    graph: GraphView,
    costs: Costs,
    *,
    blocks: BlockGraph | None = None,
    limit: int = MAX_IDEALS,
    prune_above_s: float | None = None,
) -> Candidates:
    """Every ideal of the graph.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    blocks : BlockGraph, optional
        Of `graph`, if it is known already.
    limit : int
        Give up beyond this many.
    prune_above_s : float, optional
        A period that is attained for certain. Blocks inside which every partition takes longer are left out: the nodes
        before a block are on the device and those behind it on the cloud, whatever the precision. Only a plan that
        needs no precision, such as the whole model on the device, attains its period for certain: the incumbent of a
        search may yet fail on accuracy, and then the winner would be among what was left out. So nothing is pruned
        unless asked for, and never where latency ranks before the period.

    Returns
    -------
    Candidates
        Beyond `limit` the prefixes of the topological order, `complete` False.
    """
    chain = (blocks or cluster(graph)).chain
    tally = Tally(graph, costs)
    masks = list(boundaries(chain))
    seen = len(masks)
    before_s, behind_s = 0.0, float(tally.cloud.sum())
    pruned = False
    for prefix, block in zip(tuple(masks), chain, strict=False):
        nodes = list(block.nodes)
        behind_s -= float(tally.cloud[nodes].sum())
        if prune_above_s is not None and max(before_s, behind_s / costs.server_share) > prune_above_s:
            pruned = True
        elif len(nodes) > 1:
            inside = ideals_within(graph, block.nodes, limit=limit - len(masks) + 2)
            if inside is None:
                return _prefixes(graph, costs, tally, seen + limit - len(masks) + 2)
            # The first is the boundary before the block, the largest the one behind it.
            whole = mask_of(nodes)
            masks += [prefix | mask for mask in inside if mask not in (0, whole)]
            seen += len(inside) - 2
        before_s += float(tally.device[nodes].sum())
    bound_s = float(tally.periods(masks, MIN_BITS).min())
    if pruned and prune_above_s is not None:
        bound_s = min(bound_s, prune_above_s)
    return Candidates("exact", ordered(masks), True, bound_s, seen)


def _prefixes(graph: GraphView, costs: Costs, tally: Tally, seen: int) -> Candidates:
    masks = [(1 << n) - 1 for n in range(len(graph.nodes) + 1)]
    bound_s = min(compute_bound_s(costs), float(tally.device.sum()))
    return Candidates("exact", ordered(masks), False, bound_s, seen)
