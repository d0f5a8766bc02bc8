"""What every baseline is: a choice of cuts and bits made by somebody else's rule, costed by ours.

A baseline sees the same graph, costs and candidates as coachc. Its own objective decides; period, latency and bytes are
then computed for all in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coachc.core.graph import GraphView
from coachc.core.plan import Quantizer, Timeline
from passes.timeline import Costs, stage_times, uniform


@dataclass(frozen=True, slots=True)
class Part:
    """One cut of a strategy and the share of tasks that take it.

    Attributes
    ----------
    share : float
        In (0, 1].
    mask : int
        Operators on the device.
    quantizers : tuple of Quantizer
    timeline : Timeline
    """

    share: float
    mask: int
    quantizers: tuple[Quantizer, ...]
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class Strategy:
    """What one system would do.

    Attributes
    ----------
    name : str
    parts : tuple of Part
        Shares sum to 1; several only where tasks are mixed over cuts.
    note : str
        What it optimises and what was assumed.
    """

    name: str
    parts: tuple[Part, ...]
    note: str

    def stage_s(self, workers: int = 1) -> tuple[float, float, float]:
        """Mean seconds a task keeps the device, the link and one of the workers busy."""
        return (
            sum(p.share * p.timeline.device_s for p in self.parts),
            sum(p.share * p.timeline.link_s for p in self.parts),
            sum(p.share * p.timeline.cloud_s for p in self.parts) / workers,
        )

    def period_s(self, workers: int = 1) -> float:
        """Steady-state time between results: the busiest stage."""
        return max(self.stage_s(workers))


def part(graph: GraphView, costs: Costs, mask: int, bits: int, share: float = 1.0) -> Part:
    """A cut at a uniform number of bits, costed."""
    quantizers = uniform(graph, graph.cut_values(mask), bits)
    return Part(share, mask, quantizers, stage_times(graph, mask, quantizers, costs))


def best_single(
    graph: GraphView,
    costs: Costs,
    masks: Sequence[int],
    bits: int,
    objective: Callable[[Timeline], float],
) -> Part:
    """The candidate of least objective; ties go to fewer bytes, then to fewer operators on the device."""
    parts = (part(graph, costs, mask, bits) for mask in masks)
    return min(parts, key=lambda p: (objective(p.timeline), p.timeline.payload_bytes, p.mask.bit_count(), p.mask))


def serial_s(timeline: Timeline) -> float:
    """T_e + T_t + T_c: the latency Neurosurgeon, DADS (light load) and SPINN minimise."""
    return timeline.device_s + timeline.link_s + timeline.cloud_s


def single_tensor_masks(graph: GraphView, masks: Sequence[int]) -> tuple[int, ...]:
    """Ideals with one crossing tensor, and device-only: what systems for chains can cut at."""
    return tuple(m for m in masks if m == graph.full_mask or len(graph.cut_values(m)) == 1)
