"""What messages carry besides their tensors: the head of HTTP and a header in JSON, and how many bytes both take.

The bytes are sums over the tensors, so that the compiler can count value by value. Where a body is deflated its JSON is
too, by about a third, which is not counted.
"""

import json
from typing import Any, Dict, List, Sequence, Tuple

HEADER_LENGTH = "Inference-Header-Content-Length"

#: The protocol's datatypes as NumPy names them.
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}


def json_text(header: Dict[str, Any]) -> bytes:
    """As short as JSON can be."""
    return json.dumps(header, separators=(",", ":")).encode("ascii")


def tensor_entry(name: str, datatype: str, shape: Sequence[int], size_bytes: int) -> Dict[str, Any]:
    """One tensor in the header of a message."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "parameters": {"binary_data_size": size_bytes}}


def wanted_outputs(names: Sequence[str]) -> List[Dict[str, Any]]:
    """The outputs that a request asks for, all in binary."""
    return [{"name": name, "parameters": {"binary_data": True}} for name in names]


def tensor_header_bytes(name: str, datatype: str, shape: Sequence[int], size_bytes: int) -> int:
    """Bytes that one more tensor adds to the header of a request."""
    return len(json_text(tensor_entry(name, datatype, shape, size_bytes))) + len(",")


def request_header_bytes(served_name: str, outputs: Sequence[str]) -> int:
    """Bytes of everything in a request that is of no tensor.

    Parameters
    ----------
    served_name : str
        Of the model, in the path.
    outputs : sequence of str
        Names of the outputs that are asked for.
    """
    head = _head(
        "POST /v2/models/{}/infer HTTP/1.1".format(served_name), "Host: 192.168.100.10:8000",
        "Content-Type: application/octet-stream",
    )  # fmt: skip
    # The last tensor has no comma behind it.
    return head + len(json_text({"inputs": [], "outputs": wanted_outputs(outputs)})) - len(",")


def answer_bytes(served_name: str, outputs: Sequence[Tuple[str, str, Sequence[int], int]]) -> int:
    """Bytes of a whole answer.

    Parameters
    ----------
    served_name : str
    outputs : sequence of (str, str, sequence of int, int)
        Name, datatype, shape and bytes of each output in it.
    """
    head = _head(
        "HTTP/1.1 200 OK", "content-type: application/octet-stream", "server-timing: total;dur=99.999, work;dur=99.999"
    )
    entries = [tensor_entry(*output) for output in outputs]
    body = len(json_text({"model_name": served_name, "outputs": entries})) + sum(output[3] for output in outputs)
    return head + body


def _head(*lines: str) -> int:
    """Of an HTTP message; its lengths have a middling number of digits."""
    lengths = "Content-Length: 999999", HEADER_LENGTH + ": 999"
    return len("\r\n".join(lines + lengths + ("\r\n",)))
