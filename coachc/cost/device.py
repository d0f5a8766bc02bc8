"""Targets: what is known of a Jetson or a server GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from coachc.core.graph import Work
from coachc.core.power import Power
from coachc.core.profile import Provenance

#: The target that is timed with ONNX Runtime on the machine coachc runs on; it has no file.
LOCAL = "local"

#: What runs the model: TensorRT, which fuses operators, or PyTorch eager, which starts each on its own.
FAMILIES = ("tensorrt", "eager")
#: Precisions of the second family are called "eager-fp16" and "eager-fp32"; those of the first have no prefix.
EAGER_PREFIX = "eager-"

#: Where a target's rate for a kind of work is not known: that of another kind.
RATE_OF: Mapping[str, str] = {
    "conv1x1": "conv", "conv3x3": "conv", "depthwise": "conv", "grouped": "conv", "transposed": "conv",
    "gemm": "conv1x1", "attention": "gemm",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Roofline:
    """Rates of one target at one precision; `coachc.cost.roofline` makes seconds of them.

    Attributes
    ----------
    flops_per_s : mapping of str to float
        Attained, not peak, by `coachc.core.graph.WORK_KINDS`; "conv" is among them.
    bytes_per_s : float
        Attained memory throughput.
    overhead_s : float
        Start of one operator.
    provenance : Provenance
    overheads_s : mapping of str to float
        Kinds of work that take another time to start.
    """

    flops_per_s: Mapping[str, float]
    bytes_per_s: float
    overhead_s: float
    provenance: Provenance
    overheads_s: Mapping[str, float] = field(default_factory=dict)

    def rate(self, kind: str) -> float:
        """FLOPs a second of a kind of work."""
        while kind not in self.flops_per_s:
            kind = RATE_OF[kind]
        return self.flops_per_s[kind]

    def busy_s(self, work: Work, element_bytes: int) -> float:
        """max(FLOPs / rate, bytes / bandwidth): weights are read once a run, activations at the operator's border."""
        moved = (work.weight_elements + work.input_elements + work.output_elements) * element_bytes
        compute_s = work.flops / self.rate(work.kind) if work.flops else 0.0
        return max(compute_s, moved / self.bytes_per_s)

    def start_s(self, work: Work) -> float:
        """Start of an operator."""
        return self.overheads_s.get(work.kind, self.overhead_s)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One target, as its file in `coachc/cost/profiles` states it.

    Attributes
    ----------
    name, title : str
    aliases : tuple of str
    sides : tuple of str
        "device", "cloud" or both: where it can stand.
    compute_capability, jetpack, tensorrt, python : str
        Empty where they do not apply.
    max_opset : int
        Newest ai.onnx opset its TensorRT parses.
    memory_bytes : int
    precisions : tuple of str
        Arithmetic the hardware has.
    rooflines : mapping of str to Roofline
        By precision, "eager-" before it in the family "eager".
    power : Power or None
        None where it is not stated.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    sides: tuple[str, ...]
    compute_capability: str
    jetpack: str
    tensorrt: str
    python: str
    max_opset: int
    memory_bytes: int
    precisions: tuple[str, ...]
    rooflines: Mapping[str, Roofline]
    power: Power | None = None

    @property
    def default_precision(self) -> str:
        """Of the family "tensorrt": engines are what the compiler builds."""
        engines = [precision for precision in self.rooflines if not precision.startswith(EAGER_PREFIX)]
        return "fp16" if "fp16" in engines else next(iter(engines), "fp32")

    def with_rooflines(self, rooflines: Mapping[str, Roofline]) -> DeviceSpec:
        """The same target with other profiles."""
        return dataclasses.replace(self, rooflines=rooflines)

    @property
    def is_local(self) -> bool:
        return self.name == LOCAL

    @property
    def has_uint8(self) -> bool:
        """Whether codes can leave its engine as uint8: TensorRT has the type since 8.5."""
        return self.is_local or tuple(int(part) for part in self.tensorrt.split(".")[:2]) >= (8, 5)


#: ONNX Runtime on the CPU of the machine coachc runs on: timed, not estimated.
LOCAL_SPEC = DeviceSpec(
    name=LOCAL,
    title="this machine, ONNX Runtime on the CPU",
    aliases=(),
    sides=("device", "cloud"),
    compute_capability="",
    jetpack="",
    tensorrt="",
    python="",
    max_opset=27,
    memory_bytes=0,
    precisions=("fp32",),
    rooflines={},
)
