"""Frames: the bytes of one packed value, which say by themselves how they are packed and at which precision.

Two bytes of header, then the codes. Their channel order is the value's `Layout`'s, which both sides know; entropy
coding is `deflate`'s. Lengths are checked before anything of that length is made.
"""

import functools
from typing import NamedTuple, Sequence, Tuple

import numpy as np

from .manifest_types import FORMS, MAX_BITS, MIN_BITS, Layout
from .numeric import BytesLike, pack_bits, pack_whole, packed_size, unpack_bits, unpack_whole, whole_size

FRAME_VERSION = 1
FRAME_HEADER_BYTES = 2


class Frame(NamedTuple):
    """A value that was packed already: its frame, and the precision and shape of the codes in it."""

    data: bytes
    bits: int
    shape: Tuple[int, ...]


class Framing(NamedTuple):
    """How codes are to be packed."""

    bits: int
    layout: Layout


def frame_size(count: int, bits: int, form: str) -> int:
    """Bytes of a frame of `count` codes, header included."""
    return FRAME_HEADER_BYTES + (packed_size(count, bits) if form == "dense" else whole_size(count, bits))


def encode_frame(codes: np.ndarray, bits: int, layout: Layout) -> bytes:
    """Codes to a frame.

    Parameters
    ----------
    codes : ndarray of integers, any shape
        Values in [0, 2**bits - 1].
    bits : int
        2 to 8.
    layout : Layout
        Its form and order count; its coding is applied to a whole request, by `deflate`.

    Returns
    -------
    bytes
        Header, then the codes in C order after their channels (axis 1) were put in the layout's order.

    Raises
    ------
    ValueError
        If `bits` is not 2 to 8, a code does not fit in them, or the order is not one of the channels.
    """
    _check_bits(bits)
    if layout.order:
        codes = np.take(codes, _orders(layout.order, np.shape(codes))[0], axis=1)
    pack = pack_bits if layout.form == "dense" else pack_whole
    return frame_header(bits, layout) + pack(codes, bits)


def frame_header(bits: int, layout: Layout) -> bytes:
    """The two bytes before the codes of a frame."""
    return bytes((FRAME_VERSION << 4 | FORMS.index(layout.form), bits))


def decode_frame(
    data: BytesLike, shape: Sequence[int], bits_allowed: Sequence[int], layout: Layout
) -> Tuple[int, np.ndarray]:
    """Undo `encode_frame`.

    Parameters
    ----------
    data : bytes-like
    shape : sequence of int
        Of the codes.
    bits_allowed : sequence of int
        Precisions that the receiver can take.
    layout : Layout

    Returns
    -------
    int
        Bits of the codes.
    ndarray of uint8, shape `shape`
        Each code below ``2**bits``.

    Raises
    ------
    ValueError
        If version, form, precision or length are not as expected, or a bit that belongs to no code is not zero.
    """
    if len(data) < FRAME_HEADER_BYTES:
        raise ValueError(f"expected a frame of at least {FRAME_HEADER_BYTES} bytes, found {len(data)}")
    version, form, bits = data[0] >> 4, data[0] & 15, data[1]
    if version != FRAME_VERSION:
        raise ValueError(f"expected frame version {FRAME_VERSION}, found {version}")
    if form != FORMS.index(layout.form):
        found = FORMS[form] if form < len(FORMS) else f"form {form}, which is unknown"
        raise ValueError(f"expected a frame of form {layout.form}, found {found}")
    if bits not in bits_allowed:
        raise ValueError("expected a frame of {} bits, found {}".format(", ".join(map(str, bits_allowed)), bits))
    _check_bits(bits)
    count = 1
    for length in shape:
        count *= length
    expected = frame_size(count, bits, layout.form)
    if len(data) != expected:
        raise ValueError(f"expected a frame of {expected} bytes ({count} codes of {bits} bits), found {len(data)}")
    unpack = unpack_bits if layout.form == "dense" else unpack_whole
    codes = unpack(memoryview(data)[FRAME_HEADER_BYTES:], count, bits).reshape(tuple(shape))
    if layout.order:
        codes = codes.take(_orders(layout.order, codes.shape)[1], axis=1)
    return bits, codes


def _check_bits(bits: int) -> None:
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"a frame has codes of {MIN_BITS} to {MAX_BITS} bits, not {bits}")


@functools.lru_cache(maxsize=256)  # longer to make than to apply
def _orders(order: Tuple[int, ...], shape: Tuple[int, ...]) -> Tuple[np.ndarray, np.ndarray]:
    """A layout's order and its inverse, as index arrays for codes of that shape."""
    if len(shape) < 2 or sorted(order) != list(range(shape[1])):
        raise ValueError(f"an order of {len(order)} channels does not suit codes of shape {list(shape)}")
    forward = np.array(order, dtype=np.intp)
    return forward, np.argsort(forward)
