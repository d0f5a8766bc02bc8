"""Fold parallel branches into virtual blocks until the graph is a chain.

A boundary lies between two blocks where every path passes: all nodes before it precede all nodes after it. Between
two boundaries the branches are the connected components of the interior; each is a chain of blocks again.

Source: COACH section III-B and Fig. 4; formulation of blocks as in the reduction of two-terminal graphs.
"""

from __future__ import annotations

from coachc.core.blocks import Block, BlockGraph
from coachc.core.graph import GraphView


def cluster(graph: GraphView) -> BlockGraph:
    """The chain of virtual blocks of a model.

    Parameters
    ----------
    graph : GraphView

    Returns
    -------
    BlockGraph
        Every node is in exactly one block of the chain, and so on inside each branch.
    """
    return BlockGraph(_chain(graph, tuple(range(len(graph.nodes)))))


def _chain(graph: GraphView, nodes: tuple[int, ...]) -> tuple[Block, ...]:
    """Split at the nodes that are comparable with all others, then fold what lies between them."""
    ancestors = _ancestors(graph, nodes)
    blocks: list[Block] = []
    between: list[int] = []
    inside = sum(1 << n for n in nodes)
    descendants = {n: sum(1 << m for m in nodes if ancestors[m] >> n & 1) for n in nodes}
    for node in nodes:
        if ancestors[node] | descendants[node] | 1 << node == inside:
            blocks += _fold(graph, tuple(between))
            between = []
            blocks.append(Block("node", (node,)))
        else:
            between.append(node)
    return (*blocks, *_fold(graph, tuple(between)))


def _fold(graph: GraphView, interior: tuple[int, ...]) -> list[Block]:
    if not interior:
        return []
    parts = _components(graph, interior)
    if len(parts) > 1:
        return [Block("virtual", interior, tuple(_chain(graph, part) for part in parts))]
    # Connected, and no node comparable with all others: it may still fall apart between two groups of nodes.
    split = _first_boundary(graph, interior)
    if split is None:
        return [Block("prime" if len(interior) > 1 else "node", interior)]
    return _fold(graph, interior[:split]) + _fold(graph, interior[split:])


def _first_boundary(graph: GraphView, nodes: tuple[int, ...]) -> int | None:
    """Smallest position where every node before it is an ancestor of every node after it."""
    ancestors = _ancestors(graph, nodes)
    for position in range(1, len(nodes)):
        before = sum(1 << n for n in nodes[:position])
        if all(ancestors[n] & before == before for n in nodes[position:]):
            return position
    return None


def _ancestors(graph: GraphView, nodes: tuple[int, ...]) -> dict[int, int]:
    """Mask of each node's ancestors, paths through `nodes` only."""
    found: dict[int, int] = {}
    for node in nodes:
        mask = 0
        for other, above in found.items():
            if graph.predecessors[node] >> other & 1:
                mask |= above | 1 << other
        found[node] = mask
    return found


def _components(graph: GraphView, nodes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Connected components of the undirected interior, each ascending, ordered by first node."""
    root = {n: n for n in nodes}

    def find(n: int) -> int:
        while root[n] != n:
            n = root[n]
        return n

    for node in nodes:
        for other in nodes:
            if graph.predecessors[node] >> other & 1:
                low, high = sorted((find(node), find(other)))
                root[high] = low
    parts: dict[int, list[int]] = {}
    for node in nodes:
        parts.setdefault(find(node), []).append(node)
    return [tuple(part) for part in parts.values()]
