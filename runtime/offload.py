"""The cloud half as the device sees it: check that the server runs this bundle, then send values and get outputs."""

import json
from typing import Any, Dict, Mapping, NamedTuple, Optional

import numpy as np

from runtime.bundle.manifest_types import Cut
from runtime.bundle.store import Bundle
from runtime.connection import Connection
from runtime.errors import RemoteProtocolError, WrongBundleError
from runtime.protocol import decode_response, encode_request, response_limits
from runtime.tensors import to_array
from runtime.wire import encode_values

METADATA_LIMIT_BYTES = 1 << 20


class Answer(NamedTuple):
    """One task's cloud outputs, and what asking for them took.

    Attributes
    ----------
    outputs : dict of str to ndarray
    sent_bytes : int
        Written to the socket.
    payload_bytes : int
        The boundary values' share of one request, as sent.
    packed_bytes : int
        The same before entropy coding.
    """

    outputs: Dict[str, np.ndarray]
    sent_bytes: int
    payload_bytes: int
    packed_bytes: int


class CloudHalf:
    """One connection to the server of one cut. One caller at a time.

    Parameters
    ----------
    bundle : Bundle
    cut : Cut
    address : str
        HOST:PORT.
    timeout_s : float
    bits : int, optional
        Precision of packed values, if not the chosen one.
    """

    def __init__(self, bundle: Bundle, cut: Cut, address: str, timeout_s: float, bits: Optional[int] = None) -> None:
        self._bundle = bundle
        self._cut = cut
        self._bits = bits
        self._path = "/v2/models/" + bundle.served_name
        specs = {spec.name: spec for spec in bundle.manifest.model.outputs}
        self._outputs = [specs[name] for name in cut.cloud_outputs]
        self._limits = response_limits(self._outputs)
        self.connection = Connection(address, timeout_s)

    def check(self) -> None:
        """Ask the server what it runs.

        Raises
        ------
        ConnectionFailed
            If nobody answers.
        WrongBundleError
            If it runs another bundle, or another cut of this one.
        """
        address, name = self.connection.address, self._bundle.served_name
        hint = f"serve this bundle: coachc serve {self._bundle.path} --cut {self._cut.name}"
        try:
            metadata = self._get_json(self._path)
        except WrongBundleError as exc:
            raise WrongBundleError(
                f"the server at {address} runs {self._served_names()}, this bundle is {name}", hint=hint
            ) from exc
        parameters = metadata.get("parameters") if isinstance(metadata, dict) else None
        if not isinstance(parameters, dict):
            raise RemoteProtocolError(f"the server at {address} does not say which bundle it runs")
        found = parameters.get("bundle_id"), parameters.get("cut")
        expected = self._bundle.bundle_id, self._cut.name
        if found != expected:
            raise WrongBundleError(
                f"the server at {address} runs cut '{found[1]}' of bundle {found[0]}",
                [f"expected  cut '{expected[1]}' of bundle {expected[0]}"],
                hint,
            )

    def infer(self, device_half_outputs: Mapping[str, np.ndarray]) -> Answer:
        """One task.

        Raises
        ------
        LocalProtocolError, ConnectionFailed, EngineError, RemoteProtocolError
            As `wire.encode_values`, `Connection.post` and `protocol.decode_response` do.
        """
        tensors = encode_values(self._cut, device_half_outputs, self._bits)
        message = encode_request(tensors, self._cut.cloud_outputs)
        before = self.connection.sent_bytes
        reply = self.connection.post(self._path + "/infer", message.headers, message.body, self._limits.body_bytes)
        received = {tensor.name: tensor for tensor in decode_response(reply.headers, reply.body, self._limits)}
        outputs = {}
        for spec in self._outputs:
            if spec.name not in received:
                raise RemoteProtocolError(f"the answer has no output '{spec.name}'")
            outputs[spec.name] = to_array(received[spec.name], spec)
        packed_bytes = sum(len(tensor.data) for tensor in tensors)
        return Answer(outputs, self.connection.sent_bytes - before, message.payload_bytes, packed_bytes)

    def _served_names(self) -> str:
        index = self._get_json("/v2/repository/index")
        names = (
            [str(entry.get("name")) for entry in index if isinstance(entry, dict)] if isinstance(index, list) else []
        )
        return ", ".join(names)[:500] or "nothing"

    def _get_json(self, path: str) -> Any:
        reply = self.connection.get(path, METADATA_LIMIT_BYTES)
        try:
            return json.loads(reply.body.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise RemoteProtocolError(
                f"the server at {self.connection.address} answers {path} with something that is not JSON"
            ) from exc
