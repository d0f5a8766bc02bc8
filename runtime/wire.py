"""Boundary values of a cut to and from the tensors of a message: packing on one side, unpacking on the other."""

from typing import Dict, List, Mapping, Sequence

import numpy as np

from runtime.bundle.manifest_types import Cut, CutValue, TensorSpec
from runtime.bundle.numeric import pack_bits, packed_size, unpack_bits
from runtime.errors import LocalProtocolError, RemoteProtocolError
from runtime.protocol import value_limit_bytes
from runtime.tensors import Tensor, element_count, to_array, to_tensor


def wire_spec(value: CutValue) -> TensorSpec:
    """How a boundary value looks in a message; -1 where the length varies (jpeg)."""
    if value.codec == "packed":
        return TensorSpec(value.codes, "uint8", (packed_size(element_count(value.shape), value.bits),))
    if value.codec == "raw":
        return TensorSpec(value.codes, value.dtype, value.shape)
    return TensorSpec(value.codes, "uint8", (-1,))


def encode_values(cut: Cut, device_half_outputs: Mapping[str, np.ndarray]) -> List[Tensor]:
    """Tensors to send for one task.

    Parameters
    ----------
    cut : Cut
    device_half_outputs : mapping
        Name -> array. packed: codes of an integer dtype and the value's shape; raw: the value itself; jpeg: the file's
        bytes as uint8, shape (n,).

    Raises
    ------
    LocalProtocolError
        If a tensor is missing or has another shape, dtype or range than the cut says: the device half is not this
        cut's.
    """
    return [_encode(value, device_half_outputs) for value in cut.values]


def _encode(value: CutValue, outputs: Mapping[str, np.ndarray]) -> Tensor:
    if value.codes not in outputs:
        raise LocalProtocolError(f"the device half made no tensor '{value.codes}'", _found(outputs))
    array = outputs[value.codes]
    if value.codec == "jpeg":
        if array.dtype != np.uint8 or array.ndim != 1 or array.size > value_limit_bytes(value):
            raise LocalProtocolError(
                f"the JPEG for '{value.codes}' has {array.size} bytes, at most {value_limit_bytes(value)} can be sent"
            )
        return to_tensor(value.codes, array)
    if array.shape != value.shape:
        raise LocalProtocolError(
            f"the device half made '{value.codes}' with shape {list(array.shape)}, the cut says {list(value.shape)}"
        )
    if value.codec == "raw":
        if array.dtype.name != value.dtype:
            raise LocalProtocolError(
                f"the device half made '{value.codes}' as {array.dtype}, the cut says {value.dtype}"
            )
        return to_tensor(value.codes, array)
    try:
        data = pack_bits(array, value.bits)
    except ValueError as exc:
        raise LocalProtocolError(f"the device half's '{value.codes}' cannot be packed: {exc}") from exc
    return Tensor(value.codes, "UINT8", (len(data),), data)


def decode_values(cut: Cut, tensors: Sequence[Tensor]) -> Dict[str, np.ndarray]:
    """What arrived, ready for the cloud half.

    Returns
    -------
    dict
        Name -> array. packed: uint8 codes of the value's shape; raw: the value; jpeg: the file's bytes, uint8 (n,).

    Raises
    ------
    RemoteProtocolError
        If tensors are missing, unknown, or of another datatype, shape or length than the cut says.
    """
    received = {tensor.name: tensor for tensor in tensors}
    expected = [value.codes for value in cut.values]
    if len(received) != len(tensors) or sorted(received) != sorted(expected):
        raise RemoteProtocolError(
            f"the request carries {len(tensors)} tensors named otherwise than this cut's {len(expected)}",
            ["expected  " + ", ".join(sorted(expected)), "found     " + ", ".join(sorted(received))[:200]],
        )
    return {value.codes: _decode(value, received[value.codes]) for value in cut.values}


def _decode(value: CutValue, tensor: Tensor) -> np.ndarray:
    spec = wire_spec(value)
    if value.codec == "jpeg":
        limit = value_limit_bytes(value)
        if not 1 <= len(tensor.data) <= limit:
            raise RemoteProtocolError(
                f"tensor '{spec.name}' has {len(tensor.data)} bytes, expected a JPEG file of at most {limit}"
            )
        spec = spec._replace(shape=(len(tensor.data),))
    array = to_array(tensor, spec)
    if value.codec != "packed":
        return array
    try:
        return unpack_bits(tensor.data, element_count(value.shape), value.bits).reshape(value.shape)
    except ValueError as exc:
        raise RemoteProtocolError(f"tensor '{spec.name}' cannot be unpacked: {exc}") from exc


def _found(outputs: Mapping[str, np.ndarray]) -> List[str]:
    return ["found  " + (", ".join(sorted(outputs)) or "nothing")]
