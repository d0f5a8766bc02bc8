"""The cuts of a bundle that serves a range of bandwidths, and how far the best of them is from the optimum."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.core.plan import Way


@dataclass(frozen=True, slots=True)
class ChosenCut:
    """One cut of a bundle.

    Attributes
    ----------
    way : Way
        Timed at the middle of the range.
    best_between : tuple of (float, float)
        Bandwidths, in bytes a second, between which no other cut of the bundle has a shorter period; empty where it is
        never the best, such as device-only on a fast link.
    """

    way: Way
    best_between: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class CutSet:
    """The cuts of a bundle for a range of bandwidths.

    Attributes
    ----------
    low_bytes_per_s, high_bytes_per_s : float
    grid : tuple of float
        Bandwidths at which the optimum was sought.
    cuts : tuple of ChosenCut
        By descending work on the cloud; device-only, always among them, is last.
    chosen : str
        Name of the best one at the geometric middle of the range.
    worst, mean : float
        Of (period of the best cut) / (least period of any that was found) on the grid, before the cuts were refined.
    """

    low_bytes_per_s: float
    high_bytes_per_s: float
    grid: tuple[float, ...]
    cuts: tuple[ChosenCut, ...]
    chosen: str
    worst: float
    mean: float
