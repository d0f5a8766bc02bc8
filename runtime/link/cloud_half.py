"""The cloud halves as the device sees them: check that the server runs this bundle, then send values and get outputs.

Each task says which cut of the bundle it takes, so one connection serves them all.
"""

import json
import re
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ..bundle.manifest_types import Bits, Cut, TensorSpec
from ..bundle.store import Bundle
from ..errors import BundleError, RemoteProtocolError, WrongBundleError
from .connection import Connection
from .protocol import Limits, decode_response, encode_request, response_limits
from .tensors import to_array
from .values import encode_values

METADATA_LIMIT_BYTES = 1 << 20
#: Small requests that the round trip is the fastest of.
PINGS = 3
_METRIC = {
    name: re.compile(r"(?:^|,)\s*" + name + r"\s*;\s*dur=([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:,|;|$)")
    for name in ("total", "work")
}


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
    start_s, end_s : float
        `time.perf_counter` when sending began, after coding, and when the answer had been read.
    server_s : float or None
        How long the server had the request, where it says so.
    work_s : float or None
        How long it worked on it, which leaves out the wait for a worker.
    """

    outputs: Dict[str, np.ndarray]
    sent_bytes: int
    payload_bytes: int
    packed_bytes: int
    start_s: float
    end_s: float
    server_s: Optional[float]
    work_s: Optional[float] = None


class _Remote(NamedTuple):
    """One cut on the server: its URL path, what it answers, and how long an answer may be."""

    cut: Cut
    path: str
    outputs: List[TensorSpec]
    limits: Limits


class CloudHalf:
    """One connection to the server of a bundle, for any of its cuts. One caller at a time.

    Parameters
    ----------
    bundle : Bundle
    address : str
        HOST:PORT.
    timeout_s : float
    """

    def __init__(self, bundle: Bundle, address: str, timeout_s: float) -> None:
        self._bundle = bundle
        specs = {spec.name: spec for spec in bundle.manifest.model.outputs}
        self._remotes = {}  # type: Dict[str, _Remote]
        for cut in bundle.manifest.cuts:
            if cut.cloud is not None:
                outputs = [specs[name] for name in cut.cloud_outputs]
                path = "/v2/models/" + bundle.served_name_of(cut)
                self._remotes[cut.name] = _Remote(cut, path, outputs, response_limits(outputs))
        self.connection = Connection(address, timeout_s)

    def check(self, cuts: Optional[Sequence[str]] = None) -> None:
        """Ask the server what it runs.

        Parameters
        ----------
        cuts : sequence of str, optional
            Names of cuts that will be asked for; the chosen one, if not given.

        Raises
        ------
        ConnectionFailed
            If nobody answers.
        WrongBundleError
            If it runs another bundle, or other cuts of this one only.
        """
        for name in (self._bundle.manifest.chosen,) if cuts is None else cuts:
            self._check(self._remote(name))

    def _check(self, remote: _Remote) -> None:
        address, cut = self.connection.address, remote.cut.name
        name, mine = self._bundle.served_name_of(remote.cut), self._bundle.served_name
        hint = f"serve this bundle: coachc serve {self._bundle.path}"
        try:
            metadata = self._get_json(remote.path)
        except WrongBundleError as exc:
            served = self._served_names()
            if any(other == mine or other.startswith(mine + "-") for other in served):
                said = f"the server at {address} serves other cuts of this bundle only, not '{cut}'"
                raise WrongBundleError(
                    said, [f"expected  {name}", "found     " + ", ".join(served)], f"{hint} --cut {cut}"
                ) from exc
            runs = ", ".join(served)[:500] or "nothing"
            raise WrongBundleError(f"the server at {address} runs {runs}, this bundle is {name}", hint=hint) from exc
        parameters = metadata.get("parameters") if isinstance(metadata, dict) else None
        if not isinstance(parameters, dict):
            raise RemoteProtocolError(f"the server at {address} does not say which bundle it runs")
        found = parameters.get("bundle_id"), parameters.get("cut")
        expected = self._bundle.bundle_id, cut
        if found != expected:
            raise WrongBundleError(
                f"the server at {address} runs cut '{found[1]}' of bundle {found[0]}",
                [f"expected  cut '{expected[1]}' of bundle {expected[0]}"],
                hint,
            )

    def infer(
        self,
        device_half_outputs: Mapping[str, np.ndarray],
        cut: Optional[str] = None,
        bits: Bits = None,
        within_s: Optional[float] = None,
    ) -> Answer:
        """One task.

        Parameters
        ----------
        device_half_outputs : mapping of str to ndarray
            What `halves.DeviceHalf.run` of that cut gave.
        cut : str, optional
            Name of the cut it took; the chosen one, if not given.
        bits : int or tuple of int, optional
            Precision of packed values, if not the chosen ones.
        within_s : float, optional
            Time from now to the answer; the connection's own, if not given.

        Raises
        ------
        BundleError
            If the bundle has no such cut, or it has no cloud half.
        LocalProtocolError, ConnectionFailed, EngineError, RemoteProtocolError
            As `values.encode_values`, `Connection.post` and `protocol.decode_response` do.
        """
        remote, asked_s = self._remote(cut), time.perf_counter()
        tensors = encode_values(remote.cut, device_half_outputs, bits)
        message = encode_request(tensors, remote.cut.cloud_outputs)
        before, start_s = self.connection.sent_bytes, time.perf_counter()
        left_s = None if within_s is None else within_s - (start_s - asked_s)
        reply = self.connection.post(
            remote.path + "/infer", message.headers, message.body, remote.limits.body_bytes, left_s
        )
        end_s = time.perf_counter()
        received = {tensor.name: tensor for tensor in decode_response(reply.headers, reply.body, remote.limits)}
        outputs = {}
        for spec in remote.outputs:
            if spec.name not in received:
                raise RemoteProtocolError(f"the answer has no output '{spec.name}'")
            outputs[spec.name] = to_array(received[spec.name], spec)
        packed_bytes = sum(len(tensor.data) for tensor in tensors)
        sent_bytes = self.connection.sent_bytes - before
        server_s, work_s = (_server_s(reply.headers, metric) for metric in ("total", "work"))
        return Answer(outputs, sent_bytes, message.payload_bytes, packed_bytes, start_s, end_s, server_s, work_s)

    def round_trip_s(self) -> float:
        """Time a request without content takes; connects first, where that is still to be done.

        Raises
        ------
        ConnectionFailed, EngineError, RemoteProtocolError
            As `Connection.get` does.
        """
        times = []
        for _ in range(1 + PINGS):  # the first may have to connect
            start_s = time.perf_counter()
            self.connection.get("/v2/health/live", METADATA_LIMIT_BYTES)
            times.append(time.perf_counter() - start_s)
        return min(times[1:])

    def _remote(self, name: Optional[str]) -> _Remote:
        cut = self._bundle.manifest.cut(name)
        if cut.name not in self._remotes:
            raise BundleError(
                f"cut '{cut.name}' has no cloud half", hint="cuts with one: " + (", ".join(self._remotes) or "none")
            )
        return self._remotes[cut.name]

    def _served_names(self) -> List[str]:
        index = self._get_json("/v2/repository/index")
        return [str(entry.get("name")) for entry in index if isinstance(entry, dict)] if isinstance(index, list) else []

    def _get_json(self, path: str) -> Any:
        reply = self.connection.get(path, METADATA_LIMIT_BYTES)
        try:
            return json.loads(reply.body.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise RemoteProtocolError(
                f"the server at {self.connection.address} answers {path} with something that is not JSON"
            ) from exc


def _server_s(headers: Mapping[str, str], metric: str = "total") -> Optional[float]:
    """A metric of a Server-Timing header (W3C Server Timing), whose durations are milliseconds."""
    found = _METRIC[metric].search(headers.get("server-timing", ""))
    return None if found is None else float(found.group(1)) / 1e3
