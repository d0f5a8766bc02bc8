"""Tensors of a message: the protocol's datatypes, and raw little-endian bytes to and from arrays."""

from typing import Any, NamedTuple, Sequence, Tuple

import numpy as np

from ..bundle.manifest_types import TensorSpec
from ..errors import LocalProtocolError, RemoteProtocolError
from .message_header import DATATYPES

_NAMES = {dtype: datatype for datatype, dtype in DATATYPES.items()}


class Tensor(NamedTuple):
    """One tensor of a message.

    Attributes
    ----------
    name : str
    datatype : str
        The protocol's, a key of `DATATYPES`.
    shape : tuple of int
    data : bytes-like
        Raw, little-endian.
    coding, memory_level
        How to code it when it is sent, as in `Layout`; not part of what is received.
    """

    name: str
    datatype: str
    shape: Tuple[int, ...]
    data: Any
    coding: str = "none"
    memory_level: int = 9


def datatype_of(dtype: str) -> str:
    """OIP datatype of a numpy dtype name: "float32" -> "FP32"."""
    return _NAMES[dtype]


def to_tensor(name: str, array: np.ndarray) -> Tensor:
    """An array as a tensor of a message.

    Raises
    ------
    LocalProtocolError
        If its dtype has no name in the protocol.
    """
    if array.dtype.name not in _NAMES:
        raise LocalProtocolError(f"tensor '{name}' has dtype {array.dtype}, which cannot travel")
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return Tensor(name, _NAMES[array.dtype.name], tuple(array.shape), data)


def to_array(tensor: Tensor, spec: TensorSpec) -> np.ndarray:
    """A received tensor as an array.

    Parameters
    ----------
    tensor : Tensor
    spec : TensorSpec
        What it has to be.

    Returns
    -------
    ndarray of `spec.dtype`, shape `spec.shape`, native byte order, read-only

    Raises
    ------
    RemoteProtocolError
        If datatype, shape or length differ.
    """
    if tensor.datatype != _NAMES[spec.dtype]:
        raise RemoteProtocolError(f"tensor '{spec.name}' has datatype {tensor.datatype}, expected {_NAMES[spec.dtype]}")
    if tensor.shape != spec.shape:
        raise RemoteProtocolError(f"tensor '{spec.name}' has shape {list(tensor.shape)}, expected {list(spec.shape)}")
    expected = payload_bytes(spec)
    if len(tensor.data) != expected:
        raise RemoteProtocolError(f"tensor '{spec.name}' has {len(tensor.data)} bytes, expected {expected}")
    if spec.dtype == "bool":
        flat = np.frombuffer(tensor.data, dtype=np.uint8) != 0
    else:
        little = np.dtype(spec.dtype).newbyteorder("<")
        flat = np.frombuffer(tensor.data, dtype=little).astype(spec.dtype, copy=False)
    return flat.reshape(spec.shape)


def payload_bytes(spec: TensorSpec) -> int:
    """Bytes of a tensor with that dtype and shape."""
    return element_count(spec.shape) * np.dtype(spec.dtype).itemsize


def element_count(shape: Sequence[int]) -> int:
    """Product of a shape; 1 for rank 0."""
    count = 1
    for length in shape:
        count *= length
    return count
