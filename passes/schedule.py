"""Place one task's operators, sends and answers in time: what overlaps inside a task, and the latency that gives.

The period of a pipeline does not depend on it (`passes.timeline`); the latency of one task does: a boundary value is
sent while the device goes on with other branches, and the cloud starts on what has arrived. Stage totals come from
`passes.timeline`; many tasks at once are `passes.simulate`'s.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coachc.core.graph import GraphView
from coachc.core.masks import mask_of
from coachc.core.operations import STAGES, Operation, Schedule, Span
from coachc.core.plan import Overlap, Quantizer
from coachc.passes.timeline import Costs, header_bytes, stage_times, wire_bytes

ORDERS = ("topological", "johnson", "best")

Intervals = list[tuple[float, float]]


def schedule(
    graph: GraphView, mask: int, quantizers: Sequence[Quantizer], costs: Costs, *, order: str = "topological"
) -> Schedule:
    """Schedule one task on three idle stages.

    Parameters
    ----------
    graph : GraphView
    mask : int
        An ideal: the nodes on the device.
    quantizers : sequence of Quantizer
        One for each value of the cut.
    costs : Costs
        `workers` does not matter to one task.
    order : str
        Of the device's operators: "topological" (as in the graph), "johnson" (see `device_order`), or "best", which is
        "johnson" where that makes the latency smaller.

    Returns
    -------
    Schedule
        Its latency is at most that of `stage_times`, which has nothing overlap.

    Raises
    ------
    ValueError
        If `order` is not one of `ORDERS`.

    Notes
    -----
    Source: T_t^p and T_c^p of COACH, section III-B, which names them without defining them; here they are overlaps of
    busy times in this list schedule. Link and cloud serve in order, so a value or an operator that waits holds up
    those behind it.
    """
    if order == "best":
        plain, johnson = (schedule(graph, mask, quantizers, costs, order=name) for name in ORDERS[:2])
        return johnson if johnson.latency_s < plain.latency_s else plain
    spans: dict[str, list[Span]] = {stage: [] for stage in STAGES}
    free_s = dict.fromkeys(STAGES, 0.0)
    delivered_s: list[float] = []
    for operation in operations(graph, mask, quantizers, costs, order=order):
        start_s = max(free_s[operation.stage], *(delivered_s[i] for i in operation.after), 0.0)
        end_s = start_s + operation.duration_s
        free_s[operation.stage] = end_s
        delivered_s.append(end_s + operation.lag_s)
        spans[operation.stage].append(Span(operation.name, start_s, end_s))
    latency_s = max(delivered_s, default=0.0)
    device, link, cloud = (_busy(spans[stage]) for stage in STAGES)
    total = stage_times(graph, mask, quantizers, costs)
    return Schedule(
        device=tuple(spans["device"]),
        link=tuple(spans["link"]),
        cloud=tuple(spans["cloud"]),
        latency_s=latency_s,
        device_s=total.device_s,
        link_s=total.link_s,
        cloud_s=total.cloud_s,
        link_overlap_s=_shared_s(link, device),
        cloud_overlap_s=_shared_s(cloud, _union(device, link)),
        idle_s=max(latency_s - _length_s(_union(_union(device, link), cloud)), 0.0),
    )


def overlap(graph: GraphView, mask: int, quantizers: Sequence[Quantizer], costs: Costs) -> Overlap:
    """What overlaps inside one task with the device's operators in the order of the graph, and what that saves.

    The order is fixed, so that a longer send never makes the schedule shorter.
    """
    placed = schedule(graph, mask, quantizers, costs)
    one_by_one_s = placed.device_s + placed.link_s + placed.cloud_s
    if mask != graph.full_mask:
        one_by_one_s += costs.link.rtt_s + costs.link.answer_s
    return Overlap(placed.link_overlap_s, placed.cloud_overlap_s, one_by_one_s - placed.latency_s)


def operations(
    graph: GraphView, mask: int, quantizers: Sequence[Quantizer], costs: Costs, *, order: str = "topological"
) -> tuple[Operation, ...]:
    """Everything one task has the three stages do, each stage's part in the order in which it runs.

    Parameters
    ----------
    graph : GraphView
    mask : int
    quantizers : sequence of Quantizer
    costs : Costs
    order : str
        "topological" or "johnson".

    Returns
    -------
    tuple of Operation
        Device, then link, then cloud: each waits only for earlier ones. Quantizing comes right after the operator that
        makes the value, that of graph inputs first of all; values are sent in the order in which they are ready;
        dequantizing comes right before the first operator that reads the value. Device-only has device operators only.
    """
    split = mask != graph.full_mask
    crossing = {quantizer.name: quantizer for quantizer in quantizers} if split else {}
    found: list[Operation] = []
    ready: dict[str, tuple[int, ...]] = {}

    def finish(name: str, after: tuple[int, ...]) -> None:
        """Quantize a value that is there after `after`, if it crosses."""
        if name not in crossing:
            return
        ready[name] = after
        if crossing[name].packed:
            ready[name] = (len(found),)
            elements = graph.values[name].elements
            found.append(Operation(f"quantize {name}", "device", costs.device.elementwise_s(elements, elements), after))

    if costs.device.program_s:
        found.append(Operation("the program", "device", costs.device.program_s))
    begun = (0,) if found else ()
    for name in graph.inputs:
        finish(name, begun)
    for index in device_order(graph, mask, tuple(crossing.values()), costs, order=order):
        made_at = len(found)
        found.append(Operation(graph.nodes[index].name, "device", costs.device.seconds[index]))
        for name in graph.nodes[index].outputs:
            finish(name, (made_at,))
    if not split:
        return tuple(found)

    one_way_s = costs.link.rtt_s / 2
    sends: dict[str, int] = {}
    in_turn = sorted(ready, key=lambda name: ready[name])
    first_send = len(found)
    for name, duration_s in zip(in_turn, _send_seconds(graph, in_turn, crossing, costs), strict=True):
        sends[name] = len(found)
        found.append(Operation(name, "link", duration_s, ready[name], one_way_s))
    if not sends:
        found.append(Operation("request", "link", costs.link.transfer_s(0), (), one_way_s))

    made: dict[str, int] = {}
    for index in graph.indices_outside(mask):
        node = graph.nodes[index]
        crossed = sorted((sends[name], name) for name in dict.fromkeys(node.inputs) if name in sends)
        for send, name in crossed:
            if name in made:
                continue
            made[name] = send
            if crossing[name].packed:
                elements = graph.values[name].elements
                made[name] = len(found)
                duration_s = costs.cloud.elementwise_s(elements, elements)
                found.append(Operation(f"dequantize {name}", "cloud", duration_s, (send,)))
        # An operator that reads nothing runs once the server has heard of the task.
        after = tuple(sorted({made[name] for name in node.inputs if name in made})) or (first_send,)
        for name in node.outputs:
            made[name] = len(found)
        found.append(Operation(node.name, "cloud", costs.cloud.seconds[index], after))
    answer = found[-1]
    back_s = one_way_s + costs.link.answer_s
    found[-1] = Operation(answer.name, answer.stage, answer.duration_s, answer.after, back_s)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Job:
    """Operators up to a boundary value, as one job of two machines.

    Attributes
    ----------
    nodes : tuple of int
    head_s, tail_s : float
        Time the link waits before it can work without a break, and time it goes on after the device is done.
    """

    nodes: tuple[int, ...]
    head_s: float
    tail_s: float

    @property
    def rank(self) -> tuple[int, float]:
        """Johnson's rule: short heads first where the tail is longer, then long tails first."""
        return (0, self.head_s) if self.head_s < self.tail_s else (1, -self.tail_s)


def device_order(
    graph: GraphView, mask: int, quantizers: Sequence[Quantizer], costs: Costs, *, order: str = "johnson"
) -> tuple[int, ...]:
    """Order of the device's operators, branches by Johnson's rule.

    Parameters
    ----------
    graph : GraphView
    mask : int
    quantizers : sequence of Quantizer
    costs : Costs
    order : str
        "johnson", or "topological", which leaves the graph's own order.

    Returns
    -------
    tuple of int
        Every node of `mask` once, none before one it reads from.

    Raises
    ------
    ValueError
        If `order` is neither.

    Notes
    -----
    Source: Johnson, "Optimal two- and three-stage production schedules with setup times included", 1954: jobs with
    less computing than sending come first by ascending computing, the others by descending sending. JPS (Duan and Wu)
    orders the branches inside a model by it. Here a job is what is still to be computed for one boundary value; after
    each choice the jobs are formed anew, since branches share operators. Optimal for the end of the last send where
    branches are independent; a heuristic beyond, and for the latency, which the cloud has a part in.
    """
    if order not in ORDERS[:2]:
        raise ValueError(f"order {order!r} is not one of {', '.join(ORDERS)}")
    left = list(graph.indices_in(mask))
    if order == "topological" or mask == graph.full_mask:
        return tuple(left)
    sent = {quantizer.name: quantizer for quantizer in quantizers}
    extra_s, send_s = [0.0] * len(graph.nodes), [0.0] * len(graph.nodes)
    ends = []
    for index in left:
        names = [name for name in graph.nodes[index].outputs if name in sent]
        if not names:
            continue
        ends.append(index)
        for name in names:
            value = graph.values[name]
            tensor_bytes = wire_bytes(value, sent[name]) + header_bytes(value, sent[name])
            send_s[index] += costs.link.transfer_s(tensor_bytes) - costs.link.transfer_s(0)
            if sent[name].packed:
                extra_s[index] += costs.device.elementwise_s(value.elements, value.elements)
    # Of each node, itself and all it depends on.
    needs = {index: above | mask_of([index]) for index, above in graph.ancestors(left).items()}
    senders = frozenset(ends)

    def job(end: int) -> _Job:
        nodes = graph.indices_in(needs[end] & mask_of(left))
        device_s = link_s = sent_s = 0.0
        for index in nodes:
            device_s += costs.device.seconds[index] + extra_s[index]
            if index in senders:
                sent_s += send_s[index]
                link_s = max(link_s, device_s) + send_s[index]
        return _Job(nodes, link_s - sent_s, link_s - device_s)

    chosen: list[int] = []
    while ends:
        # What every value needs comes before any send, and says nothing about which should be first.
        shared = graph.indices_in(functools.reduce(int.__and__, (needs[end] for end in ends), mask_of(left)))
        nodes = shared or min((job(end) for end in ends), key=lambda found: (found.rank, found.nodes)).nodes
        chosen += nodes
        left = [index for index in left if index not in nodes]
        ends = [index for index in ends if index in left]
    return (*chosen, *left)


def _send_seconds(
    graph: GraphView, names: Sequence[str], crossing: dict[str, Quantizer], costs: Costs
) -> Iterable[float]:
    """What each value adds to the time of one request; the first one carries the request's header."""
    tensor_bytes, before_s = 0, 0.0
    for name in names:
        value, quantizer = graph.values[name], crossing[name]
        tensor_bytes += wire_bytes(value, quantizer) + header_bytes(value, quantizer)
        whole_s = costs.link.transfer_s(tensor_bytes)
        yield whole_s - before_s
        before_s = whole_s


def _busy(spans: Iterable[Span]) -> Intervals:
    return _union([(span.start_s, span.end_s) for span in spans], [])


def _union(left: Intervals, right: Intervals) -> Intervals:
    """Both sets of intervals as one, ascending and disjoint."""
    found: Intervals = []
    for start, end in sorted(left + right):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _length_s(intervals: Intervals) -> float:
    return sum(end - start for start, end in intervals)


def _shared_s(left: Intervals, right: Intervals) -> float:
    """Time in both."""
    return sum(max(min(a[1], b[1]) - max(a[0], b[0]), 0.0) for a in left for b in right)
