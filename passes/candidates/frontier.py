"""Pareto labels merged over branches and along chains: exact where all ideals would be too many to list.

Branches that run in parallel add their labels, a chain puts everything before a block on the device and everything
behind it on the cloud. A label keeps bytes at several numbers of bits rather than seconds, so one frontier holds for
each of them. What it leaves out loses against a kept partition at every uniform number of bits; it might still win
where the kept one alone fails on accuracy, so a search that had to pass over candidates states the gap to `bound_s`.

The number of labels may grow exponentially: one-node branches with free tensors are the PARTITION problem. Then they
are thinned on a grid with a stated error.

Source: ours; Pareto labels are a standard exact method for paths and trees with several costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from coachc.core.blocks import Block, BlockGraph
from coachc.core.graph import GraphView
from coachc.core.masks import bits_of, mask_of
from coachc.core.plan import MIN_BITS
from coachc.passes.candidates import mincut
from coachc.passes.candidates.candidate_masks import Candidates, boundaries, ideals_within, ordered
from coachc.passes.candidates.labels import ALL, NOTHING, PROPER, Labels, joined, objects, product, thinned, undominated
from coachc.passes.candidates.tally import BITS, Tally, unpack
from coachc.passes.cluster import cluster
from coachc.passes.timeline import Costs

#: Ideals of a prime block that are enumerated.
MAX_PRIME = 20_000
#: Pairs of labels formed at once.
_PAIRS = 400_000


def candidates(
    graph: GraphView,
    costs: Costs,
    *,
    blocks: BlockGraph | None = None,
    max_labels: int | None = None,
    prime_limit: int = MAX_PRIME,
) -> Candidates:
    """The partitions that no other beats in every stage.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    blocks : BlockGraph, optional
        Of `graph`, if it is known already.
    max_labels : int, optional
        Thin the labels of a region beyond this many; never if not given.
    prime_limit : int
        A prime block with more ideals is represented by its topological order and the ideals a min cut finds, and
        `complete` is False.

    Returns
    -------
    Candidates
        `seen` counts the labels formed; `epsilon` is the relative error of thinning.
    """
    merge = _Merge(Tally(graph, costs), max_labels, prime_limit)
    chain = (blocks or cluster(graph)).chain
    around = np.array([costs.device.program_s, 0.0, *(0.0 for _ in merge.columns)])
    top, error = merge.chain(chain, around)
    top = merge.settled(top, sum(1 << v for v in range(len(graph.inputs))))
    masks = [*undominated(top).masks.tolist(), *boundaries(chain)]
    bound_s = float(merge.tally.periods(masks, MIN_BITS).min()) / (1.0 + error)
    if not merge.complete:
        bound_s = min(bound_s, mincut.candidates(graph, costs).bound_s)
    return Candidates("frontier", ordered(masks), merge.complete, bound_s, merge.seen, error)


@dataclass
class _Merge:
    """Builds labels bottom up; counts them and remembers whether every ideal was represented."""

    tally: Tally
    max_labels: int | None
    prime_limit: int
    seen: int = 0
    complete: bool = True
    guesses: tuple[int, ...] | None = None
    columns: tuple[int, ...] = field(init=False)
    #: Mask of the node that makes each value, 0 for graph inputs, and of those that read it.
    maker: tuple[int, ...] = field(init=False)
    readers: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        # Bytes are linear in the bits if sizes are multiples of 8: then the extremes speak for what is between them.
        linear = all(v.elements % 8 == 0 for v in self.tally.values if v.quantizable)
        self.columns = (0, len(BITS) - 1) if linear else tuple(range(len(BITS)))
        self.maker = tuple(mask_of([node] if node >= 0 else []) for node in self.tally.producer.tolist())
        self.readers = tuple(map(mask_of, self.tally.readers))

    def chain(self, chain: Sequence[Block], offset: np.ndarray) -> tuple[Labels, float]:
        """Labels of a chain of blocks, and their error; `offset` is what everything around it adds at least."""
        tally = self.tally
        region = mask_of(node for block in chain for node in block.nodes)
        behind = [node for block in chain for node in block.nodes]
        prefix, before_s = 0, 0.0
        parts: list[Labels] = []
        worst = 0.0
        for position, block in enumerate(chain):
            behind = behind[len(block.nodes) :]
            rest_s = float(tally.cloud[behind].sum())
            own = mask_of(block.nodes)
            made, needed, always = self._around(region, prefix, own)
            base = np.array([before_s, rest_s, *(0.0 for _ in self.columns)]) + self.cost_of(always)
            prefix_now, prefix = prefix, prefix | own
            before_s += float(tally.device[list(block.nodes)].sum())
            if not self.cuttable(always):
                continue
            labels, error = self.block(block, offset + base)
            worst = max(worst, error)
            if position:
                labels = labels.take(np.flatnonzero(labels.kinds != NOTHING))
            labels = self.settled(labels, made & ~always, ignore=always)
            kinds = np.full(len(labels), PROPER)
            masks = labels.masks | prefix_now
            kinds[masks == 0] = NOTHING
            kinds[masks == region] = ALL
            parts.append(Labels(labels.costs + base, masks, labels.needs | needed, kinds))
        return self._reduced(undominated(joined(parts or [self._by_definition(own, [])])), offset, worst)

    def block(self, block: Block, offset: np.ndarray) -> tuple[Labels, float]:
        """Labels of one block, its nodes alone."""
        if block.kind != "virtual":
            return self._reduced(
                undominated(self._by_definition(mask_of(block.nodes), self._inside(block))), offset, 0.0
            )
        branches = sorted((self.chain(branch, offset) for branch in block.branches), key=lambda item: len(item[0]))
        found, error = branches[0]
        for labels, own_error in branches[1:]:
            rows = max(_PAIRS // max(len(labels), 1), 1)
            so_far: list[Labels] = []
            for start in range(0, len(found), rows):
                pairs = product(found.take(np.arange(start, min(start + rows, len(found)))), labels)
                self.seen += len(pairs)
                so_far = [undominated(joined([*so_far, pairs]))]
            found, error = self._reduced(joined(so_far), offset, (1 + error) * (1 + own_error) - 1)
        return found, error

    def settled(self, labels: Labels, here: int, *, ignore: int = 0) -> Labels:
        """Charge the needs that are made in `here`, once each; drop labels with one that cannot cross."""
        charges = {needs: needs & here for needs in set(labels.needs.tolist())}
        kept = np.array([self.cuttable(charges[needs]) for needs in labels.needs], dtype=bool)
        labels = labels.take(np.flatnonzero(kept))
        price = {needs: self.cost_of(charge) for needs, charge in charges.items()}
        added = np.array([price[needs] for needs in labels.needs]).reshape(-1, len(self.columns) + 2)
        left = objects([needs & ~here & ~ignore for needs in labels.needs])
        return Labels(labels.costs + added, labels.masks, left, labels.kinds)

    def cost_of(self, values: int) -> np.ndarray:
        """What a set of values adds to the columns of a label by crossing."""
        index = list(bits_of(values))
        wire = self.tally.wire[index][:, self.columns].sum(axis=0)
        return np.array([*self.tally.quantize_s[index].sum(axis=0), *wire])

    def cuttable(self, values: int) -> bool:
        return all(self.tally.cuttable[index] for index in bits_of(values))

    def _around(self, region: int, prefix: int, own: int) -> tuple[int, int, int]:
        """Values made before a block, from outside the region and read behind it, made before and read behind it."""
        made = needed = always = 0
        behind = ~(prefix | own)
        for value, (maker, readers) in enumerate(zip(self.maker, self.readers, strict=True)):
            if maker & prefix:
                made |= 1 << value
                always |= bool(readers & behind) << value
            elif not maker & region:
                needed |= bool(readers & region & behind) << value
        return made, needed, always

    def _inside(self, block: Block) -> list[int]:
        every = ideals_within(self.tally.graph, block.nodes, limit=self.prime_limit)
        if every is not None:
            return every
        self.complete = False
        if self.guesses is None:
            self.guesses = mincut.candidates(self.tally.graph, self.tally.costs).masks
        own = mask_of(block.nodes)
        prefixes = [mask_of(block.nodes[:count]) for count in range(len(block.nodes) + 1)]
        return list(ordered([*prefixes, *(guess & own for guess in self.guesses)]))

    def _by_definition(self, own: int, masks: list[int]) -> Labels:
        """Labels of given ideals of a set of nodes; those whose cut cannot cross are left out."""
        tally = self.tally
        on_device = unpack(masks, len(tally.device))
        inside = unpack([own], len(tally.device))[0]
        makes = (tally.producer >= 0) & inside[tally.producer]
        crossing = tally.crossing(on_device) & makes
        off = ~on_device & inside
        touched = [v for v, nodes in enumerate(tally.readers) if not makes[v] and any(inside[n] for n in nodes)]
        needs = [0] * len(masks)
        for value in touched:
            for row in np.flatnonzero(off[:, list(tally.readers[value])].any(axis=1)).tolist():
                needs[row] |= 1 << value
        quantize_s = crossing @ tally.quantize_s
        costs = np.column_stack([
            on_device @ tally.device + quantize_s[:, 0],
            off @ tally.cloud + quantize_s[:, 1],
            crossing @ tally.wire[:, self.columns],
        ])  # fmt: skip
        kinds = np.array([NOTHING if mask == 0 else ALL if mask == own else PROPER for mask in masks], dtype=int)
        self.seen += len(masks)
        labels = Labels(costs, objects(masks), objects(needs), kinds)
        return labels.take(np.flatnonzero(~(crossing & ~tally.cuttable).any(axis=1)))

    def _reduced(self, labels: Labels, offset: np.ndarray, error: float) -> tuple[Labels, float]:
        if self.max_labels is None:
            return labels, error
        header = np.array([0.0, 0.0, *(self.tally.costs.link.request_bytes for _ in self.columns)])
        labels, added = thinned(labels, offset + header, most=self.max_labels)
        return labels, (1 + error) * (1 + added) - 1
