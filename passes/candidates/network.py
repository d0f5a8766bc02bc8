"""The flow network of a graph: its least cut is the ideal with the least weighted sum of the stages.

Source: DADS (Hu et al., INFOCOM 2019), section IV. Differs: the inputs are pinned to the device, values are sent once
whichever node reads them, infinite reverse edges forbid data flowing back from the cloud, capacities are integers, and
among equal cuts the one with the fewest nodes on the device is taken.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from coachc.core.masks import bits_of
from coachc.core.plan import MIN_BITS
from coachc.passes.candidates.candidate_masks import pack
from coachc.passes.candidates.tally import Tally, unpack

#: The whole flow fits in this, and an edge of `_INFINITE` can carry it and its reverse without leaving int32.
_FLOW, _INFINITE = 2**29, 2**30


class Network:
    """Edges are the same for all weights, only the capacities change.

    Parameters
    ----------
    tally : Tally
    """

    def __init__(self, tally: Tally):
        self.tally = tally
        nodes, graph = len(tally.device), tally.graph
        self.source, self.sink = nodes, nodes + 1
        self.size = nodes + 2
        edges: list[tuple[int, int]] = []
        infinite: set[tuple[int, int]] = set()
        for value, readers in enumerate(tally.readers):
            producer = int(tally.producer[value]) if tally.producer[value] >= 0 else self.source
            if len(readers) > 1:
                # One more vertex: it is on the cloud as soon as one reader is, and the value is sent once.
                edges.append((producer, self.size))
                infinite |= {(self.size, reader) for reader in readers}
                self.size += 1
            else:
                edges.append((producer, readers[0] if readers else producer))
        # Nothing flows back: a node on the device has what it reads there too.
        infinite |= {(node, before) for node, mask in enumerate(graph.predecessors) for before in bits_of(mask)}
        self._infinite = np.array(sorted(infinite), dtype=np.int32).reshape(-1, 2)
        #: For each value the edge that is cut when it crosses.
        self._edges = np.array(edges, dtype=np.int32).reshape(-1, 2)
        self._read = self._edges[:, 0] != self._edges[:, 1]

    @cached_property
    def above(self) -> np.ndarray:
        """Whether column is an ancestor of row or row itself, shape (nodes, nodes)."""
        masks: list[int] = []
        for node, before in enumerate(self.tally.graph.predecessors):
            mask = 1 << node
            for other in bits_of(before):
                mask |= masks[other]
            masks.append(mask)
        return unpack(masks, len(masks))

    def closed(self, device: np.ndarray, cloud: np.ndarray) -> bool:
        """Extend pinned nodes by all that follows from them, in place.

        Parameters
        ----------
        device, cloud : ndarray of bool, shape (nodes,)
            Nodes pinned to one side.

        Returns
        -------
        bool
            Whether any ideal with a cut that can cross is left.
        """
        tally = self.tally
        stuck = np.flatnonzero(~tally.cuttable).tolist()
        while True:
            device |= self.above[device].any(axis=0)
            cloud |= self.above[:, cloud].any(axis=1)
            before = int(device.sum() + cloud.sum())
            for value in stuck:
                producer, readers = int(tally.producer[value]), list(tally.readers[value])
                if producer < 0 or device[producer]:
                    device[readers] = True
                if producer >= 0 and cloud[readers].any():
                    cloud[producer] = True
            if (device & cloud).any():
                return False
            if int(device.sum() + cloud.sum()) == before:
                return True

    def least(self, weights: np.ndarray, bits: int, device: np.ndarray, cloud: np.ndarray) -> tuple[int, float]:
        """The ideal with the least weighted sum of stages, some nodes being pinned.

        Parameters
        ----------
        weights : ndarray of float, shape (3,)
            Of device, link and cloud / workers.
        bits : int
        device, cloud : ndarray of bool, shape (nodes,)
            Pinned nodes, as `closed` leaves them.

        Returns
        -------
        mask : int
            Of all ideals that are least after rounding, the one with the fewest nodes.
        least_s : float
            Lower bound of the sum over all ideals: capacities are rounded down.
        """
        tally = self.tally
        on_device, on_link, on_cloud = weights[0], weights[1], weights[2] / tally.costs.server_share
        leave, stay = tally.cloud * on_cloud, tally.device * on_device
        # What either side costs at least is paid anyway, and so is all that is pinned.
        always = np.where(device, stay, np.where(cloud, leave, np.minimum(leave, stay)))
        fixed_s = float(always.sum()) + on_link * float(tally.link_s(0))
        leave, stay = (np.where(device | cloud, 0.0, side - always) for side in (leave, stay))
        send = tally.quantize_s @ np.array([on_device, on_cloud])
        send += on_link * (tally.link_s(tally.wire[:, bits - MIN_BITS]) - tally.link_s(0))

        # No more can flow than the smallest and the largest ideal left would cut.
        crossing = tally.crossing(np.stack([device, ~cloud])) & self._read
        blocked = (crossing & ~tally.cuttable).any(axis=1)
        cut = crossing @ send + np.array([leave.sum(), stay.sum()])
        scale = _FLOW / max(float(np.where(blocked, send[self._read].sum() + leave.sum(), cut).min()), 1e-30)
        nodes = np.arange(len(leave), dtype=np.int32)
        source, sink = np.full_like(nodes, self.source), np.full_like(nodes, self.sink)
        amounts = np.concatenate([
            np.where(device, np.inf, leave), np.where(cloud, np.inf, stay),
            np.where(tally.cuttable, send, np.inf)[self._read], np.full(len(self._infinite), np.inf),
        ])  # fmt: skip
        tails = np.concatenate([source, nodes, self._edges[self._read, 0], self._infinite[:, 0]])
        heads = np.concatenate([nodes, sink, self._edges[self._read, 1], self._infinite[:, 1]])
        # Larger amounts are cut down to what the flow never fills, so that this makes no new ties.
        units = np.minimum(amounts * scale, _INFINITE).astype(np.int64)
        used = units > 0
        shape = (self.size, self.size)
        capacity = csr_array((units[used], (tails[used], heads[used])), shape=shape)
        # Values that share an edge add up, but not beyond what an edge may hold.
        capacity.data = np.minimum(capacity.data, _INFINITE).astype(np.int32)
        flow = maximum_flow(capacity, self.source, self.sink)
        residual = capacity - flow.flow
        residual.data = np.maximum(residual.data, 0)
        residual.eliminate_zeros()
        reached = breadth_first_order(residual, self.source, return_predecessors=False)
        return pack(reached[reached < len(nodes)], len(nodes)), fixed_s + flow.flow_value / scale
