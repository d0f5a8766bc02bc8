"""Stage times of one task: the compiler's one home of that arithmetic.

T_e, T_t and T_c are COACH's Eq. 2 with what it leaves out: quantizing and dequantizing, the headers of requests, the
share of the link that headers below HTTP take, the round trip and the answer's way back, and several workers on the
cloud. The period of the pipeline is exactly max(T_e, T_t, T_c / workers): each stage serves every task, and a pipeline
without overlap inside a task attains it; answers have a way of their own, and are taken to be shorter than that. Where
several devices share the server, each has its own link and workers / devices of the server.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coachc.core.graph import GraphView, Value
from coachc.core.placement import Placement
from coachc.core.plan import BitPlan, Quantizer, Timeline, Way, quantizer_for
from coachc.core.profile import Profile
from coachc.cost.link import CODING_S_PER_BYTE, Link, datatype_of
from coachc.passes.quantizer_nodes import codes_name
from coachc.runtime.link.message_header import tensor_header_bytes

#: Longer than any operator takes, and short enough that sums stay exact to far below a microsecond.
NEVER_S = 1e6


#: Shares by which periods from measured, and from estimated, profiles differ for no reason.
TIE_MEASURED, TIE_ESTIMATED = 0.01, 0.03


@dataclass(frozen=True, slots=True)
class Costs:
    """Everything that turns a partition into seconds.

    Attributes
    ----------
    device, cloud : Profile
    link : Link
    workers : int
        Engines on the server that work on different tasks at once.
    devices : int
        Devices with the same plan and rhythm that share the server, each with a link of its own.
    """

    device: Profile
    cloud: Profile
    link: Link
    workers: int = 1
    devices: int = 1

    @property
    def server_share(self) -> float:
        """Workers that one device has to itself on average: T_c over this is the cloud's part of the period."""
        return self.workers / self.devices

    @property
    def tie(self) -> float:
        """Share by which periods may differ and still count as equal: no profile is more accurate."""
        measured = self.device.provenance.is_measured and self.cloud.provenance.is_measured
        return TIE_MEASURED if measured else TIE_ESTIMATED

    @property
    def queue_length(self) -> float:
        """The longest wait for a worker, in times of one task on the cloud, when all devices' tasks come at once.

        A saturated server that does not finish a round of tasks evenly leaves part of it for the next, up to all but
        the common divisor of devices and workers.
        """
        return (self.devices - math.gcd(self.devices, self.workers)) / self.workers


def forbidding(costs: Costs, placement: Placement) -> Costs:
    """The costs with `NEVER_S` for every operator on a side that does not build it."""
    if not placement.device and not placement.cloud:
        return costs

    def without(profile: Profile, refused: Mapping[int, str]) -> Profile:
        seconds = tuple(NEVER_S if index in refused else second for index, second in enumerate(profile.seconds))
        return dataclasses.replace(profile, seconds=seconds)

    device, cloud = without(costs.device, placement.device), without(costs.cloud, placement.cloud)
    return dataclasses.replace(costs, device=device, cloud=cloud)


def stage_times(
    graph: GraphView,
    mask: int,
    quantizers: Sequence[Quantizer],
    costs: Costs,
    measured: BitPlan | None = None,
) -> Timeline:
    """Time of each stage when the nodes in `mask` run on the device.

    Parameters
    ----------
    graph : GraphView
    mask : int
        An ideal.
    quantizers : sequence of Quantizer
        One for each value of the cut.
    costs : Costs
    measured : BitPlan, optional
        Of these quantizers, where bytes on the wire were measured; the time of entropy coding is part of the link's.

    Returns
    -------
    Timeline
        Device-only has no link and no cloud time.
    """
    device_s, cloud_s = node_seconds(mask, costs)
    device_s += costs.device.program_s
    if mask == graph.full_mask:
        return Timeline(device_s, 0.0, 0.0, device_s, device_s, 0)
    packed = headers = 0
    for quantizer in quantizers:
        value = graph.values[quantizer.name]
        packed += wire_bytes(value, quantizer)
        headers += header_bytes(value, quantizer)
        if quantizer.packed:
            device_s += costs.device.elementwise_s(value.elements, value.elements)
            cloud_s += costs.cloud.elementwise_s(value.elements, value.elements)
    payload, coding_s = float(packed), 0.0
    if measured is not None and measured.coded_bytes is not None:
        payload = measured.coded_bytes
        if any(layout.coding != "none" for layout in measured.layouts):
            coding_s = packed * CODING_S_PER_BYTE
    link_s = costs.link.transfer_s(payload + headers) + coding_s
    return from_stages(device_s, link_s, cloud_s, round(payload), costs)


def way_at(graph: GraphView, mask: int, bits: BitPlan, costs: Costs) -> Way:
    """Running the nodes in `mask` on the device, the values of the cut at these precisions; nothing overlaps."""
    mode = "device-only" if mask == graph.full_mask else "split" if mask else "cloud-raw"
    return Way(mode, mask, bits, stage_times(graph, mask, bits.quantizers, costs, bits))


def uniform_way(graph: GraphView, mask: int, bits: int, costs: Costs) -> Way:
    """The same with one number of bits for every floating-point value of the cut, or as it is for `UNQUANTIZED`."""
    return way_at(graph, mask, BitPlan(uniform(graph, graph.cut_values(mask), bits)), costs)


def from_stages(device_s: float, link_s: float, cloud_s: float, payload_bytes: int, costs: Costs) -> Timeline:
    """Period and latency of three stages that run one after the other for each task.

    Where devices share the server, the latency holds the longest wait for a worker: it is what a task is sure of, and
    what it takes when all devices' tasks come at the same moment.
    """
    return Timeline(
        device_s=device_s,
        link_s=link_s,
        cloud_s=cloud_s,
        period_s=max(device_s, link_s, cloud_s / costs.server_share),
        latency_s=device_s + link_s + cloud_s * (1 + costs.queue_length) + costs.link.rtt_s + costs.link.answer_s,
        payload_bytes=payload_bytes,
    )


def node_seconds(mask: int, costs: Costs) -> tuple[float, float]:
    """Seconds of the nodes in `mask` on the device and of the others on the cloud."""
    device_s = cloud_s = 0.0
    for index, (on_device, on_cloud) in enumerate(zip(costs.device.seconds, costs.cloud.seconds, strict=True)):
        if mask >> index & 1:
            device_s += on_device
        else:
            cloud_s += on_cloud
    return device_s, cloud_s


def wire_bytes(value: Value, quantizer: Quantizer) -> int:
    """Bytes of one value on the wire: ceil(elements * bits / 8) when packed, its own size when raw."""
    return -(-value.elements * quantizer.bits // 8) if quantizer.packed else value.size_bytes


def header_bytes(value: Value, quantizer: Quantizer) -> int:
    """Bytes of one value's entry in the header of a request."""
    size_bytes = wire_bytes(value, quantizer)
    if quantizer.packed:
        return tensor_header_bytes(codes_name(value.name), "UINT8", (size_bytes,), size_bytes)
    return tensor_header_bytes(value.name, datatype_of(value), value.shape, size_bytes)


def picture_header_bytes(size_bytes: int) -> int:
    """The same of a JPEG of so many bytes."""
    return tensor_header_bytes("image", "UINT8", (size_bytes,), size_bytes)


def uniform(graph: GraphView, cut: Sequence[str], bits: int) -> tuple[Quantizer, ...]:
    """Every floating-point value of a cut at `bits` bits, or as it is for `UNQUANTIZED`."""
    return tuple(quantizer_for(graph.values[name], bits) for name in cut)
