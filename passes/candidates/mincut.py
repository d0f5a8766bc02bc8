"""A certificate for graphs too large to enumerate: min cuts of weighted stages, and the ideals met on the way.

For weights a, b, c >= 0 with a + b + c = 1 the period max(T_e, T_t, T_c / workers) is at least
a T_e + b T_t + c T_c / workers, and the least of that sum over all ideals is a min cut. The best such bound still
leaves a gap, because weighted sums only reach the convex hull of the ideals. It is closed step by step by branching:
a node is on the device with all its ancestors, or on the cloud with all its descendants, and each half has a bound of
its own. What the steps allowed do not close is the gap that is stated.

Source: Lagrangian dual and graph as in `dual` and `network`; branch and bound is ours.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from coachc.core.graph import GraphView
from coachc.core.plan import MAX_BITS, MIN_BITS
from coachc.passes.candidates.candidate_masks import Candidates, compute_bound_s, ordered, pack
from coachc.passes.candidates.climb import climb
from coachc.passes.candidates.dual import maximise
from coachc.passes.candidates.network import Network
from coachc.passes.candidates.tally import Tally
from coachc.passes.timeline import Costs

#: Min cuts in all for the certificate, and for each of the two halves of a step.
CUTS, HALF_CUTS = 100, 4
#: Numbers of bits at which more candidates are sought, and the min cuts spent on each.
MORE_BITS, MORE_CUTS = (4, MAX_BITS), 40
#: Branching ends where the bound is this close to the best period.
_CLOSE = 1e-4


def candidates(graph: GraphView, costs: Costs, *, cuts: int = CUTS, starts: int = 4) -> Candidates:
    """Ideals with small weighted sums of stages, improved node by node, and a lower bound of every period.

    Parameters
    ----------
    graph : GraphView
    costs : Costs
    cuts : int
        Most min cuts for the bound; the time is about proportional to it.
    starts : int
        Ideals the local search starts from, at each number of bits.

    Returns
    -------
    Candidates
        `complete` is False; `seen` counts the ideals costed.
    """
    tally = Tally(graph, costs)
    network = Network(tally)
    prefixes = {(1 << count) - 1 for count in range(len(graph.nodes) + 1)}
    kept = {0, graph.full_mask}
    seen = 0
    bound_s = compute_bound_s(costs)
    for bits, most in ((MIN_BITS, cuts), *((more, min(cuts, MORE_CUTS)) for more in MORE_BITS)):
        improved, looked = climb(tally, sorted(prefixes | kept), bits, starts=starts)
        kept |= set(improved)
        tree = branch(network, bits, float(tally.periods(sorted(kept), bits).min()), cuts=most)
        if bits == MIN_BITS:
            bound_s = max(bound_s, tree.bound_s)
        improved, looked_again = climb(tally, sorted({*kept, *tree.masks}), bits, starts=starts)
        kept |= set(improved)
        seen += looked + len(tree.masks) + looked_again
    bound_s = min(bound_s, float(tally.periods(sorted(kept), MIN_BITS).min()))
    return Candidates("mincut", ordered(kept), False, bound_s, seen)


@dataclass(frozen=True)
class Tree:
    """Result of branching.

    Attributes
    ----------
    bound_s : float
        No ideal has a smaller period at the bits asked for.
    masks : tuple of int
        Ideals met.
    cuts : int
        Min cuts computed.
    """

    bound_s: float
    masks: tuple[int, ...]
    cuts: int


def branch(network: Network, bits: int, incumbent_s: float, *, cuts: int) -> Tree:
    """Raise the lower bound of all periods by halving the ideals, the weakest part first.

    Parameters
    ----------
    network : Network
    bits : int
        Of every value of a cut.
    incumbent_s : float
        Period of a known ideal.
    cuts : int
        Most min cuts.
    """
    tally = network.tally
    count = len(tally.device)
    met: dict[int, None] = {}
    used = 0
    waiting: list[tuple[float, int, np.ndarray, np.ndarray]] = []
    numbered = 0

    def add(device: np.ndarray, cloud: np.ndarray, least_s: float) -> None:
        """Bound one part; keep it if it may hold a better ideal than the best one known."""
        nonlocal incumbent_s, used, numbered
        if not network.closed(device, cloud):
            return
        if (device | cloud).all():
            mask = pack(np.flatnonzero(device), count)
            met[mask] = None
            incumbent_s = min(incumbent_s, float(tally.periods([mask], bits)[0]))
            return
        dual = maximise(network, bits, device, cloud, cuts=min(HALF_CUTS, cuts - used), enough_s=incumbent_s)
        used += dual.cuts
        met.update(dict.fromkeys(dual.masks))
        incumbent_s = min(incumbent_s, float(tally.periods(dual.masks, bits).min()))
        pinned_s = max(tally.device[device].sum(), tally.cloud[cloud].sum() / tally.costs.server_share)
        bound_s = max(least_s, dual.bound_s, float(pinned_s))
        if bound_s < incumbent_s * (1 - _CLOSE):
            numbered += 1
            heapq.heappush(waiting, (bound_s, numbered, device, cloud))

    add(np.zeros(count, dtype=bool), np.zeros(count, dtype=bool), 0.0)
    while waiting and used < cuts and waiting[0][0] < incumbent_s * (1 - _CLOSE):
        bound_s, _, device, cloud = heapq.heappop(waiting)
        node = _middle(network, device, cloud)
        for pinned_to_device in (False, True):
            more_device, more_cloud = device.copy(), cloud.copy()
            (more_device if pinned_to_device else more_cloud)[node] = True
            add(more_device, more_cloud, bound_s)
    # Parts that were dropped hold nothing below (1 - _CLOSE) of an incumbent that was never smaller than the last one.
    bound_s = min([incumbent_s * (1 - _CLOSE), *(part[0] for part in waiting)])
    return Tree(bound_s, tuple(met), used)


def _middle(network: Network, device: np.ndarray, cloud: np.ndarray) -> int:
    """The free node that pins most work on either side."""
    tally = network.tally
    free = ~device & ~cloud
    gain_device = network.above @ np.where(free, tally.device, 0.0)
    gain_cloud = np.where(free, tally.cloud / tally.costs.server_share, 0.0) @ network.above
    balance = np.where(free, np.minimum(gain_device, gain_cloud), -1.0)
    if balance.max() <= 0:
        sizes = np.minimum(network.above @ free.astype(float), free.astype(float) @ network.above)
        balance = np.where(free, sizes, -1.0)
    return int(np.argmax(balance))
