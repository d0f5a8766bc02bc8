"""Entropy coding of a request: one zlib stream whose parts are coded each in its own way.

Codes need no string matching, and a Huffman table of their own; a JSON header needs both. Deflate can change between
blocks, but Python's zlib cannot change the strategy of a stream, so every part is a raw deflate stream that ends at a
byte boundary without ending the whole, and the zlib wrapper (RFC 1950) is put around them here. `zlib.decompress`
undoes it, and so does whatever understands ``Content-Encoding: deflate``.
"""

import zlib
from typing import List, Sequence, Tuple

import numpy as np

from .frame import encode_frame
from .manifest_types import Layout
from .numeric import BytesLike

#: What is coded, how (a coding of `manifest_types.CODINGS`, or "default"), and zlib's memLevel.
Part = Tuple[BytesLike, str, int]

# Levels: Huffman and run lengths alone are the same at every level, 6 is zlib's own choice for the rest. Fixed tables
# (Z_FIXED) for the JSON header gain nothing: the default strategy takes them where they are smaller.
_STRATEGIES = {
    "default": (6, zlib.Z_DEFAULT_STRATEGY),
    "huffman": (1, zlib.Z_HUFFMAN_ONLY),
    "rle": (1, zlib.Z_RLE),
    "filtered": (6, zlib.Z_FILTERED),
}
# Deflate with a window of 32 KiB, fastest level, no dictionary.
_ZLIB_HEADER = b"\x78\x01"
WRAPPER_BYTES = 6

_STORED_BYTES = 65535  # in one block, by RFC 1951

# Of compressed input looked at and of output made at a time. Small input slices keep zlib's copy of what it could not
# take in small.
_INPUT_BYTES = 1 << 14
_OUTPUT_BYTES = 1 << 15


def deflate(parts: Sequence[Part]) -> bytes:
    """One zlib stream of all parts.

    Parameters
    ----------
    parts : sequence of (bytes-like, str, int)
        At least one.

    Returns
    -------
    bytes
        What `zlib.decompress` turns into the parts, joined. The same bytes wherever zlib is the same; another zlib may
        make others, which mean the same.
    """
    return join_segments(parts, segments(parts))


def segments(parts: Sequence[Part]) -> List[bytes]:
    """The raw deflate segment of each part; all but the last leave the stream open."""
    last = len(parts) - 1
    return [_segment(part, index == last) for index, part in enumerate(parts)]


def join_segments(parts: Sequence[Part], coded: Sequence[bytes]) -> bytes:
    """The zlib stream of segments that `segments` made; `WRAPPER_BYTES` longer than they are together."""
    checksum = 1
    for data, _, _ in parts:
        checksum = zlib.adler32(data, checksum)
    return b"".join([_ZLIB_HEADER] + list(coded) + [checksum.to_bytes(4, "big")])


def inflate(data: BytesLike, limit_bytes: int) -> bytearray:
    """Undo `deflate`, or any other zlib stream.

    Parameters
    ----------
    data : bytes-like
    limit_bytes : int
        Most bytes it may turn into. That and 200 KiB is the most memory taken, whatever `data` says.

    Raises
    ------
    ValueError
        If it is not one whole zlib stream, bytes follow it, or the limit is exceeded.
    """
    stream = zlib.decompressobj()
    source = memoryview(data)
    result = bytearray(limit_bytes)
    size = 0
    for start in range(0, len(source), _INPUT_BYTES):
        tail: BytesLike = source[start : start + _INPUT_BYTES]
        full = True
        while full:
            wanted = min(_OUTPUT_BYTES, limit_bytes - size + 1)
            try:
                piece = stream.decompress(tail, wanted)
            except zlib.error as exc:
                raise ValueError(f"not a zlib stream: {exc}") from exc
            if size + len(piece) > limit_bytes:
                raise ValueError(f"a zlib stream of more than {limit_bytes} bytes")
            result[size : size + len(piece)] = piece
            size += len(piece)
            tail = stream.unconsumed_tail
            full = len(piece) == wanted
        if stream.eof:
            trailing = len(stream.unused_data) + max(0, len(source) - start - _INPUT_BYTES)
            if trailing:
                raise ValueError(f"a zlib stream with {trailing} bytes after it")
            del result[size:]
            return result
    raise ValueError(f"a zlib stream that does not end within its {len(source)} bytes")


def coded_size(codes: np.ndarray, bits: int, layout: Layout, last: bool = True) -> int:
    """Bytes that a value's frame adds to a request, entropy coding included.

    Parameters
    ----------
    codes : ndarray of integers
    bits : int
    layout : Layout
    last : bool
        Whether no other value follows in the request: one that leaves the stream open takes a few bytes more.

    Raises
    ------
    ValueError
        As `encode_frame` does.

    Notes
    -----
    What travels, with two exceptions: a request that coding would not make smaller travels without, and a value
    without coding takes 5 bytes per 64 KiB more in a request that another value's coding deflates.
    """
    frame = encode_frame(codes, bits, layout)
    if layout.coding == "none":
        return len(frame)
    return len(_segment((frame, layout.coding, layout.memory_level), last))


def _segment(part: Part, last: bool) -> bytes:
    data, coding, memory_level = part
    if coding == "none":
        return _stored(memoryview(data), last)
    level, strategy = _STRATEGIES[coding]
    window_bits, memory_level = _needed(len(data), memory_level)
    stream = zlib.compressobj(level, zlib.DEFLATED, -window_bits, memory_level, strategy)
    return stream.compress(data) + stream.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _needed(size: int, memory_level: int) -> Tuple[int, int]:
    """As much of a window and of memory as data of that size can use; zlib would clear a quarter of a megabyte.

    A window that holds everything with zlib's look-ahead of 262 bytes finds what a larger one finds, and codes that fit
    into one block, of 2**(level + 6) - 1, make the same block at every level.
    """
    window_bits = min(zlib.MAX_WBITS, max(9, (size + 262).bit_length()))
    return window_bits, min(memory_level, max(1, (size + 1).bit_length() - 6))


def _stored(data: memoryview, last: bool) -> bytes:
    """Stored blocks. zlib's level 0 would make their sizes depend on the output buffers of this Python."""
    pieces: List[BytesLike] = []
    for start in range(0, max(len(data), int(last)), _STORED_BYTES):
        piece = data[start : start + _STORED_BYTES]
        final = last and start + _STORED_BYTES >= len(data)
        length = len(piece).to_bytes(2, "little")
        pieces += [bytes((final,)), length, bytes(255 - byte for byte in length), piece]
    return b"".join(pieces)
