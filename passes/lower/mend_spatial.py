"""Convolutions, pools, paddings and resizing as a parser takes them that refuses how they are written.

Each is exact, and is called only for nodes that break the limit it is listed by.
"""

from __future__ import annotations

from coachc.passes.lower import mend_convolutions, mend_elements, mend_resizes, mend_windows
from coachc.passes.lower.builder import Rewrite

#: "Operator/limit" -> what takes the place of a node of it that breaks that limit of `coachc.targets`.
MENDS: dict[str, Rewrite] = {
    **mend_windows.MENDS,
    **mend_convolutions.MENDS,
    **mend_resizes.MENDS,
    **mend_elements.MENDS,
}
