"""What the baselines share: a choice of cuts and bits made by somebody else's rule, costed by ours.

A baseline sees the same graph, costs and candidates as coachc. Its own objective decides; period, latency and bytes are
then computed for all in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coachc.core.graph import GraphView
from coachc.core.plan import Timeline, Way
from coachc.passes.timeline import Costs, uniform_way


def best_single(
    graph: GraphView,
    costs: Costs,
    masks: Sequence[int],
    bits: int,
    objective: Callable[[Timeline], float],
) -> Way:
    """The candidate of least objective; ties go to fewer bytes, then to fewer operators on the device."""
    ways = (uniform_way(graph, mask, bits, costs) for mask in masks)
    return min(ways, key=lambda w: (objective(w.timeline), w.timeline.payload_bytes, w.mask.bit_count(), w.mask))


def serial_s(timeline: Timeline) -> float:
    """T_e + T_t + T_c: the latency Neurosurgeon, DADS (light load) and SPINN minimise."""
    return timeline.device_s + timeline.link_s + timeline.cloud_s


def cuttable(graph: GraphView, mask: int) -> bool:
    """Whether every value of a cut can cross."""
    return all(graph.values[name].cuttable for name in graph.cut_values(mask))


def single_tensor_masks(graph: GraphView, masks: Sequence[int]) -> tuple[int, ...]:
    """Ideals with one crossing tensor, and device-only: what systems for chains can cut at."""
    return tuple(m for m in masks if m == graph.full_mask or len(graph.cut_values(m)) == 1)
