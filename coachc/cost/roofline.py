"""Estimate a profile from a target's roofline: seconds per fused operator without the hardware.

Two rules, by what runs the model. TensorRT starts one kernel for a fused operator and waits for it (`operator_s`).
PyTorch eager starts one for every operator of the original model; its CPU runs ahead of the GPU, so that the slower of
the two sets the pace (`eager_s`).
"""

from __future__ import annotations

from coachc.core.graph import GraphView, Node, Work
from coachc.core.profile import Profile
from coachc.cost.device import EAGER_PREFIX, DeviceSpec, Roofline
from coachc.errors import UsageError

ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


def estimate(graph: GraphView, spec: DeviceSpec, precision: str | None = None) -> Profile:
    """Seconds of every fused operator of `graph` on `spec`.

    Parameters
    ----------
    graph : GraphView
    spec : DeviceSpec
    precision : str, optional
        "fp16", "fp32" or "int8" for TensorRT, "eager-fp16" or "eager-fp32" for PyTorch eager; the target's default,
        TensorRT's, if not given.

    Raises
    ------
    UsageError
        The target has no numbers for that precision.
    """
    chosen = precision or spec.default_precision
    if chosen not in spec.rooflines:
        raise UsageError(
            f"{spec.name} has no profile at {chosen}",
            context=[f"it has: {', '.join(sorted(spec.rooflines))}"],
            hint="leave the precision out, or choose one of these",
        )
    roofline = spec.rooflines[chosen]
    element_bytes = ELEMENT_BYTES[chosen.removeprefix(EAGER_PREFIX)]
    if chosen.startswith(EAGER_PREFIX):
        seconds = eager_s(graph, roofline, element_bytes)
    else:
        seconds = tuple(operator_s(node.work, roofline, element_bytes) for node in graph.nodes)
    return Profile(
        target=spec.name,
        precision=chosen,
        seconds=seconds,
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
    return roofline.busy_s(work, element_bytes) + roofline.start_s(work)


def eager_s(graph: GraphView, roofline: Roofline, element_bytes: int) -> tuple[float, ...]:
    """Seconds of every fused operator under PyTorch eager; their sum is max(launches * overhead, GPU time).

    Every operator before fusion is one launch, views and folded batch normalizations included (`Node.folded` says which
    of these are seen).

    Notes
    -----
    An approximation: whether launches or the GPU bind is decided once, on the whole model, and every operator is
    charged in that resource. So the whole model gets the rule's time, but a part of it where the other one binds (a few
    large convolutions of a launch-bound model, many small operators of a GPU-bound one) is charged too little.
    """
    launches = tuple(node.unfused_operators * roofline.overhead_s for node in graph.nodes)
    gpu = tuple(_unfused_gpu_s(node, roofline, element_bytes) for node in graph.nodes)
    return launches if sum(launches) > sum(gpu) else gpu


def _unfused_gpu_s(node: Node, roofline: Roofline, element_bytes: int) -> float:
    """max(FLOPs / rate, bytes / bandwidth) for the operator that does the work, bytes / bandwidth for the others.

    The others are taken to read and write a tensor of the output's size each: so for the batch normalization, addition
    and activation behind a convolution; too much for views.
    """
    work = node.work
    others = node.unfused_operators - 1
    return (
        roofline.busy_s(work, element_bytes) + others * 2 * work.output_elements * element_bytes / roofline.bytes_per_s
    )
