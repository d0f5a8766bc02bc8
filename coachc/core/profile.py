"""What each fused operator costs on one side, and where that number comes from."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    kind: str
    source: str

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
    """

    target: str
    precision: str
    seconds: tuple[float, ...]
    bytes_per_s: float
    overhead_s: float
    element_bytes: int
    provenance: Provenance

    def elementwise_s(self, elements: int, output_bytes: int) -> float:
        """Seconds to read `elements` and write `output_bytes` in one element-wise operator."""
        return (elements * self.element_bytes + output_bytes) / self.bytes_per_s + self.overhead_s
