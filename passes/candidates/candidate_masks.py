"""What every method of finding candidates returns, and the two helpers all of them share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from coachc.core.blocks import Block
from coachc.core.graph import GraphView
from coachc.core.masks import bits_of, mask_of
from coachc.passes.timeline import Costs


@dataclass(frozen=True)
class Candidates:
    """Partitions worth costing.

    Attributes
    ----------
    method : str
        "exact", "recursive", "frontier" or "mincut".
    masks : tuple of int
        Ideals, ascending by number of nodes, then by value; the empty one and the full one are among them.
    complete : bool
        No ideal outside `masks` can be better (at most by the factor 1 + `epsilon`) while every cut gets the same
        number of bits, whichever of 2 to 8. "exact" leaves out none: then it holds for any precision of any cut.
    bound_s : float
        Lower bound of the period of any ideal at `MIN_BITS`, the full one included.
    seen : int
        Ideals or labels looked at.
    epsilon : float
        Relative error of period and latency where labels were dropped, 0 where none was.
    """

    method: str
    masks: tuple[int, ...]
    complete: bool
    bound_s: float
    seen: int
    epsilon: float = 0.0


def ordered(masks: Iterable[int]) -> tuple[int, ...]:
    """Distinct masks in the order every method returns them."""
    return tuple(sorted(set(masks), key=lambda mask: (mask.bit_count(), mask)))


def pack(nodes: np.ndarray, count: int) -> int:
    """Bit mask of an array of node indices below `count`."""
    table = np.zeros(count, dtype=bool)
    table[nodes] = True
    return int.from_bytes(np.packbits(table, bitorder="little").tobytes(), "little")


def boundaries(chain: Iterable[Block]) -> tuple[int, ...]:
    """Every prefix of a chain of blocks, the empty one and the whole among them."""
    masks = [0]
    for block in chain:
        masks.append(masks[-1] | mask_of(block.nodes))
    return tuple(masks)


def ideals_within(graph: GraphView, nodes: tuple[int, ...], *, limit: int) -> list[int] | None:
    """All ideals of the graph that `nodes` alone form, or None if there are more than `limit`.

    Each is reached once, by adding its nodes in ascending order: every such prefix is an ideal as well.

    Parameters
    ----------
    graph : GraphView
    nodes : tuple of int
        Ascending; what they read from elsewhere counts as there.
    limit : int

    Returns
    -------
    list of int or None
        Masks over all nodes, the empty one first.
    """
    inside = mask_of(nodes)
    before = {node: graph.predecessors[node] & inside for node in nodes}
    after: dict[int, list[int]] = {node: [] for node in nodes}
    for node in nodes:
        for other in bits_of(before[node]):
            after[other].append(node)
    found = [0]
    stack = [(0, tuple(node for node in nodes if not before[node]))]
    while stack:
        mask, ready = stack.pop()
        for position, node in enumerate(ready):
            larger = mask | 1 << node
            if len(found) >= limit:
                return None
            found.append(larger)
            freed = [other for other in after[node] if not before[other] & ~larger]
            # Smaller ready nodes may not be added any more; all freed ones are larger.
            stack.append((larger, tuple(sorted((*ready[position + 1 :], *freed)))))
    return found


def compute_bound_s(costs: Costs) -> float:
    """Lower bound of any partition's period: the link free, and operators divisible between the two sides.

    A linear relaxation: operators go to the cloud in the order of how much faster it runs them, the last one in part,
    until both sides are equally busy.
    """
    pairs = sorted(
        zip(costs.device.seconds, costs.cloud.seconds, strict=True),
        key=lambda p: p[0] / p[1] if p[1] > 0 else float("inf"),
        reverse=True,
    )
    device_s, cloud_s = sum(d for d, _ in pairs), 0.0
    for on_device, on_cloud in pairs:
        shared = on_cloud / costs.server_share
        if device_s - on_device >= cloud_s + shared:
            device_s, cloud_s = device_s - on_device, cloud_s + shared
            continue
        part = (device_s - cloud_s) / (on_device + shared) if on_device + shared > 0 else 0.0
        return device_s - part * on_device
    return max(device_s, cloud_s)
