"""Enumerate the partitions of a graph: its ideals (down-closed sets of nodes).

Every ideal is a boundary of the chain of blocks or lies inside exactly one of them, so their number is the sum, not
the product, of the blocks' numbers: 116 for ResNet101, 497 for GoogLeNet.
"""

from __future__ import annotations

from coachc.core.graph import GraphView

#: Beyond this many ideals a graph is searched along its topological order only, and the gap is stated.
MAX_IDEALS = 50_000


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
    predecessors = graph.predecessors
    seen = {0}
    stack = [0]
    while stack:
        mask = stack.pop()
        for node, before in enumerate(predecessors):
            if mask >> node & 1 or before & ~mask:
                continue
            larger = mask | 1 << node
            if larger not in seen:
                if len(seen) >= limit:
                    return tuple((1 << n) - 1 for n in range(len(predecessors) + 1)), False
                seen.add(larger)
                stack.append(larger)
    return tuple(sorted(seen, key=lambda m: (m.bit_count(), m))), True
