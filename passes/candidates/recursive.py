"""The paper's divide and conquer: sweep one branch at a time, holding the others.

Boundaries of the chain first. Inside a virtual block, from two starts (all branches at entry, all at exit), each
branch in turn takes its best position; a branch is a chain of blocks again, and a nested block is swept in its place
with everything around it held. For n branches of c layers that is O(c n) partitions instead of (c + 1)^n.

Exact for sums of the stages, where branches only share "is the tensor at the fork sent?" and the two starts cover both
answers. A heuristic for the largest stage, whose optimum is NP-hard even for parallel branches of one node.

Source: COACH section III-B, Algorithm 1, lines 2 to 16. Differs: the precision is a fixed number of bits here, because
the search asks for the real one of the few partitions that are left; no block is judged unsuitable; blocks that
neither chain nor branches take apart are enumerated, or followed along the topological order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from coachc.core.blocks import Block, BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import mask_of
from coachc.core.plan import Timeline
from coachc.passes.candidates.candidate_masks import (
    Candidates,
    boundaries,
    compute_bound_s,
    ideals_within,
    ordered,
)
from coachc.passes.candidates.tally import Tally
from coachc.passes.cluster import cluster
from coachc.passes.objective import key
from coachc.passes.timeline import Costs

#: Number of bits that stands for the unknown precision during the sweep.
SWEEP_BITS = 4
#: Ideals of a prime block that are enumerated; beyond it only its topological order is followed.
MAX_PRIME = 100_000

Score = Callable[[Timeline, int], tuple[float, ...]]


def candidates(
    graph: GraphView,
    costs: Costs,
    *,
    blocks: BlockGraph | None = None,
    objective: str = "exact",
    bits: int = SWEEP_BITS,
    score: Score | None = None,
    prime_limit: int = MAX_PRIME,
) -> Candidates:
    """Boundaries, and of each block the best partitions the sweep finds.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    blocks : BlockGraph, optional
        Of `graph`, if it is known already.
    objective : str
        One of `passes.objective.OBJECTIVES`.
    bits : int
        Of every value of a cut, during the sweep.
    score : callable, optional
        (timeline, mask) -> sort key, instead of `objective`.
    prime_limit : int

    Returns
    -------
    Candidates
        `complete` is False; `seen` counts the partitions costed, each once.
    """
    chain = (blocks or cluster(graph)).chain
    sweep = _Sweep(graph, Tally(graph, costs), bits, score or (lambda t, mask: key(t, mask, objective)), prime_limit)
    masks = list(boundaries(chain))
    sweep.cost(masks)
    for prefix, block in zip(tuple(masks), chain, strict=False):
        masks += [prefix | inside for inside in sweep.within(block, prefix)]
    bound_s = min(compute_bound_s(costs), sum(costs.device.seconds))
    return Candidates("recursive", ordered(masks), False, bound_s, len(sweep.known))


class _Sweep:
    """The recursion, and the cost of every partition it has looked at."""

    def __init__(self, graph: GraphView, tally: Tally, bits: int, score: Score, prime_limit: int):
        self.graph, self.tally, self.bits, self.score, self.prime_limit = graph, tally, bits, score, prime_limit
        self.known: dict[int, tuple[float, ...]] = {}

    def cost(self, masks: Sequence[int]) -> None:
        """Cost what is not known yet; fewer values that cannot cross come first, before any time."""
        fresh = [mask for mask in dict.fromkeys(masks) if mask not in self.known]
        if fresh:
            for mask, (timeline, uncuttable) in zip(fresh, self.tally.timelines(fresh, self.bits), strict=True):
                self.known[mask] = (uncuttable, *self.score(timeline, mask))

    def best(self, options: Iterable[int], held: int) -> int:
        """The best of some sets of nodes while `held` is on the device as well."""
        distinct = list(dict.fromkeys(options))
        self.cost([held | option for option in distinct])
        return min(distinct, key=lambda option: self.known[held | option])

    def chain(self, chain: Sequence[Block], held: int) -> int:
        """Best position in one branch: a boundary of its chain, or inside one of its blocks."""
        prefixes = boundaries(chain)
        options = list(prefixes)
        for prefix, block in zip(prefixes, chain, strict=False):
            options += [prefix | inside for inside in self.within(block, held | prefix)]
        return self.best(options, held)

    def within(self, block: Block, held: int) -> list[int]:
        """The best positions inside a block, the nodes before it being in `held`."""
        if block.kind == "virtual":
            return [self.branches(block, held, at_exit=at_exit) for at_exit in (False, True)]
        if block.kind == "prime":
            return [self.best(self.prime(block), held)]
        return []

    def branches(self, block: Block, held: int, *, at_exit: bool) -> int:
        """Move one branch after another from a common start to its best position."""
        wholes = [mask_of(node for part in branch for node in part.nodes) for branch in block.branches]
        position = wholes if at_exit else [0] * len(wholes)
        for index, branch in enumerate(block.branches):
            others = sum(mask for other, mask in enumerate(position) if other != index)
            position = [*position[:index], self.chain(branch, held | others), *position[index + 1 :]]
        return sum(position)

    def prime(self, block: Block) -> list[int]:
        every = ideals_within(self.graph, block.nodes, limit=self.prime_limit)
        return every or [mask_of(block.nodes[:count]) for count in range(len(block.nodes) + 1)]
