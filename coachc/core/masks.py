"""Sets of a graph's nodes as bit masks: bit i = node i. A mask says which nodes are on the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal


def mask_of(nodes: Iterable[int]) -> int:
    """Bit mask of node indices."""
    mask = 0
    for node in nodes:
        mask |= 1 << node
    return mask


def bits_of(mask: int) -> Iterator[int]:
    """Positions of the ones in a mask that is not negative, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def side_of(node: int, mask: int) -> Literal["device", "cloud"]:
    """Where one node runs."""
    return "device" if mask >> node & 1 else "cloud"
