"""Quantizer arithmetic: the one home of rounding, clipping and bit packing.

The compiler's Q/DQ nodes, the device's packing and the server's unpacking all have to agree with these functions code
for code; nothing else in the tree rounds or shifts.
"""

import numpy as np


def quantize(x: np.ndarray, scale: float, zero_point: int, bits: int) -> np.ndarray:
    """Real values to codes, as ONNX QuantizeLinear does, but saturating at `bits` bits.

    Parameters
    ----------
    x : ndarray of float, any shape
        Computed with in float32.
    scale : float
        Positive; used as float32.
    zero_point : int
        In [0, 2**bits - 1].
    bits : int
        1 to 8.

    Returns
    -------
    ndarray of uint8, shape of `x`
        ``clip(rint(x / scale) + zero_point, 0, 2**bits - 1)``, halves to even. NaN gives 0.

    Notes
    -----
    Equal to QuantizeLinear (uint8) wherever that one's result fits in `bits`, and to QuantizeLinear of `x` clipped to
    ``[(0 - zero_point) * scale, (2**bits - 1 - zero_point) * scale]`` everywhere.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        q = np.rint(np.asarray(x, dtype=np.float32) / np.float32(scale))
        q = q + np.float32(zero_point)
        # fmax and fmin rather than clip: a NaN then has one defined code instead of the C cast's whim.
        q = np.fmin(np.fmax(q, np.float32(0)), np.float32(2**bits - 1))
    return np.asarray(q).astype(np.uint8)


def dequantize(codes: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Codes to real values, as ONNX DequantizeLinear does.

    Parameters
    ----------
    codes : ndarray of integers, any shape
    scale : float
    zero_point : int

    Returns
    -------
    ndarray of float32, shape of `codes`
        ``(codes - zero_point) * scale`` with the product in float32.
    """
    centred = np.asarray(codes).astype(np.int32) - np.int32(zero_point)
    return np.asarray(centred.astype(np.float32) * np.float32(scale))


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take: ceil(count * bits / 8)."""
    return (count * bits + 7) // 8


def pack_bits(codes: np.ndarray, bits: int) -> bytes:
    """Pack unsigned integers into `bits` bits each, most significant first.

    Parameters
    ----------
    codes : ndarray of integers, any shape, read in C order
        Values in [0, 2**bits - 1].
    bits : int
        1 to 8.

    Returns
    -------
    bytes
        Length ceil(n * bits / 8); unused low bits of the last byte are zero.

    Raises
    ------
    ValueError
        If `bits` is not 1 to 8, or a value of `codes` does not fit in `bits`.
    """
    _check_bits(bits)
    flat = np.asarray(codes).reshape(-1)
    if flat.dtype.kind not in "ui":
        raise ValueError(f"codes are integers, not {flat.dtype}")
    if flat.size and (int(flat.max()) >= 1 << bits or (flat.dtype.kind == "i" and int(flat.min()) < 0)):
        worst = int(flat.max()) if int(flat.max()) >= 1 << bits else int(flat.min())
        raise ValueError(f"code {worst} does not fit in {bits} bits")
    flat = flat.astype(np.uint8, copy=False)
    if bits == 8:
        return flat.tobytes()
    padded = np.zeros((flat.size + 7) // 8 * 8, dtype=np.uint8)
    padded[: flat.size] = flat
    # Eight codes are one 64-bit word of eight lanes. Neighbouring lanes are merged three times (8, 16, 32 bits wide),
    # which leaves the 8 * bits useful bits at the bottom of the word.
    words = padded.view(">u8").astype(np.uint64)
    for lane in (8, 16, 32):
        held = bits * lane // 8
        low = _lanes((1 << held) - 1, 2 * lane)
        words = ((words >> np.uint64(lane - held)) & np.uint64(low << held)) | (words & np.uint64(low))
    words <<= np.uint64(64 - 8 * bits)
    packed = words.astype(">u8").view(np.uint8).reshape(-1, 8)[:, :bits]
    return packed.tobytes()[: packed_size(flat.size, bits)]


def unpack_bits(data: bytes, count: int, bits: int) -> np.ndarray:
    """Undo `pack_bits`.

    Parameters
    ----------
    data : bytes-like
        Length ceil(count * bits / 8).
    count : int
        Number of codes.
    bits : int
        1 to 8.

    Returns
    -------
    ndarray of uint8, shape (count,)

    Raises
    ------
    ValueError
        If `bits` is not 1 to 8, `data` has another length, or its unused low bits are not zero.
    """
    _check_bits(bits)
    raw = np.frombuffer(data, dtype=np.uint8)
    expected = packed_size(count, bits)
    if raw.size != expected:
        raise ValueError(f"{count} codes of {bits} bits take {expected} bytes, got {raw.size}")
    unused = 8 * expected - count * bits
    if unused and int(raw[-1]) & ((1 << unused) - 1):
        raise ValueError(f"the {unused} unused bits of the last byte are not zero")
    if bits == 8:
        return raw.copy()
    groups = np.zeros(((count + 7) // 8, 8), dtype=np.uint8)
    whole = expected // bits
    groups[:whole, :bits] = raw[: whole * bits].reshape(-1, bits)
    if whole < len(groups):
        groups[whole, : expected - whole * bits] = raw[whole * bits :]
    words = groups.reshape(-1).view(">u8").astype(np.uint64) >> np.uint64(64 - 8 * bits)
    for lane in (32, 16, 8):
        held = bits * lane // 8
        low = _lanes((1 << held) - 1, 2 * lane)
        words = ((words & np.uint64(low << held)) << np.uint64(lane - held)) | (words & np.uint64(low))
    return words.astype(">u8").view(np.uint8)[:count]


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= 8:
        raise ValueError(f"bits are 1 to 8, not {bits}")


def _lanes(mask: int, width: int) -> int:
    """`mask` repeated every `width` bits of a 64-bit word."""
    return sum(mask << start for start in range(0, 64, width))
