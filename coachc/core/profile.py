"""What each fused operator costs on one side, and where that number comes from."""

from __future__ import annotations

from dataclasses import dataclass

#: See `Provenance.kind`.
KINDS = ("measured", "fitted", "guess")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a number comes from; printed wherever the number is.

    Attributes
    ----------
    kind : str
        "measured" (timed on the machine named in `source`), "fitted" (a roofline fitted to published
        measurements), or "guess" (scaled from another target's peak figures, nobody has checked it).
    source : str
        One sentence: machine, tool versions, date and repeats, or the publication.
    band : float
        A whole network's time is between this many times less and more than the numbers say; 1 where it was measured.
    """

    kind: str
    source: str
    band: float = 1.0

    @property
    def is_measured(self) -> bool:
        return self.kind == "measured"


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds of every fused operator on one side.

    Attributes
    ----------
    target : str
        Profile name: "tx2", "a6000", "local", ...
    precision : str
        "fp16", "fp32", ...
    seconds : tuple of float
        One per `GraphView.nodes`, batch included.
    bytes_per_s : float
        Memory throughput, for the element-wise work the graph does not contain (the quantizer at the cut).
    overhead_s : float
        Fixed time of starting one operator.
    element_bytes : int
        Size of one activation or weight at this precision.
    provenance : Provenance
    program_s : float
        What the program on this side takes for a task besides operators; 0 where it was not measured.
    """

    target: str
    precision: str
    seconds: tuple[float, ...]
    bytes_per_s: float
    overhead_s: float
    element_bytes: int
    provenance: Provenance
    program_s: float = 0.0

    def elementwise_s(self, elements: int, output_bytes: int) -> float:
        """Seconds to read `elements` and write `output_bytes` in one element-wise operator."""
        return (elements * self.element_bytes + output_bytes) / self.bytes_per_s + self.overhead_s
