"""Which profile is fitted to what: networks of its own, or another target's profile scaled by times of both."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.core.profile import Provenance
from coachc.cost.device import Roofline
from coachc.cost.fit_rates import Peak

TX2_FITTED = (
    "resnet_v1_50", "resnet_v1_101", "resnet_v1_152", "vgg16", "inception_v1", "inception_v3", "inception_v4",
    "mobilenet_v1_1.0_224", "mobilenet_v1_0.5_160", "mobilenet_v1_0.25_128",
)  # fmt: skip
TORCHVISION_FITTED = (
    "alexnet", "squeezenet1_0", "resnet18", "resnet50", "resnet152", "vgg11", "vgg16", "densenet121", "densenet161",
)  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """A profile fitted to some networks, each with the table its time is taken from."""

    device: str
    precision: str
    networks: tuple[tuple[str, str], ...]
    start: Roofline
    peak: Peak


@dataclass(frozen=True)
class Scale:
    """A profile that is another target's, scaled by how many times as long the same networks of one source take.

    Attributes
    ----------
    device, precision : str
    parent, parent_precision : str
    tables : tuple of (str, str)
        Of the target and of its parent. Where a pair is one table the times themselves are fitted.
    memory : float
        By what memory throughput is the parent's.
    overhead : float
        The value that the factor of the starts is held to.
    compute : float, optional
        By what the rates are the parent's, where that is not fitted.
    smaller : bool
        Its smaller sister, which is faster at nothing.
    """

    device: str
    precision: str
    parent: str
    parent_precision: str
    tables: tuple[tuple[str, str], ...]
    memory: float
    overhead: float
    compute: float | None = None
    smaller: bool = False


def _start(
    rate: float, memory: float, start: float, *kinds: str, depthwise: float = 0.0, own_start: bool = False
) -> Roofline:
    """What the numbers are held to: one rate, twice that for 3x3 convolutions."""
    rates = {kind: rate * (2 if kind == "conv3x3" else 1) for kind in ("conv1x1", "conv3x3", "conv", *kinds)}
    if depthwise:
        rates["depthwise"] = depthwise
    return Roofline(rates, memory, start, Provenance("fitted", ""), {"depthwise": start} if own_start else {})


def _of(table: str, *networks: str) -> tuple[tuple[str, str], ...]:
    return tuple((table, network) for network in networks)


#: Arithmetic by cores and clock: TX2 256 x 1.30 GHz, AGX Xavier's tensor cores 11, T4's 65 TFLOP/s, of
#: which six tenths are taken to be attainable, and of its memory nine tenths: its times alone leave both open.
FITS = (
    Fit("tx2", "fp16", _of("tx2-nvidia-fp16", *TX2_FITTED),
        _start(4e11, 4e10, 5e-5, "gemm", depthwise=5e9, own_start=True),
        Peak(1.33e12, 59.7e9)),
    Fit("tx2", "fp32", _of("tx2-nvidia-fp32", *TX2_FITTED),
        _start(2.5e11, 4e10, 5e-5, "gemm", depthwise=5e9, own_start=True),
        Peak(0.67e12, 59.7e9)),
    # DenseNets take up to three times as long in the table that has MobileNet.
    Fit("agx-xavier", "fp16",
        _of("agx-xavier-torch2trt-readme", *TORCHVISION_FITTED)
        + _of("agx-xavier-torch2trt-tensorrt", "mobilenet_v2"),
        _start(3e12, 1e11, 1.5e-5, "gemm", depthwise=1e11), Peak(11e12, 136.5e9)),
    Fit("agx-xavier", "eager-fp16",
        _of("agx-xavier-torch2trt-eager", *TORCHVISION_FITTED, "mobilenet_v2"),
        _start(3e12, 1e11, 1e-4, "gemm", depthwise=1e11), Peak(11e12, 136.5e9)),
    Fit("t4", "fp16",
        _of("t4-supergradients", "resnet18", "resnet34", "resnet50", "mobilenet_v2")
        + _of("t4-ultralytics", "yolov8n_640", "yolov8s_640", "yolov8m_640", "yolov8l_640", "yolov8x_640"),
        _start(1.2e13, 2.5e11, 8e-6, "gemm", depthwise=1e12, own_start=True), Peak(0.6 * 65e12, 0.9 * 320e9)),
)  # fmt: skip

#: Of an INT8 tensor core beside FP16; one network's time is not enough to tell rates and starts apart.
INT8_RATE = 2.0
#: Rates by the ratio of dense FP16 tensor peaks where one network cannot tell them: T4 65, L4 121, A6000 155, A100 312,
#: H100 990 TFLOP/s. Memory by the ratio of what it moves at most: Xavier NX 51.2, AGX Xavier 136.5, AGX Orin 204.8,
#: Orin NX 102.4, Orin Nano 68.3, T4 320, L4 300, A6000 768, A100 1555, H100 3350 GB/s.
SCALES = (
    Scale("xavier-nx", "fp16", "agx-xavier", "fp16", (("xavier-nx-netspresso", "agx-xavier-netspresso"),), 0.375, 1.1,
        smaller=True),
    Scale("xavier-nx", "eager-fp16", "agx-xavier", "eager-fp16",
        (("xavier-nx-coach",) * 2,), 0.45, 1.2, smaller=True),
    Scale("agx-orin", "fp16", "agx-xavier", "fp16", (("agx-orin-netspresso", "agx-xavier-netspresso"),), 1.5, 0.8),
    Scale("orin-nx", "fp16", "agx-orin", "fp16", (("orin-nx-trtutils", "agx-orin-trtutils"),), 0.5, 1.2, smaller=True),
    Scale("orin-nano", "fp16", "agx-orin", "fp16",
        (("orin-nano-netspresso", "agx-orin-netspresso"), ("orin-nano-trtutils", "agx-orin-trtutils")), 0.333, 1.2,
        smaller=True),
    Scale("a100", "fp16", "t4", "fp16", (("a100-ultralytics",) * 2,), 4.86, 0.8),
    *(
        Scale(name, "int8", name, "fp16", ((f"{name}-mlperf",) * 2,), 1.0, 0.8, INT8_RATE)
        for name in ("agx-xavier", "agx-orin", "t4", "a100")
    ),
    Scale("xavier-nx", "int8", "agx-xavier", "int8", (("xavier-nx-mlperf", "agx-xavier-mlperf"),), 0.375, 1.1,
        smaller=True),
    Scale("orin-nx", "int8", "agx-orin", "int8", (("orin-nx-mlperf", "agx-orin-mlperf"),), 0.5, 1.2, smaller=True),
    *(
        Scale(name, precision, parent, precision, ((f"{name}-mlperf", f"{parent}-mlperf"),), memory, 0.8, compute)
        for precision in ("fp16", "int8")
        for name, parent, memory, compute in (
            ("l4", "t4", 300 / 320, 121 / 65),
            ("a6000", "a100", 768 / 1555, 155 / 312),
            ("h100", "a100", 3350 / 1555, 990 / 312),
        )
    ),
    # Nothing published: as its FP16 is to that of its sister.
    Scale("orin-nano", "int8", "agx-orin", "int8",
        (("orin-nano-netspresso", "agx-orin-netspresso"), ("orin-nano-trtutils", "agx-orin-trtutils")), 0.333, 1.2,
        smaller=True),
)  # fmt: skip
