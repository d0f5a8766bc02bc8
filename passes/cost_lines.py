"""What the stages of a way are made of, line by line; the lines of a stage add up to its time."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.core.graph import GraphView
from coachc.core.plan import Way
from coachc.cost.link import CODING_S_PER_BYTE, GOODPUT
from coachc.passes.timeline import Costs, header_bytes, node_seconds, picture_header_bytes, wire_bytes


@dataclass(frozen=True, slots=True)
class CostLine:
    """A part of a stage.

    Attributes
    ----------
    stage : {"before", "device", "link", "cloud", "latency"}
        The first and the last are no stages: what a task takes before it comes, and what an answer waits for besides.
    what : str
    seconds : float
    note : str
        What it comes from: bytes, rates.
    """

    stage: str
    what: str
    seconds: float
    note: str = ""


def cost_lines(graph: GraphView, way: Way, costs: Costs) -> tuple[CostLine, ...]:
    """Every part of the time of a way that sends tensors, or nothing; of a JPEG only what its timeline has.

    Parameters
    ----------
    graph : GraphView
    way : Way
    costs : Costs
    """
    timeline, link = way.timeline, costs.link
    if way.mode == "cloud-jpeg":
        operators_s = sum(costs.cloud.seconds)
        lines = [
            CostLine("device", "encode the picture", timeline.device_s, "a guess by pixels"),
            *_sent(timeline.payload_bytes, picture_header_bytes(timeline.payload_bytes), costs),
            CostLine("cloud", "decode the picture", timeline.cloud_s - operators_s, "a guess by pixels"),
            CostLine("cloud", "operators", operators_s, f"{len(graph.nodes)} of them"),
        ]
        return (*lines, *_waits(way, costs))
    device_s, cloud_s = node_seconds(way.mask, costs)
    lines = [CostLine("device", "operators", device_s, f"{way.mask.bit_count()} of them")]
    if costs.device.program_s:
        lines.append(CostLine("device", "the program", costs.device.program_s, "decisions, coding, requests; measured"))
    if way.mask == graph.full_mask:
        return tuple(lines)
    quantizers = way.bits.quantizers
    packed = [graph.values[q.name] for q in quantizers if q.packed]
    if packed:
        elements = sum(value.elements for value in packed)
        to_codes_s = sum(costs.device.elementwise_s(value.elements, value.elements) for value in packed)
        lines.append(CostLine("device", "quantize", to_codes_s, f"{elements:,} numbers"))
    headers = sum(header_bytes(graph.values[q.name], q) for q in quantizers)
    payload = timeline.payload_bytes if way.bits.coded_bytes is None else way.bits.coded_bytes
    lines += _sent(payload, headers, costs)
    if way.bits.coded_bytes is not None and any(layout.coding != "none" for layout in way.bits.layouts):
        size = sum(wire_bytes(graph.values[q.name], q) for q in quantizers)
        ns = CODING_S_PER_BYTE * 1e9
        lines.append(CostLine("link", "entropy coding", size * CODING_S_PER_BYTE, f"{size:,} bytes, {ns:g} ns each"))
    if packed:
        from_codes_s = sum(costs.cloud.elementwise_s(value.elements, value.elements) for value in packed)
        lines.append(CostLine("cloud", "dequantize", from_codes_s, f"{elements:,} numbers"))
    lines.append(CostLine("cloud", "operators", cloud_s, f"{len(graph.nodes) - way.mask.bit_count()} of them"))
    assert link.bandwidth_bytes_per_s > 0
    return (*lines, *_waits(way, costs))


def _sent(payload_bytes: float, tensor_headers: int, costs: Costs) -> list[CostLine]:
    """A request on the wire: its tensors, its headers, and what TCP and IP add to both."""
    rate = costs.link.bandwidth_bytes_per_s
    headers = costs.link.request_bytes + tensor_headers
    below = (payload_bytes + headers) * (1 / GOODPUT - 1)
    return [
        CostLine("link", "tensors", payload_bytes / rate, f"{payload_bytes:,.0f} bytes"),
        CostLine("link", "HTTP and JSON headers", headers / rate, f"{headers} bytes"),
        CostLine("link", "TCP and IP headers", below / rate, f"{1 - GOODPUT:.1%} of the wire"),
    ]


def _waits(way: Way, costs: Costs) -> list[CostLine]:
    """What is in the latency and in no stage."""
    lines = []
    if costs.link.rtt_s:
        lines.append(CostLine("latency", "round trip", costs.link.rtt_s, "there and back, empty"))
    if costs.link.answer_s:
        note = f"{costs.link.answer_bytes:,} bytes, at the rate of the way there"
        lines.append(CostLine("latency", "answer", costs.link.answer_s, note))
    queue_s = way.timeline.cloud_s * costs.queue_length
    if queue_s:
        note = f"{costs.devices} devices, {costs.workers} workers, all at once"
        lines.append(CostLine("latency", "wait for a worker", queue_s, note))
    return lines
