"""Targets and links: what is known of a Jetson, a server GPU and the network between them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from coachc.core.profile import Provenance
from coachc.errors import ProfileError, UsageError

#: The target that is timed with ONNX Runtime on the machine coachc runs on; it has no file.
LOCAL = "local"

#: What runs the model: TensorRT, which fuses operators, or PyTorch eager, which starts each on its own.
FAMILIES = ("tensorrt", "eager")
#: Precisions of the second family are called "eager-fp16" and "eager-fp32"; those of the first have no prefix.
EAGER_PREFIX = "eager-"

#: Share of the wire rate left to HTTP bodies: measured 95.5 % on a link shaped by tbf (TCP/IP headers).
GOODPUT = 0.955

#: Seconds that entropy coding takes the device's CPU for each packed byte; it happens in the link's stage. zlib's
#: Huffman-only mode takes 3.5 to 5 ns on an x86 server core; a Cortex-A57 is taken to be 8 times slower (a guess).
CODING_S_PER_BYTE = 40e-9

#: Bytes of HTTP and JSON headers around one request, and what each further tensor adds.
REQUEST_HEADER_BYTES = 330
TENSOR_HEADER_BYTES = 90


@dataclass(frozen=True, slots=True)
class Roofline:
    """Rates of one target at one precision; `coachc.cost.roofline` makes seconds of them.

    Attributes
    ----------
    flops_per_s, winograd_flops_per_s : float
        Attained, not peak; the second for 3x3 convolutions.
    bytes_per_s : float
        Attained memory throughput.
    overhead_s : float
        Start of one operator.
    provenance : Provenance
    """

    flops_per_s: float
    winograd_flops_per_s: float
    bytes_per_s: float
    overhead_s: float
    provenance: Provenance


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

    @property
    def default_precision(self) -> str:
        """Of the family "tensorrt": engines are what the compiler builds."""
        engines = [precision for precision in self.rooflines if not precision.startswith(EAGER_PREFIX)]
        return "fp16" if "fp16" in engines else next(iter(engines), "fp32")

    def precision_of(self, family: str) -> str:
        """The precision to take in one of `FAMILIES`, FP16 before FP32.

        Raises
        ------
        ProfileError
            The target has no numbers in that family.
        """
        assert family in FAMILIES, family
        eager = family == "eager"
        half, single = (EAGER_PREFIX + precision for precision in ("fp16", "fp32"))
        precision = self.default_precision if not eager else half if half in self.rooflines else single
        if precision in self.rooflines or (self.is_local and not eager):
            return precision
        having = [
            spec.name
            for spec in all_devices().values()
            if any(found.startswith(EAGER_PREFIX) == eager for found in spec.rooflines)
        ]
        instead = "it is timed with ONNX Runtime" if self.is_local else f"it has: {', '.join(sorted(self.rooflines))}"
        raise ProfileError(
            f"{self.name} has no {'PyTorch eager' if eager else 'TensorRT'} profile",
            context=[instead, f"targets with one: {', '.join(having)}"],
            hint="choose one of these targets, or the other family of profiles",
        )

    @property
    def is_local(self) -> bool:
        return self.name == LOCAL

    @property
    def has_uint8(self) -> bool:
        """Whether codes can leave its engine as uint8: TensorRT has the type since 8.5."""
        return self.is_local or tuple(int(part) for part in self.tensorrt.split(".")[:2]) >= (8, 5)


@dataclass(frozen=True, slots=True)
class Link:
    """The uplink from device to cloud.

    Attributes
    ----------
    bandwidth_bytes_per_s : float
        Rate on the wire; `GOODPUT` of it carries payload.
    rtt_s : float
        Round trip time; enters latency only.
    """

    bandwidth_bytes_per_s: float
    rtt_s: float = 0.0

    def transfer_s(self, payload_bytes: float, tensors: int) -> float:
        """Seconds one request keeps the link busy, HTTP and JSON headers included."""
        body = payload_bytes + REQUEST_HEADER_BYTES + tensors * TENSOR_HEADER_BYTES
        return body / (self.bandwidth_bytes_per_s * GOODPUT)


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


@cache
def all_devices() -> Mapping[str, DeviceSpec]:
    """Every target that has a profile file, by name, sorted."""
    folder = resources.files("coachc.cost") / "profiles"
    specs = [_parse(entry.name.removesuffix(".toml"), entry.read_text("utf-8")) for entry in folder.iterdir()]
    return {spec.name: spec for spec in sorted(specs, key=lambda s: s.name)}


def find_device(name: str, *, side: str) -> DeviceSpec:
    """Look a target up by name or alias.

    Raises
    ------
    UsageError
        Unknown (suggests the nearest), or known but not for this side.
    """
    if name.lower() == LOCAL:
        return LOCAL_SPEC
    specs = all_devices()
    by_name = {alias: spec for spec in specs.values() for alias in (spec.name, *spec.aliases)}
    spec = by_name.get(name.lower())
    if spec is not None and side in spec.sides:
        return spec
    fitting = sorted(alias for alias, s in by_name.items() if side in s.sides) + [LOCAL]
    if spec is not None:
        raise UsageError(
            f"{spec.name} is a {' and '.join(spec.sides)} target, not a {side}",
            context=[f"{side}s: {', '.join(fitting)}"],
            hint=f"choose one with --{side}; `coachc devices` lists them all",
        )
    near = difflib.get_close_matches(name.lower(), fitting, n=1, cutoff=0.4)
    raise UsageError(
        f"unknown {side} '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""),
        context=[f"{side}s: {', '.join(fitting)}"],
        hint="`coachc devices` lists every target with its TensorRT version and precisions",
    )


def _parse(name: str, text: str) -> DeviceSpec:
    data = tomllib.loads(text)
    return DeviceSpec(
        name=name,
        title=data["title"],
        aliases=tuple(data["aliases"]),
        sides=tuple(data["sides"]),
        compute_capability=data["compute_capability"],
        jetpack=data.get("jetpack", ""),
        tensorrt=data["tensorrt"],
        python=data.get("python", ""),
        max_opset=data["max_opset"],
        memory_bytes=data["memory_bytes"],
        precisions=tuple(data["precisions"]),
        rooflines={
            precision: Roofline(
                flops_per_s=row["flops_per_s"],
                winograd_flops_per_s=row["winograd_flops_per_s"],
                bytes_per_s=row["bytes_per_s"],
                overhead_s=row["overhead_s"],
                provenance=Provenance(row["kind"], row["source"]),
            )
            for precision, row in data["roofline"].items()
        },
    )
