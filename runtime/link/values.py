"""Boundary values of a cut to and from the tensors of a message: packing on one side, unpacking on the other."""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..bundle.frame import Frame, decode_frame, encode_frame, frame_size
from ..bundle.manifest_types import Bits, Cut, CutValue, TensorSpec
from ..errors import LocalProtocolError, RemoteProtocolError
from .protocol import value_limit_bytes
from .tensors import Tensor, element_count, to_array, to_tensor


class Received(NamedTuple):
    """The boundary values of one request.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By tensor name. packed: uint8 codes of the value's shape; raw: the value; jpeg: the file's bytes, uint8 (n,).
    bits : dict of str to int
        Precision of each packed value, by the name of its codes.
    """

    arrays: Dict[str, np.ndarray]
    bits: Dict[str, int]


def wire_spec(cut: Cut, value: CutValue) -> TensorSpec:
    """How a boundary value looks in a message; -1 where the length varies: by precision, or by image."""
    if value.raw:
        return TensorSpec(value.codes, value.dtype, value.shape)
    if value.packed:
        count = element_count(value.shape)
        sizes = {frame_size(count, bits, value.layout.form) for bits in cut.accepted_bits(value)}
        if len(sizes) == 1:
            return TensorSpec(value.codes, "uint8", tuple(sizes))
    return TensorSpec(value.codes, "uint8", (-1,))


def encode_values(cut: Cut, device_half_outputs: Mapping[str, np.ndarray], bits: Bits = None) -> List[Tensor]:
    """Tensors to send for one task.

    Parameters
    ----------
    cut : Cut
    device_half_outputs : mapping
        Name -> array. packed: codes of an integer dtype and the value's shape, or their `Frame`; raw: the value itself;
        jpeg: the file's bytes as uint8, shape (n,). Others are not sent.
    bits : int or tuple of int, optional
        Precision of the codes of all packed values, or one for each value of the cut (those of others are ignored);
        else the chosen one of each.

    Raises
    ------
    BundleError
        If there are not as many precisions as values.
    LocalProtocolError
        If a tensor is missing or has another shape, dtype or range than the cut says: the device half is not this
        cut's.
    """
    depths = cut.precisions(bits)
    return [_encode(cut, value, device_half_outputs, depth) for value, depth in zip(cut.values, depths)]


def _encode(cut: Cut, value: CutValue, outputs: Mapping[str, np.ndarray], bits: int) -> Tensor:
    if value.codes not in outputs:
        raise LocalProtocolError(f"the device half made no tensor '{value.codes}'", _found(outputs))
    array = outputs[value.codes]
    if value.jpeg:
        limit = value_limit_bytes(cut, value)
        if array.dtype != np.uint8 or array.ndim != 1 or array.size > limit:
            raise LocalProtocolError(
                f"the JPEG for '{value.codes}' has {array.size} bytes, at most {limit} can be sent"
            )
        return to_tensor(value.codes, array)
    if array.shape != value.shape:
        raise LocalProtocolError(
            f"the device half made '{value.codes}' with shape {list(array.shape)}, the cut says {list(value.shape)}"
        )
    if value.raw:
        if array.dtype.name != value.dtype:
            raise LocalProtocolError(
                f"the device half made '{value.codes}' as {array.dtype}, the cut says {value.dtype}"
            )
        return to_tensor(value.codes, array)
    if isinstance(array, Frame):
        if array.bits != bits:
            raise LocalProtocolError(
                f"the device half packed '{value.codes}' at {array.bits} bits, the task says {bits}"
            )
        return _packed(value, array.data)
    try:
        data = encode_frame(array, bits, value.layout)
    except ValueError as exc:
        raise LocalProtocolError(f"the device half's '{value.codes}' cannot be packed: {exc}") from exc
    return _packed(value, data)


def _packed(value: CutValue, data: bytes) -> Tensor:
    return Tensor(value.codes, "UINT8", (len(data),), data, value.layout.coding, value.layout.memory_level)


def decode_values(cut: Cut, tensors: Sequence[Tensor]) -> Received:
    """What arrived, ready for the cloud half.

    Raises
    ------
    RemoteProtocolError
        If tensors are missing, unknown, or of another datatype, shape, length or precision than the cut says.
    """
    received = {tensor.name: tensor for tensor in tensors}
    expected = [value.codes for value in cut.values]
    if len(received) != len(tensors) or sorted(received) != sorted(expected):
        raise RemoteProtocolError(
            f"the request carries {len(tensors)} tensors named otherwise than this cut's {len(expected)}",
            ["expected  " + ", ".join(sorted(expected)), "found     " + ", ".join(sorted(received))[:200]],
        )
    arrays, bits = {}, {}
    for value in cut.values:
        tensor = received[value.codes]
        if value.packed:
            bits[value.codes], arrays[value.codes] = _decode_packed(cut, value, tensor)
        else:
            arrays[value.codes] = _decode(cut, value, tensor)
    return Received(arrays, bits)


def _decode_packed(cut: Cut, value: CutValue, tensor: Tensor) -> Tuple[int, np.ndarray]:
    to_array(tensor, TensorSpec(value.codes, "uint8", (len(tensor.data),)))
    try:
        return decode_frame(tensor.data, value.shape, cut.accepted_bits(value), value.layout)
    except ValueError as exc:
        raise RemoteProtocolError(f"tensor '{value.codes}' cannot be unpacked: {exc}") from exc


def _decode(cut: Cut, value: CutValue, tensor: Tensor) -> np.ndarray:
    if value.raw:
        return to_array(tensor, TensorSpec(value.codes, value.dtype, value.shape))
    limit = value_limit_bytes(cut, value)
    if not 1 <= len(tensor.data) <= limit:
        raise RemoteProtocolError(
            f"tensor '{value.codes}' has {len(tensor.data)} bytes, expected a JPEG file of at most {limit}"
        )
    return to_array(tensor, TensorSpec(value.codes, "uint8", (len(tensor.data),)))


def _found(outputs: Mapping[str, np.ndarray]) -> List[str]:
    return ["found  " + (", ".join(sorted(outputs)) or "nothing")]
