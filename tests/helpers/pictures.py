"""Picture files written byte by byte, so that what they hold is known without an image library. Python 3.6-clean."""

import struct
import zlib

import numpy as np

_PNG_COLORS = {1: 0, 2: 4, 3: 2, 4: 6}


def png(array, palette=None, alphas=None, bits=None):
    """A PNG file of uint8 or uint16 values of shape (H, W) or (H, W, 1 to 4).

    `palette`: RGB triples, then values are indices; `alphas`: of its first entries. `bits`: 1 packs eight gray pixels
    a byte.
    """
    array = array.reshape(array.shape[0], array.shape[1], -1)
    height, width, channels = array.shape
    color = _PNG_COLORS[channels] if palette is None else 3
    rows = np.packbits(array[:, :, 0], axis=1) if bits == 1 else array.astype(array.dtype.newbyteorder(">"))
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits or 8 * array.dtype.itemsize, color, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if palette is not None:
        chunks.append((b"PLTE", bytes(value for entry in palette for value in entry)))
    if alphas is not None:
        chunks.append((b"tRNS", bytes(alphas)))
    chunks += [(b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def tiff(array, big=False, bits=None, signed=False, white_is_zero=False, orientation=None, data=None):
    """An uncompressed gray TIFF file of integers of shape (H, W); `data`: its bytes, where they are packed."""
    end = ">" if big else "<"
    height, width = array.shape
    data = array.astype(array.dtype.newbyteorder(end)).tobytes() if data is None else data
    tags = {256: width, 257: height, 258: bits or 8 * array.dtype.itemsize, 259: 1, 262: 0 if white_is_zero else 1}
    tags.update({273: 8, 277: 1, 278: height, 279: len(data), 339: 2 if signed else 1})
    if orientation is not None:
        tags[274] = orientation
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack(end + "HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    start = (b"MM" if big else b"II") + struct.pack(end + "HI", 42, 8 + len(data))
    return start + data + struct.pack(end + "H", len(tags)) + entries + struct.pack(end + "I", 0)


def with_orientation(jpeg, orientation):
    """A JPEG file that says which way up it was taken: EXIF's tag 274 behind the first marker."""
    exif = b"Exif\0\0MM" + struct.pack(">HIHHHIHHI", 42, 8, 1, 274, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)
