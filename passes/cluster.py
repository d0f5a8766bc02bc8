"""Fold parallel branches into virtual blocks until the graph is a chain.

A boundary lies between two blocks where every path passes: all nodes before it precede all nodes after it. Between
two boundaries the branches are the connected components of the interior; each is a chain of blocks again.

Source: COACH section III-B and Fig. 4; formulation of blocks as in the reduction of two-terminal graphs.
"""

from __future__ import annotations

from coachc.core.blocks import Block, BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import mask_of


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
    ancestors = graph.ancestors(nodes)
    blocks: list[Block] = []
    between: list[int] = []
    inside = mask_of(nodes)
    descendants = dict.fromkeys(nodes, 0)
    for node in nodes:
        for above in graph.indices_in(ancestors[node]):
            descendants[above] |= 1 << node
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
    ancestors = graph.ancestors(nodes)
    for position in range(1, len(nodes)):
        before = mask_of(nodes[:position])
        if all(ancestors[n] & before == before for n in nodes[position:]):
            return position
    return None


def _components(graph: GraphView, nodes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Connected components of the undirected interior, each ascending, ordered by first node."""
    root = {n: n for n in nodes}

    def find(n: int) -> int:
        while root[n] != n:
            n = root[n]
        return n

    for node in nodes:
        for other in graph.indices_in(graph.predecessors[node]):
            if other in root:
                low, high = sorted((find(node), find(other)))
                root[high] = low
    parts: dict[int, list[int]] = {}
    for node in nodes:
        parts.setdefault(find(node), []).append(node)
    return [tuple(part) for part in parts.values()]
