"""Stage times of many partitions at once: the coefficients of `passes.timeline`, tabulated per node and per value.

The three stages are sums over nodes and over the values of the cut, so a table of what each adds is enough. The
arithmetic of one value is asked of `passes.timeline` and the profiles; the tests hold both to the same results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from coachc.core.graph import GraphView, Value
from coachc.core.plan import MAX_BITS, MIN_BITS, Timeline, quantizer_for
from coachc.passes.timeline import Costs, from_stages, header_bytes, wire_bytes

#: Numbers of bits, in the order of the columns of `Tally.payload`.
BITS = tuple(range(MIN_BITS, MAX_BITS + 1))
#: Partitions tabulated together, so that the table of booleans stays small.
_ROWS = 2048


@dataclass(frozen=True)
class Tally:
    """What each node and each value adds to the stages.

    Attributes
    ----------
    graph : GraphView
    costs : Costs
    """

    graph: GraphView
    costs: Costs

    @cached_property
    def device(self) -> np.ndarray:
        """Seconds of each node on the device, shape (nodes,)."""
        return np.array(self.costs.device.seconds, dtype=float)

    @cached_property
    def cloud(self) -> np.ndarray:
        """Seconds of each node on the cloud, shape (nodes,)."""
        return np.array(self.costs.cloud.seconds, dtype=float)

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Graph inputs, then what nodes make: the order of all tables of values."""
        return tuple(self.graph.values[name] for name in self.graph.ordered_values)

    @cached_property
    def producer(self) -> np.ndarray:
        """Index of the node that makes each value, -1 for graph inputs, shape (values,)."""
        return np.array([self.graph.producer.get(value.name, -1) for value in self.values], dtype=int)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the nodes that read each value."""
        return tuple(self.graph.consumers[value.name] for value in self.values)

    @cached_property
    def quantize_s(self) -> np.ndarray:
        """Seconds to quantize a value on the device and to dequantize it on the cloud, shape (values, 2)."""
        sides = (self.costs.device, self.costs.cloud)
        rows = [
            [side.elementwise_s(v.elements, v.elements) if v.quantizable else 0.0 for side in sides]
            for v in self.values
        ]
        return np.array(rows, dtype=float).reshape(-1, 2)

    @cached_property
    def payload(self) -> np.ndarray:
        """Bytes of each value at 2 to 8 bits, without its header, shape (values, 7)."""
        rows = [[wire_bytes(v, quantizer_for(v, bits)) for bits in BITS] for v in self.values]
        return np.array(rows, dtype=np.int64).reshape(-1, len(BITS))

    @cached_property
    def wire(self) -> np.ndarray:
        """Bytes of each value at 2 to 8 bits, its header included, shape (values, 7)."""
        rows = [[header_bytes(v, quantizer_for(v, bits)) for bits in BITS] for v in self.values]
        return self.payload + np.array(rows, dtype=np.int64).reshape(-1, len(BITS))

    @cached_property
    def cuttable(self) -> np.ndarray:
        """Whether each value may cross, shape (values,)."""
        return np.array([value.cuttable for value in self.values], dtype=bool)

    @cached_property
    def _reads(self) -> csr_array:
        pairs = [(index, node) for index, nodes in enumerate(self.readers) for node in nodes]
        rows, columns = ([p[0] for p in pairs], [p[1] for p in pairs])
        shape = (len(self.values), len(self.device))
        return csr_array((np.ones(len(pairs), dtype=np.float32), (rows, columns)), shape=shape)

    def link_s(self, wire: Any) -> Any:
        """Seconds of the link for wire bytes (a number or an array) that already hold the tensors' headers."""
        return self.costs.link.transfer_s(wire)

    def crossing(self, on_device: np.ndarray) -> np.ndarray:
        """Which values cross.

        Parameters
        ----------
        on_device : ndarray of bool, shape (masks, nodes)

        Returns
        -------
        ndarray of bool, shape (masks, values)
        """
        made = on_device[:, self.producer] if len(self.device) else np.ones((len(on_device), len(self.values)), bool)
        made[:, self.producer < 0] = True
        wanted = (self._reads @ (~on_device).astype(np.float32).T).T > 0
        return made & wanted

    def table(self, masks: Sequence[int], bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stage times of partitions with every value of the cut at the same number of bits.

        Parameters
        ----------
        masks : sequence of int
            Ideals.
        bits : int
            2 to 8.

        Returns
        -------
        stages : ndarray of float, shape (masks, 3)
            Seconds of device, link and cloud.
        payload : ndarray of int, shape (masks,)
            Bytes without headers.
        uncuttable : ndarray of int, shape (masks,)
            Values that would cross and cannot.
        """
        stages = np.zeros((len(masks), 3))
        payload = np.zeros(len(masks), dtype=np.int64)
        uncuttable = np.zeros(len(masks), dtype=np.int64)
        for start in range(0, len(masks), _ROWS):
            some = slice(start, start + _ROWS)
            on_device = unpack(masks[some], len(self.device))
            crossing = self.crossing(on_device)
            quantize_s = crossing @ self.quantize_s
            stages[some, 0] = on_device @ self.device + quantize_s[:, 0] + self.costs.device.program_s
            stages[some, 1] = self.link_s(crossing @ self.wire[:, bits - MIN_BITS])
            stages[some, 2] = ~on_device @ self.cloud + quantize_s[:, 1]
            stages[some, 1:] *= ~on_device.all(axis=1, keepdims=True)
            payload[some] = crossing @ self.payload[:, bits - MIN_BITS]
            uncuttable[some] = crossing @ (~self.cuttable).astype(np.int64)
        return stages, payload, uncuttable

    def periods(self, masks: Sequence[int], bits: int) -> np.ndarray:
        """Seconds between results of each partition, infinite where a value cannot cross, shape (masks,)."""
        stages, _, uncuttable = self.table(masks, bits)
        return np.where(uncuttable > 0, np.inf, period_of(stages, self.costs))

    def timelines(self, masks: Sequence[int], bits: int) -> list[tuple[Timeline, int]]:
        """Timeline of each partition and how many of its values cannot cross; device-only has no round trip."""
        stages, payload, uncuttable = self.table(masks, bits)
        found = []
        for mask, (device_s, link_s, cloud_s), size, stuck in zip(
            masks, stages.tolist(), payload, uncuttable, strict=True
        ):
            if mask == self.graph.full_mask:
                found.append((Timeline(device_s, 0.0, 0.0, device_s, device_s, 0), 0))
            else:
                found.append((from_stages(device_s, link_s, cloud_s, int(size), self.costs), int(stuck)))
        return found


def period_of(stages: np.ndarray, costs: Costs) -> np.ndarray:
    """max(device, link, cloud / workers) of each row of shape (..., 3)."""
    return np.max(stages / np.array([1.0, 1.0, costs.server_share]), axis=-1)


def unpack(masks: Sequence[int], nodes: int) -> np.ndarray:
    """Bit masks as a table, shape (masks, nodes)."""
    width = max(-(-nodes // 8), 1)
    packed = np.frombuffer(b"".join(mask.to_bytes(width, "little") for mask in masks), dtype=np.uint8)
    return np.unpackbits(packed.reshape(-1, width), axis=1, bitorder="little", count=nodes).astype(bool)
