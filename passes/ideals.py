"""Enumerate the partitions of a graph: its ideals (down-closed sets of nodes).

Every ideal is a boundary of the chain of blocks or lies inside exactly one of them, so their number is the sum, not
the product, of the blocks' numbers: 116 for ResNet101, 497 for GoogLeNet.
"""

from __future__ import annotations

from coachc.core.graph import GraphView
from coachc.passes.candidates.candidate_masks import ideals_within, ordered
from coachc.passes.candidates.exact import MAX_IDEALS


def all_ideals(graph: GraphView, *, limit: int = MAX_IDEALS) -> tuple[tuple[int, ...], bool]:
    """Masks of all ideals, the empty one and the full one among them.

    Parameters
    ----------
    graph : GraphView
    limit : int
        Give up beyond this many.

    Returns
    -------
    masks : tuple of int
        Ascending by number of nodes, then by value.
    complete : bool
        False if there are more than `limit`; `masks` then holds the prefixes of the topological order.
    """
    count = len(graph.nodes)
    found = ideals_within(graph, tuple(range(count)), limit=limit)
    if found is None:
        return tuple((1 << n) - 1 for n in range(count + 1)), False
    return ordered(found), True
