"""What a device draws, and where that number comes from."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.core.profile import Provenance

#: Of a Wi-Fi radio while it sends, where nobody has stated it.
SEND_W = 1.0


@dataclass(frozen=True, slots=True)
class Power:
    """Watts of a whole board.

    Attributes
    ----------
    idle_w : float
        While it waits.
    busy_w : float
        While its GPU computes, at least as much.
    send_w : float
        What the radio takes besides while it sends.
    provenance : Provenance
    """

    idle_w: float
    busy_w: float
    send_w: float
    provenance: Provenance
