"""What the server answers, without a server: requests and responses as values.

Each cut is a model of its own, with its own limits; cuts of one bundle share engines. `server` puts it behind sockets.
"""

import json
import logging
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ..bundle.manifest_types import Cut, TensorSpec
from ..bundle.preprocess import decode_jpeg, normalize
from ..bundle.quantizer_inputs import value_inputs
from ..bundle.store import Bundle
from ..engines.engine import Engine
from ..errors import EngineError, RemoteProtocolError
from ..link.protocol import decode_request, encode_response, request_limits
from ..link.tensors import datatype_of, to_tensor
from ..link.values import Received, decode_values, wire_spec

logger = logging.getLogger("runtime.cloud")


class Response(NamedTuple):
    """HTTP status, headers and body; `Content-Length` is the server's to add."""

    status: int
    headers: Dict[str, str]
    body: bytes


class Service:
    """The Open Inference Protocol for one cut of one bundle.

    Parameters
    ----------
    bundle : Bundle
    cut : Cut
        One with a cloud half.
    engine : Engine
        That half, loaded.
    served : sequence of str
        Names of all models of this server; this one alone, if empty.
    """

    def __init__(self, bundle: Bundle, cut: Cut, engine: Engine, served: Sequence[str] = ()) -> None:
        self.name = bundle.served_name_of(cut)
        self.served = tuple(served) or (self.name,)
        self.model_name = bundle.manifest.model.name
        self.cut = cut
        self.limits = request_limits(cut)
        self._bundle = bundle
        self._engine = engine
        specs = {spec.name: spec for spec in bundle.manifest.model.outputs}
        self._outputs = [specs[name] for name in cut.cloud_outputs]
        # Made once: a task may come at any precision.
        self._quantizer_inputs = {
            (value.codes, bits): value_inputs(cut, value, "cloud", bits)
            for value in cut.packed_values
            for bits in cut.accepted_bits(value)
        }

    def at(self, path: str) -> "Service":
        """The service that answers requests to a path: this one."""
        return self

    def refuse(self, method: str, path: str, content_length: int) -> Optional[Response]:
        """The answer to a request whose body need not be read: all but inference, and bodies over the limit."""
        if path == f"/v2/models/{self.name}/infer" and method == "POST":
            if content_length > self.limits.received_bytes:
                return self.too_large()
            return None
        return self._get(path) if method == "GET" else self._not_found(path)

    def too_large(self) -> Response:
        """413, with the limit."""
        return _error(413, f"the request is larger than this cut's {self.limits.body_bytes} bytes")

    def infer(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Run the cloud half on one request. Not thread-safe, like the engine."""
        try:
            request = decode_request(headers, body, self.limits)
            known = [spec.name for spec in self._outputs]
            unknown = [name for name in request.outputs if name not in known]
            if unknown:
                raise RemoteProtocolError("no output '{}'; there is {}".format(unknown[0][:80], ", ".join(known)))
            feed = self._feed(decode_values(self.cut, request.tensors))
        except RemoteProtocolError as exc:
            return _error(400, "\n".join((exc.message,) + exc.context))
        try:
            results = self._engine.run(feed)
            tensors = [to_tensor(name, _result(results, name)) for name in request.outputs or known]
        except Exception as exc:  # whatever it was, the server goes on serving
            logger.exception("inference failed")
            return _error(500, f"inference failed: {exc}")
        message = encode_response(self.name, tensors, request.request_id)
        return Response(200, message.headers, message.body)

    def _feed(self, received: Received) -> Dict[str, np.ndarray]:
        preprocess = self._bundle.manifest.preprocess
        if self.cut.mode != "cloud-jpeg" or preprocess is None:
            feed = dict(received.arrays)
            for codes_and_bits in received.bits.items():
                feed.update(self._quantizer_inputs[codes_and_bits])
            return feed
        value = self.cut.values[0]
        try:
            image = decode_jpeg(received.arrays[value.codes].tobytes(), preprocess)
        except ValueError as exc:
            raise RemoteProtocolError(f"tensor '{value.codes}': {exc}") from exc
        return {value.name: normalize(image, preprocess, value.dtype)}

    def _get(self, path: str) -> Response:
        model = "/v2/models/" + self.name
        if path in ("/v2/health/live", "/v2/health/ready", model + "/ready"):
            return Response(200, {}, b"")
        if path == "/v2":
            extensions = ["binary_tensor_data"]
            return _json(200, {"name": "coachc", "version": self._bundle.manifest.producer, "extensions": extensions})
        if path == "/v2/repository/index":
            return _json(200, [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in self.served])
        if path == model:
            return _json(200, self._metadata())
        return self._not_found(path)

    def _metadata(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "versions": ["1"],
            "platform": "coachc",
            "inputs": _describe([wire_spec(self.cut, value) for value in self.cut.values]),
            "outputs": _describe(self._outputs),
            "parameters": {"bundle_id": self._bundle.bundle_id, "cut": self.cut.name},
        }

    def _not_found(self, path: str) -> Response:
        return _error(404, f"nothing at {path[:200]}; this server serves model {', '.join(self.served)}")


class Services:
    """Several cuts of one bundle, each at its own path.

    Parameters
    ----------
    services : sequence of Service
        At least one; the first answers what is about no model.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = tuple(services)

    def at(self, path: str) -> Service:
        """The service that answers requests to a path."""
        for service in self.services:
            if path.startswith("/v2/models/" + service.name + "/") or path == "/v2/models/" + service.name:
                return service
        return self.services[0]


def _result(results: Dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in results:
        raise EngineError(f"the cloud half made no output '{name}'")
    return results[name]


def _describe(specs: List[TensorSpec]) -> List[Dict[str, Any]]:
    return [{"name": s.name, "datatype": datatype_of(s.dtype), "shape": list(s.shape)} for s in specs]


def _json(status: int, value: Any) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(value).encode("ascii"))


def _error(status: int, message: str) -> Response:
    return _json(status, {"error": message})
