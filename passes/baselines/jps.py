"""JPS (Duan and Wu, IWQoS 2021, TMC 2023): balance device and link over many tasks; the cloud is ignored.

For many identical tasks Johnson's rule makes the makespan per task the larger of the mean device and link times. The
best mean lies on a line between two cuts, so some tasks take one and the others the other. All ideals are offered, more
than the published paths: generous to the baseline. Tensors travel unquantized.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from coachc.core.graph import GraphView
from coachc.core.plan import UNQUANTIZED, Way
from coachc.passes.baselines.costing import best_single
from coachc.passes.strategy import Part, Strategy, strategy_of
from coachc.passes.timeline import Costs, uniform_way


def single(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """One cut for all tasks: least max(T_e, T_t)."""
    best = best_single(graph, costs, masks, UNQUANTIZED, lambda t: max(t.device_s, t.link_s))
    return strategy_of("JPS, single cut", best, "least max(device, link) over all cuts, unquantized")


def mix(graph: GraphView, costs: Costs, masks: Sequence[int]) -> Strategy:
    """Two cuts, tasks shared between them: least mean max(T_e, T_t)."""
    front = _front([uniform_way(graph, mask, UNQUANTIZED, costs) for mask in masks])
    pairs = [(max(p.timeline.device_s, p.timeline.link_s), 1.0, p, p) for p in front]
    for a, b in itertools.combinations(front, 2):
        gap_a, gap_b = (p.timeline.device_s - p.timeline.link_s for p in (a, b))
        if gap_a * gap_b < 0:
            share = gap_b / (gap_b - gap_a)
            pairs.append((share * a.timeline.device_s + (1 - share) * b.timeline.device_s, share, a, b))
    _, share, a, b = min(pairs, key=lambda pair: pair[0])
    note = "least mean max(device, link) over pairs of cuts, unquantized, cloud ignored"
    if a is b:
        return strategy_of("JPS, mix", a, note)
    return Strategy("JPS, mix", (Part(share, a), Part(1 - share, b)), note)


def _front(ways: Sequence[Way]) -> list[Way]:
    """Cuts that no other beats in both device and link time."""
    front: list[Way] = []
    for candidate in sorted(ways, key=lambda p: (p.timeline.device_s, p.timeline.link_s)):
        if not front or candidate.timeline.link_s < front[-1].timeline.link_s:
            front.append(candidate)
    return front
