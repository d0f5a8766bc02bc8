"""Virtual blocks: parallel branches folded until the graph is a chain (COACH, section III-B, Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """One link of a chain.

    Attributes
    ----------
    kind : str
        "node" (one operator), "virtual" (parallel branches), "prime" (several operators that neither chain nor
        branch decomposition can take apart).
    nodes : tuple of int
        Indices into `GraphView.nodes`, ascending.
    branches : tuple of tuple of Block
        The parallel chains of a virtual block; empty otherwise.
    """

    kind: str
    nodes: tuple[int, ...]
    branches: tuple[tuple[Block, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class BlockGraph:
    """The whole model as a chain of blocks, in topological order."""

    chain: tuple[Block, ...]

    @property
    def virtual_blocks(self) -> int:
        return sum(block.kind == "virtual" for block in self.chain)
