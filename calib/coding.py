"""How the codes of a boundary value are packed and coded: measured on real codes, the smallest wins.

Codes that share a byte are one symbol to the entropy coder, which is how neighbours' likeness and a code's share of
less than one bit become fewer bytes. Channels may be put in order of their entropy, so that those of one kind meet in
one Huffman table. What is measured is what travels: `runtime.bundle.frame.coded_size`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coachc.runtime.bundle.deflate import coded_size
from coachc.runtime.bundle.manifest_types import Layout

#: (coding, memory level) tried; smaller memory levels mean smaller blocks, each with its own table. zlib's "filtered"
#: strategy saves another percent at best and takes 15 to 50 times as long.
CODINGS = (("huffman", 9), ("huffman", 6), ("huffman", 5), ("rle", 9), ("rle", 6))
#: The layout that is best most often.
QUICK_LAYOUT = Layout("bytes", (), "huffman", 9)
#: Activations a layout is chosen on.
SAMPLES = 16


def choose_layout(codes: Sequence[np.ndarray], bits: int) -> tuple[Layout, float]:
    """The layout of fewest mean bytes, and those bytes.

    Parameters
    ----------
    codes : sequence of ndarray of uint8, all of one shape
        Of some tasks.
    bits : int

    Returns
    -------
    Layout
    float
        Bytes a task. Packing alone is among the layouts, so never more than that.
    """
    layouts = [Layout()]
    orders: list[tuple[int, ...]] = [()]
    order = entropy_order(codes)
    if order != tuple(range(len(order))):
        orders.append(order)
    layouts += [Layout("bytes", o, coding, memory) for coding, memory in CODINGS for o in orders]
    sizes = [float(np.mean([coded_size(array, bits, layout) for array in codes])) for layout in layouts]
    best = int(np.argmin(sizes))
    return layouts[best], sizes[best]


def entropy_order(codes: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Channels (axis 1) by ascending entropy of their codes; empty below rank 3."""
    if codes[0].ndim < 3:
        return ()
    entropies = [
        entropy_bytes(np.concatenate([array[:, channel].ravel() for array in codes]))
        for channel in range(codes[0].shape[1])
    ]
    return tuple(int(i) for i in np.argsort(entropies, kind="stable"))


def entropy_bytes(codes: np.ndarray) -> float:
    """Zero-order entropy of all codes together, in bytes: Shannon's bound for coding each by itself."""
    counts = np.bincount(np.asarray(codes).ravel())
    share = counts[counts > 0] / max(codes.size, 1)
    return float(-(share * np.log2(share)).sum() * codes.size / 8)


def quick_bytes(codes: Sequence[np.ndarray], bits: int) -> float:
    """Mean bytes of some tasks with `QUICK_LAYOUT`."""
    return float(np.mean([coded_size(array, bits, QUICK_LAYOUT) for array in codes]))
