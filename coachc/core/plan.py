"""What the compiler decides: the cut, the bits of every boundary value, and what both cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from coachc.core.graph import ITEM_BYTES, Value
from coachc.runtime.bundle.manifest_types import Layout

#: Precisions of a packed value.
MIN_BITS = 2
MAX_BITS = 8
#: Stands for "as it is": systems that do not quantize send tensors in their own type.
UNQUANTIZED = 0

MODES = ("split", "device-only", "cloud-raw", "cloud-jpeg")


@dataclass(frozen=True, slots=True)
class Quantizer:
    """How one boundary value crosses the link.

    Attributes
    ----------
    name : str
        The value.
    codec : str
        "packed" (b-bit codes) or "raw" (its own bytes: integers and shapes are never quantized).
    bits : int
        2 to 8 when packed; the width of the element when raw.
    scale : tuple of float
        Step between codes: one for the whole tensor, or one per channel (axis 1); 1 when raw.
    zero_point : tuple of int
        Code of the real number 0, as many as scales; 0 when raw.
    """

    name: str
    codec: str
    bits: int
    scale: tuple[float, ...] = (1.0,)
    zero_point: tuple[int, ...] = (0,)

    @property
    def packed(self) -> bool:
        """Whether it crosses as codes."""
        return self.codec == "packed"

    @property
    def qmax(self) -> int:
        return 2**self.bits - 1


def quantizer_for(value: Value, bits: int) -> Quantizer:
    """How a value crosses when all of a cut get `bits` bits, before any range is measured.

    Parameters
    ----------
    value : Value
    bits : int
        `MIN_BITS` to `MAX_BITS`, or `UNQUANTIZED`.

    Returns
    -------
    Quantizer
        Raw for `UNQUANTIZED` and for values that are never quantized (integers, shapes).
    """
    if bits != UNQUANTIZED and value.quantizable:
        return Quantizer(value.name, "packed", bits)
    return Quantizer(value.name, "raw", 8 * ITEM_BYTES.get(value.dtype, 0))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a split model loses beside the whole one, on calibration samples.

    Attributes
    ----------
    kind : str
        "labels" (top-1), "agreement" (with the float model's top-1; `whole` is then 1), "outputs" (how far the output
        that moves most is from the float model's, in its own scale: `calib.output_scale`; `whole` is 1) or "random"
        (either of them on noise: says nothing about real samples).
    whole, split : float
        Of the float model and of the split one. Fractions; `split` is below 0 where outputs are worse than constant.
    samples : int
        On which they were measured: those kept back where any were, else those that precision was chosen on.
    loss : float
        `whole - split`.
    loss_bound : float or None
        What the loss is at most, for samples like these: wrong with a probability of at most 5 %, the choice of cut,
        precision and early exits included. None where nothing was kept back to prove it.
    certified : bool
        Whether `loss_bound` is within the budget.
    kept_back : int
        Samples that had no part in any choice, and prove the bound.
    clip : int
        Samples of the longest clip: the bound holds for clips no longer than that. 1 where each stands for itself.
    needed : int or None
        About how many samples in all would prove the budget, if they lose as much; None where these do, or none would.
    worst : str
        The output that loses most; empty where an answer is judged.
    figures : tuple of (str, float, float)
        What is said of those samples together, such as the mAP: name, the whole model's, the split one's.
    resampled_bound : float or None
        What the first figure loses at most, by resampling: no proof, as `loss_bound` is. None where that proves it.
    """

    kind: str
    whole: float
    split: float
    samples: int
    loss: float
    loss_bound: float | None = None
    certified: bool = False
    kept_back: int = 0
    clip: int = 1
    needed: int | None = None
    worst: str = ""
    figures: tuple[tuple[str, float, float], ...] = ()
    resampled_bound: float | None = None


@dataclass(frozen=True, slots=True)
class BitPlan:
    """Precision of every boundary value of one cut, and what was measured with it.

    Attributes
    ----------
    quantizers : tuple of Quantizer
    accuracy : Accuracy or None
    ladder : tuple of tuple of Quantizer
        For each quantizer the same value's at every precision from 2 to 8 bits, itself among them, so that a task may
        take another one; empty for raw values, and where nothing was measured.
    layouts : tuple of Layout
        How the codes of each value are packed and coded; empty for packing alone.
    coded_bytes : float or None
        Mean bytes of a task's values on the wire with these layouts, frames included; None where not measured.
    """

    quantizers: tuple[Quantizer, ...]
    accuracy: Accuracy | None = None
    ladder: tuple[tuple[Quantizer, ...], ...] = ()
    layouts: tuple[Layout, ...] = ()
    coded_bytes: float | None = None

    @property
    def packed(self) -> bool:
        """Whether any value crosses as codes; what sends all its tensors as they are is the whole model."""
        return any(quantizer.packed for quantizer in self.quantizers)

    @property
    def fewest(self) -> int | None:
        """Bits of the value with the fewest codes; the widest element where none is packed; None without values."""
        packed = [quantizer.bits for quantizer in self.quantizers if quantizer.packed]
        return min(packed) if packed else max((quantizer.bits for quantizer in self.quantizers), default=None)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What rounding one boundary value alone does to the outputs.

    Attributes
    ----------
    name : str
    bits : int
    divergence : float
        Mean Kullback-Leibler divergence of the classes' probabilities in nats, or distance of the outputs.
    changed : float
        Share of samples whose answer is another one; mean loss of the output that loses most, where outputs are judged.
    samples : int
    """

    name: str
    bits: int
    divergence: float
    changed: float
    samples: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Seconds and bytes of one task.

    Attributes
    ----------
    device_s, link_s, cloud_s : float
        Busy time of each stage, quantizing and dequantizing included.
    period_s : float
        max(device_s, link_s, cloud_s / workers per device): the steady-state time between results.
    latency_s : float
        From input to answer with the stages one after the other, round trip and longest wait for the server included.
    payload_bytes : int
        Codes and raw values of one task, without headers.
    """

    device_s: float
    link_s: float
    cloud_s: float
    period_s: float
    latency_s: float
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Seconds of work inside one task that run beside another stage (COACH, section III-B).

    Attributes
    ----------
    link_s : float
        T_t^p: the link beside the device.
    cloud_s : float
        T_c^p: the cloud beside the device or the link.
    saved_s : float
        By how much less a task takes for it: latency with stages one after the other, minus the scheduled latency.
    """

    link_s: float = 0.0
    cloud_s: float = 0.0
    saved_s: float = 0.0


NO_OVERLAP = Overlap()


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run the model: what runs where, how the values between cross, and what that takes.

    Attributes
    ----------
    mode : str
        One of `MODES`.
    mask : int
        Nodes on the device (bit i is `GraphView.nodes[i]`).
    bits : BitPlan
        Of the values of the cut, in topological order; empty for device-only, and for a JPEG, which is no value.
    timeline : Timeline
    overlap : Overlap
        What `passes.schedule` has overlap inside one task; nothing where it was not asked.
    name : str
        Of its cut in a bundle; the mode, unless several cuts of one bundle have that.
    """

    mode: str
    mask: int
    bits: BitPlan
    timeline: Timeline
    overlap: Overlap = NO_OVERLAP
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.mode)

    @property
    def cut(self) -> tuple[str, ...]:
        """Boundary values in topological order; empty where none crosses."""
        return tuple(quantizer.name for quantizer in self.bits.quantizers)

    @property
    def scheduled_latency_s(self) -> float:
        """Latency if every value were sent, and every operator of the cloud started, as early as it can be.

        At most `timeline.latency_s`, which is what two engines that run one after the other take.
        """
        return self.timeline.latency_s - self.overlap.saved_s


@dataclass(frozen=True, slots=True)
class Alternative:
    """A way to run the model that the plan is compared with.

    Attributes
    ----------
    way : Way
        Its accuracy is None where it was not measured.
    barrier : str
        What keeps this compile from emitting it, in two or three words; empty where nothing does.
    note : str
        What its numbers rest on, or why it cannot be emitted.
    """

    way: Way
    barrier: str = ""
    note: str = ""

    @property
    def emittable(self) -> bool:
        """Whether this compile could emit it."""
        return not self.barrier


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that lost for a reason other than its cost."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The compiler's decision.

    Attributes
    ----------
    way : Way
        The one that is taken.
    alternatives : mapping of str to Alternative
        By mode: device-only, cloud-raw (the inputs as 8-bit codes) and cloud-jpeg, always all three.
    candidates : int
        Ideals the search looked at.
    method : str
        How they were found.
    gap : float
        0 when proven optimal; else period over its lower bound, minus 1.
    rejected : tuple of Rejected
    """

    way: Way
    alternatives: Mapping[str, Alternative]
    candidates: int
    method: str
    gap: float
    rejected: tuple[Rejected, ...] = field(default=())
