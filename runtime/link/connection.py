"""One kept-alive HTTP/1.1 connection of the device to a server, standard library only.

Knows sockets, timeouts and HTTP statuses; the bodies are `protocol`'s.
"""

import http.client
import json
import re
import socket
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from ..errors import ConnectionFailed, EngineError, RemoteProtocolError, UsageError, WrongBundleError

ERROR_LIMIT_BYTES = 1 << 16
MAX_PORT = (1 << 16) - 1
#: Of `coachc serve` where nothing else is said.
EXAMPLE_PORT = 8700


class Reply(NamedTuple):
    """Headers and body of a 200 answer."""

    headers: Dict[str, str]
    body: bytes


def parse_address(text: str, flag: str) -> Tuple[str, int]:
    """HOST:PORT, or [IPv6]:PORT.

    Raises
    ------
    UsageError
        If it is neither, or the port is none; names `flag` and what is wrong.
    """
    match = re.match(r"(\[[0-9A-Fa-f:.%]+\]|[^:\s\[\]/]+):([0-9]+)\Z", text)
    if match is None:
        raise UsageError(f"{flag} '{text}' is not HOST:PORT", hint=_address_hint(text, flag))
    if int(match.group(2)) > MAX_PORT:
        raise UsageError(
            f"{flag} '{text}': there is no port {match.group(2)}",
            [f"expected  0 to {MAX_PORT}"],
            f"for example {flag} {match.group(1)}:{EXAMPLE_PORT}",
        )
    return match.group(1).strip("[]"), int(match.group(2))


def _address_hint(text: str, flag: str) -> str:
    """What was probably meant by an address that is none."""
    bare = re.sub(r"^[A-Za-z]+://|/.*$", "", text)
    if bare != text and re.match(r"[^\s/]+:[0-9]+\Z", bare):
        return f"leave out all but host and port: {flag} {bare}"
    if bare.count(":") > 1 and "[" not in bare and re.match(r"[0-9A-Fa-f:.%]+\Z", bare):
        return f"an IPv6 address stands in brackets: {flag} [{bare}]:{EXAMPLE_PORT}"
    if re.match(r"[A-Za-z0-9._-]+:?\Z", bare):
        return f"give the port too: {flag} {bare.rstrip(':')}:{EXAMPLE_PORT}"
    return f"for example {flag} 192.168.1.10:{EXAMPLE_PORT}"


class _CountingConnection(http.client.HTTPConnection):
    """Counts what it writes. The standard library sets TCP_NODELAY itself."""

    sent_bytes = 0

    def send(self, data: Any) -> None:
        self.sent_bytes += len(data)
        super().send(data)


class Connection:
    """Requests to one server, one at a time.

    Parameters
    ----------
    address : str
        HOST:PORT.
    timeout_s : float
        For connecting, and for each wait on the socket.

    Attributes
    ----------
    sent_bytes : int
        Written to sockets so far: request lines, headers, bodies, repeats.
    """

    def __init__(self, address: str, timeout_s: float) -> None:
        host, port = parse_address(address, "--server")
        self.address = address
        self._timeout_s = timeout_s
        self._http = _CountingConnection(host, port, timeout=timeout_s)
        self._aborted = False

    @property
    def sent_bytes(self) -> int:
        return self._http.sent_bytes

    def get(self, path: str, limit_bytes: int) -> Reply:
        """GET; raises as `post` does."""
        return self._request("GET", path, {}, b"", limit_bytes)

    def post(self, path: str, headers: Mapping[str, str], body: bytes, limit_bytes: int) -> Reply:
        """POST `body`; an answer may have `limit_bytes`.

        A connection that was kept alive and turns out to be closed is opened again, once.

        Raises
        ------
        ConnectionFailed
            If nobody answers, or not within the timeout.
        WrongBundleError
            For status 404.
        EngineError
            For status 5xx: the server's engine failed.
        RemoteProtocolError
            For other statuses, and answers that are not HTTP or too long.
        """
        return self._request("POST", path, headers, body, limit_bytes)

    def close(self) -> None:
        """Close the socket."""
        self._http.close()

    def abort(self) -> None:
        """Make a request under way in another thread fail now."""
        self._aborted = True
        sock = self._http.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes, limit_bytes: int) -> Reply:
        if self._aborted:
            raise ConnectionFailed(f"the connection to {self.address} was given up")
        kept_alive = self._http.sock is not None
        try:
            try:
                return self._exchange(method, path, headers, body, limit_bytes)
            except (ConnectionError, http.client.BadStatusLine):
                self._http.close()
                if not kept_alive or self._aborted:
                    raise
                return self._exchange(method, path, headers, body, limit_bytes)
        except socket.timeout as exc:
            self._http.close()
            raise ConnectionFailed(
                f"no answer from {self.address} within {self._timeout_s:g} s", hint="--timeout SECONDS"
            ) from exc
        except OSError as exc:
            self._http.close()
            raise ConnectionFailed(
                f"no server at {self.address}: {exc.strerror or exc}",
                hint=f"coachc serve BUNDLE --listen {self.address}",
            ) from exc
        except http.client.IncompleteRead as exc:
            self._http.close()
            raise ConnectionFailed(f"the server at {self.address} went away in the middle of an answer") from exc
        except http.client.HTTPException as exc:
            self._http.close()
            raise RemoteProtocolError(
                f"the server at {self.address} does not speak HTTP properly: {type(exc).__name__}"
            ) from exc

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes, limit_bytes: int) -> Reply:
        self._http.putrequest(method, path, skip_accept_encoding=True)
        if method == "POST":
            self._http.putheader("Content-Length", str(len(body)))
        for name, value in headers.items():
            self._http.putheader(name, value)
        self._http.endheaders(body or None)
        response = self._http.getresponse()
        limit = limit_bytes if response.status == 200 else ERROR_LIMIT_BYTES
        length = response.length
        if length is not None and length <= limit:
            data = response.read()
        else:
            data = b"" if length is not None else response.read(limit + 1)
            if length is not None or len(data) > limit:
                self._http.close()
                raise RemoteProtocolError(f"the server at {self.address} answers with more than {limit} bytes")
        if response.status != 200:
            raise _refusal(self.address, response.status, data)
        return Reply(dict(response.getheaders()), data)


def _refusal(address: str, status: int, data: bytes) -> Exception:
    try:
        said = json.loads(data.decode("utf-8"))["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = "(no reason given)"
    message = f"the server at {address} answers {status}: {str(said)[:500]}"
    if status == 404:
        return WrongBundleError(message)
    return EngineError(message) if status >= 500 else RemoteProtocolError(message)
