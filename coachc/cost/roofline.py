"""Estimate a profile from a target's roofline: seconds per fused operator without the hardware."""

from __future__ import annotations

from coachc.core.graph import GraphView, Work
from coachc.core.profile import Profile
from coachc.cost.device import DeviceSpec, Roofline
from coachc.errors import ProfileError

ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


def estimate(graph: GraphView, spec: DeviceSpec, precision: str | None = None) -> Profile:
    """Seconds of every fused operator of `graph` on `spec`.

    Parameters
    ----------
    graph : GraphView
    spec : DeviceSpec
    precision : str, optional
        "fp16", "fp32" or "int8"; the target's default if not given.

    Raises
    ------
    ProfileError
        The target has no numbers for that precision.
    """
    chosen = precision or spec.default_precision
    if chosen not in spec.rooflines:
        raise ProfileError(
            f"{spec.name} has no profile at {chosen}",
            context=[f"it has: {', '.join(sorted(spec.rooflines))}"],
            hint="leave the precision out, or choose one of these",
        )
    roofline = spec.rooflines[chosen]
    element_bytes = ELEMENT_BYTES[chosen]
    return Profile(
        target=spec.name,
        precision=chosen,
        seconds=tuple(operator_s(node.work, roofline, element_bytes) for node in graph.nodes),
        bytes_per_s=roofline.bytes_per_s,
        overhead_s=roofline.overhead_s,
        element_bytes=element_bytes,
        provenance=roofline.provenance,
    )


def operator_s(work: Work, roofline: Roofline, element_bytes: int) -> float:
    """max(FLOPs / rate, bytes / bandwidth) + overhead; 0 for operators that only move borders.

    Weights are read once per run, activations at the operator's border only (what fusion saves).
    """
    if work.free:
        return 0.0
    rate = roofline.winograd_flops_per_s if work.winograd else roofline.flops_per_s
    moved = (work.weight_elements + work.input_elements + work.output_elements) * element_bytes
    return max(work.flops / rate, moved / roofline.bytes_per_s) + roofline.overhead_s
