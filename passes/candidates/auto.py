"""Choose how to find candidates: list all ideals where that is possible, merge labels where that is, else min cuts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from coachc.core.blocks import Block, BlockGraph
from coachc.core.graph import GraphView
from coachc.passes.candidates import exact, frontier, mincut, recursive
from coachc.passes.candidates.candidate_masks import Candidates, ideals_within, ordered
from coachc.passes.cluster import cluster
from coachc.passes.objective import MONOTONE
from coachc.passes.timeline import Costs

#: Labels of one region before they are thinned.
MAX_LABELS = 5_000
#: A thinned frontier with a larger error than this is joined with the ideals of the min cuts.
MAX_EPSILON = 0.01


def candidates(
    graph: GraphView,
    costs: Costs,
    method: str = "auto",
    *,
    blocks: BlockGraph | None = None,
    objective: str = "exact",
    limit: int = exact.MAX_IDEALS,
    max_labels: int | None = MAX_LABELS,
) -> Candidates:
    """Partitions worth costing, by one method or by the first that can do it.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    method : str
        "auto" or one of `METHODS`.
    blocks : BlockGraph, optional
        Of `graph`, if it is known already.
    objective : str
        One of `passes.objective.OBJECTIVES`. Under one that is not monotone a frontier proves nothing.
    limit : int
        Ideals that are listed at most.
    max_labels : int, optional
        Labels of one region before they are thinned; None never thins.

    Returns
    -------
    Candidates

    Raises
    ------
    ValueError
        Unknown method.
    """
    if method not in ("auto", *METHODS):
        raise ValueError(f"unknown method '{method}', expected one of auto, {', '.join(METHODS)}")
    blocks = blocks or cluster(graph)
    found = METHODS["exact" if method == "auto" else method](graph, costs, blocks, objective, limit, max_labels)
    if method == "auto" and not found.complete:
        found = _beyond_listing(graph, costs, blocks, objective, limit, max_labels)
    if not found.complete and found.method != "mincut":
        # A heuristic says nothing about what it left out; the certificate of another method does.
        found = dataclasses.replace(found, bound_s=max(found.bound_s, _bound_s(graph, costs, blocks, limit)))
    if objective not in MONOTONE and found.method != "exact":
        found = dataclasses.replace(found, complete=False)
    return found


def _beyond_listing(
    graph: GraphView, costs: Costs, blocks: BlockGraph, objective: str, limit: int, max_labels: int | None
) -> Candidates:
    primes = [block for block in _all_blocks(blocks) if block.kind == "prime"]
    if any(ideals_within(graph, block.nodes, limit=frontier.MAX_PRIME) is None for block in primes):
        return METHODS["mincut"](graph, costs, blocks, objective, limit, max_labels)
    found = METHODS["frontier"](graph, costs, blocks, objective, limit, max_labels)
    if found.epsilon <= MAX_EPSILON:
        return found
    cuts = mincut.candidates(graph, costs)
    return dataclasses.replace(
        found,
        masks=ordered([*found.masks, *cuts.masks]),
        bound_s=max(found.bound_s, cuts.bound_s),
        seen=found.seen + cuts.seen,
    )


def _all_blocks(blocks: BlockGraph) -> list[Block]:
    waiting, found = list(blocks.chain), []
    while waiting:
        block = waiting.pop()
        found.append(block)
        waiting += [inner for branch in block.branches for inner in branch]
    return found


def _bound_s(graph: GraphView, costs: Costs, blocks: BlockGraph, limit: int) -> float:
    every = exact.candidates(graph, costs, blocks=blocks, limit=limit)
    return every.bound_s if every.complete else mincut.candidates(graph, costs).bound_s


_Method = Callable[[GraphView, Costs, BlockGraph, str, int, "int | None"], Candidates]

METHODS: Mapping[str, _Method] = {
    "exact": lambda graph, costs, blocks, objective, limit, labels: exact.candidates(
        graph, costs, blocks=blocks, limit=limit
    ),
    "recursive": lambda graph, costs, blocks, objective, limit, labels: recursive.candidates(
        graph, costs, blocks=blocks, objective=objective
    ),
    "frontier": lambda graph, costs, blocks, objective, limit, labels: frontier.candidates(
        graph, costs, blocks=blocks, max_labels=labels
    ),
    "mincut": lambda graph, costs, blocks, objective, limit, labels: mincut.candidates(graph, costs),
}
