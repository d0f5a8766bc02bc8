"""KServe Open Inference Protocol v2 with its binary tensor extension: messages to and from bytes.

A message is a JSON header, whose length `Inference-Header-Content-Length` gives, followed by the raw little-endian
tensors in the order of the header. A request whose tensors ask for coding is deflated as a whole, as
`Content-Encoding` has it; responses never are. This file knows bytes, not sockets; what a tensor means for a cut is
`values`'. Nothing here allocates by a number the peer sent: tensors are views of the body, which is never larger than
the limit, before and after inflating.
"""

import functools
import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..bundle.deflate import WRAPPER_BYTES, Part, inflate, join_segments, segments
from ..bundle.frame import frame_size
from ..bundle.manifest_types import Cut, CutValue, TensorSpec
from ..errors import RemoteProtocolError
from .message_header import DATATYPES, HEADER_LENGTH, json_text, tensor_entry, wanted_outputs
from .tensors import Tensor, element_count, payload_bytes

CONTENT_ENCODING = "Content-Encoding"
# What the JSON header may take: generous against other clients' spaces and parameters, small against the payload.
JSON_BASE_BYTES = 4096
JSON_TENSOR_BYTES = 1024
# What other clients' deflate may add to a body that does not get smaller.
DEFLATE_SLACK_BYTES = 1024
# zlib's own default; more gains nothing on a few hundred bytes and takes ten times as long to set up.
JSON_MEMORY_LEVEL = 8
MAX_RANK = 32  # numpy 1.19's


class Limits(NamedTuple):
    """Largest body before coding, and largest JSON header within it, in bytes."""

    body_bytes: int
    json_bytes: int

    @property
    def received_bytes(self) -> int:
        """Largest body to read, coded or not."""
        return self.body_bytes + DEFLATE_SLACK_BYTES


class Message(NamedTuple):
    """What to send.

    Attributes
    ----------
    headers : dict of str to str
        For HTTP.
    body : bytes
    payload_bytes : int
        The tensors' share of `body`, coded as they are there.
    """

    headers: Dict[str, str]
    body: bytes
    payload_bytes: int


class Request(NamedTuple):
    """A decoded inference request; `outputs` is empty where the peer wants all of them."""

    request_id: Optional[str]
    tensors: Tuple[Tensor, ...]
    outputs: Tuple[str, ...]


def encode_request(tensors: Sequence[Tensor], outputs: Sequence[str], request_id: Optional[str] = None) -> Message:
    """An inference request, deflated if a tensor asks for it and that makes it smaller.

    Parameters
    ----------
    tensors : sequence of Tensor
    outputs : sequence of str
        Names of the outputs wanted, all in binary.
    request_id : str, optional
        Comes back in the response.
    """
    described = tuple((tensor.name, tensor.datatype, tensor.shape, len(tensor.data)) for tensor in tensors)
    text = _request_text(described, tuple(outputs), request_id)
    if all(tensor.coding == "none" for tensor in tensors):
        return _joined(text, tensors)
    parts: List[Part] = [(tensor.data, tensor.coding, tensor.memory_level) for tensor in tensors]
    coded = [_coded_text(text)] + segments(parts)
    payload_bytes = sum(len(segment) for segment in coded[1:])
    if WRAPPER_BYTES + len(coded[0]) + payload_bytes >= len(text) + sum(len(tensor.data) for tensor in tensors):
        return _joined(text, tensors)
    body = join_segments([(text, "default", JSON_MEMORY_LEVEL)] + parts, coded)
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text)), CONTENT_ENCODING: "deflate"}
    return Message(headers, body, payload_bytes)


def encode_response(model_name: str, tensors: Sequence[Tensor], request_id: Optional[str] = None) -> Message:
    """An inference response."""
    header: Dict[str, Any] = {"model_name": model_name}
    if request_id is not None:
        header["id"] = request_id
    header["outputs"] = [_describe(tensor) for tensor in tensors]
    return _joined(json_text(header), tensors)


def decode_request(headers: Mapping[str, str], body: bytes, limits: Limits) -> Request:
    """Take an inference request apart.

    Parameters
    ----------
    headers : mapping
        HTTP headers, names in any case.
    body : bytes
    limits : Limits

    Raises
    ------
    RemoteProtocolError
        If the body is too large or anything in it is not as the protocol has it.
    """
    header, payload = _split(headers, _decoded(headers, body, limits), limits)
    wanted = []
    for entry in _list(header, "outputs", optional=True):
        name, parameters = _field(entry, "name", str), _parameters(entry)
        if parameters.get("binary_data", header_wants_binary(header)) is not True:
            raise RemoteProtocolError(
                f"output '{name[:80]}' is asked for as JSON; this server answers in binary",
                hint="set the output's parameter binary_data to true",
            )
        wanted.append(name)
    request_id = _field(header, "id", str) if header.get("id") is not None else None
    return Request(request_id, _cut_out(_list(header, "inputs"), payload), tuple(wanted))


def decode_response(headers: Mapping[str, str], body: Union[bytes, bytearray], limits: Limits) -> Tuple[Tensor, ...]:
    """Take an inference response apart, which is not coded; raises RemoteProtocolError like `decode_request`."""
    _encoding(headers, ("identity",))
    header, payload = _split(headers, body, limits)
    return _cut_out(_list(header, "outputs"), payload)


def header_wants_binary(header: Dict[str, Any]) -> bool:
    """Whether the request asks for all its outputs in binary at once."""
    return _parameters(header).get("binary_data_output") is True


def request_limits(cut: Cut) -> Limits:
    """Largest request that `cut` can need: its payload to the byte, and an allowance for the JSON header."""
    json_bytes = _json_allowance([value.codes for value in cut.values] + list(cut.cloud_outputs))
    return Limits(json_bytes + sum(value_limit_bytes(cut, value) for value in cut.values), json_bytes)


def request_limit_bytes(cut: Cut) -> int:
    """Largest body of a request for `cut`, in bytes."""
    return request_limits(cut).body_bytes


def response_limits(outputs: Sequence[TensorSpec]) -> Limits:
    """Largest response that carries `outputs`."""
    json_bytes = _json_allowance([spec.name for spec in outputs])
    return Limits(json_bytes + sum(payload_bytes(spec) for spec in outputs), json_bytes)


def value_limit_bytes(cut: Cut, value: CutValue) -> int:
    """Largest payload of one boundary value before coding, in bytes; for packed at its highest precision.

    A JPEG has no exact size: noise at quality 95 stays under one byte a sample, so two bytes and a header are allowed.
    """
    count = element_count(value.shape)
    if value.packed:
        return max(frame_size(count, bits, value.layout.form) for bits in cut.accepted_bits(value))
    if value.raw:
        return count * np.dtype(value.dtype).itemsize
    return 2 * count + 4096


def _json_allowance(names: List[str]) -> int:
    # A name takes at most 6 bytes a character in JSON (\\uXXXX), 12 outside the basic plane.
    return JSON_BASE_BYTES + sum(JSON_TENSOR_BYTES + 12 * len(name) for name in names)


def _describe(tensor: Tensor) -> Dict[str, Any]:
    return tensor_entry(tensor.name, tensor.datatype, tensor.shape, len(tensor.data))


# Requests of one cut, and answers of one server, have the same header again and again.


@functools.lru_cache(maxsize=64)
def _request_text(
    tensors: Tuple[Tuple[str, str, Tuple[int, ...], int], ...], outputs: Tuple[str, ...], request_id: Optional[str]
) -> bytes:
    header: Dict[str, Any] = {"inputs": [tensor_entry(*tensor) for tensor in tensors]}
    if request_id is not None:
        header["id"] = request_id
    header["outputs"] = wanted_outputs(outputs)
    return json_text(header)


@functools.lru_cache(maxsize=64)
def _coded_text(text: bytes) -> bytes:
    return segments([(text, "default", JSON_MEMORY_LEVEL), (b"", "none", 1)])[0]


@functools.lru_cache(maxsize=16)
def _parsed(text: bytes) -> Any:
    """Nobody changes what comes out."""
    return json.loads(text.decode("utf-8"))


def _joined(text: bytes, tensors: Sequence[Tensor]) -> Message:
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    body = b"".join([text] + [tensor.data for tensor in tensors])
    return Message(headers, body, len(body) - len(text))


def _lower(headers: Mapping[str, str]) -> Dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _encoding(headers: Mapping[str, str], known: Sequence[str]) -> str:
    found = _lower(headers).get(CONTENT_ENCODING.lower(), "identity")
    if found.lower() not in known:
        raise RemoteProtocolError(f"{CONTENT_ENCODING} {found[:80]} is not supported")
    return found.lower()


def _decoded(headers: Mapping[str, str], body: bytes, limits: Limits) -> Union[bytes, bytearray]:
    """A request's body as it was before `Content-Encoding`."""
    if _encoding(headers, ("identity", "deflate")) == "identity":
        return body
    if len(body) > limits.received_bytes:
        raise RemoteProtocolError(f"deflated body of {len(body)} bytes, at most {limits.received_bytes} expected")
    try:
        return inflate(body, limits.body_bytes)
    except ValueError as exc:
        raise RemoteProtocolError(f"the deflated body is {exc}") from exc


def _split(
    headers: Mapping[str, str], body: Union[bytes, bytearray], limits: Limits
) -> Tuple[Dict[str, Any], memoryview]:
    """The JSON object and the tensor bytes of a message."""
    lower = _lower(headers)
    if len(body) > limits.body_bytes:
        raise RemoteProtocolError(f"body of {len(body)} bytes, at most {limits.body_bytes} expected")
    length_text = lower.get(HEADER_LENGTH.lower(), str(len(body)))
    if not re.match(r"[0-9]{1,11}\Z", length_text) or int(length_text) > len(body):
        raise RemoteProtocolError(f"{HEADER_LENGTH} is '{length_text[:80]}', body {len(body)} bytes")
    length = int(length_text)
    if length > limits.json_bytes:
        raise RemoteProtocolError(f"JSON header of {length} bytes, at most {limits.json_bytes} expected")
    try:
        header = _parsed(bytes(body[:length]))
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"the JSON header is not valid JSON: {exc}") from exc
    if not isinstance(header, dict):
        raise RemoteProtocolError("the JSON header is not an object")
    return header, memoryview(body)[length:]


def _cut_out(entries: List[Any], payload: memoryview) -> Tuple[Tensor, ...]:
    tensors = []
    start = 0
    for entry in entries:
        name, datatype = _field(entry, "name", str), _field(entry, "datatype", str)
        if datatype not in DATATYPES:
            raise RemoteProtocolError(f"tensor '{name[:80]}' has unknown datatype '{datatype[:80]}'")
        shape = tuple(_list(entry, "shape"))
        if len(shape) > MAX_RANK or any(type(length) is not int or not 0 <= length < 1 << 40 for length in shape):
            raise RemoteProtocolError(f"tensor '{name[:80]}' has no usable shape")
        size = _parameters(entry).get("binary_data_size")
        if type(size) is not int or size < 0:
            raise RemoteProtocolError(
                f"tensor '{name[:80]}' has no binary data",
                hint="send tensors with the binary tensor data extension",
            )
        if start + size > len(payload):
            raise RemoteProtocolError(f"tensor '{name[:80]}' ends after the body")
        tensors.append(Tensor(name, datatype, shape, payload[start : start + size]))
        start += size
    if start != len(payload):
        raise RemoteProtocolError(f"{len(payload) - start} bytes follow the last tensor")
    return tuple(tensors)


def _field(entry: Any, name: str, kind: type) -> Any:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise RemoteProtocolError(f"the JSON header has no valid '{name}' where one is needed")
    return value


def _list(entry: Any, name: str, optional: bool = False) -> List[Any]:
    if optional and name not in entry:
        return []
    return _field(entry, name, list)


def _parameters(entry: Dict[str, Any]) -> Dict[str, Any]:
    return _field(entry, "parameters", dict) if "parameters" in entry else {}
