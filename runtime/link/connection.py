"""One kept-alive HTTP/1.1 connection of the device to a server, over a socket of its own.

Knows sockets, time limits and HTTP statuses; the bodies are `protocol`'s, answers are read by `http_answer`. A request
is one write, and everything it takes, connecting too, is one time limit: a server that sends a byte now and then cannot
hold anybody.
"""

import json
import socket
import ssl
import struct
import sys
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import AnswerOverdue, ConnectionFailed, EngineError, RemoteProtocolError, ServerBusy, WrongBundleError
from .address import ServerAddress, parse_server
from .http_answer import AnswerReader, Body, CutShort, Malformed, NoAnswer, RawAnswer, TooLong
from .tcp_segments import Segments, segments_of

ERROR_LIMIT_BYTES = 1 << 16
#: Bodies below that are copied behind their head faster than the kernel takes two pieces.
COPIED_BYTES = 1 << 15
#: Whether the kernel ends calls on sockets that take too long, by a `struct timeval`.
KERNEL_TIMEOUTS = sys.platform.startswith("linux")


class Reply(NamedTuple):
    """Headers, by their names in small letters, and body of a 200 answer."""

    headers: Dict[str, str]
    body: Body


class Connection:
    """Requests to one server, one at a time.

    Parameters
    ----------
    address : str
        HOST:PORT, or https://HOST:PORT; then the server's certificate is checked against the system's authorities, or
        those of the environment's SSL_CERT_FILE.
    timeout_s : float
        For a whole request, where it says nothing else.

    Attributes
    ----------
    sent_bytes : int
        Written to sockets so far: request lines, headers, bodies, repeats; of TLS what it carries.
    """

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address = address
        self.sent_bytes = 0
        self._server = parse_server(address)
        self._timeout_s = timeout_s
        self._until_s = 0.0
        self._limit_s = 0.0
        self._socket: Optional[socket.socket] = None
        self._known: List[Tuple[Any, ...]] = []
        self._moved = False
        self._reader = AnswerReader(self._receive)
        self._tls = ssl.create_default_context() if self._server.tls else None
        self._heads: Dict[Tuple[str, str], bytes] = {}
        self._given_up = False

    @property
    def segments(self) -> Optional[Segments]:
        """What the kernel counted on the socket that is open now; None where it does not, or none is."""
        return None if self._socket is None else segments_of(self._socket)

    def get(self, path: str, limit_bytes: int, within_s: Optional[float] = None) -> Reply:
        """GET; raises as `post` does."""
        return self._request(self._head("GET", path, {}, 0), b"", limit_bytes, within_s)

    def post(
        self, path: str, headers: Mapping[str, str], body: bytes, limit_bytes: int, within_s: Optional[float] = None
    ) -> Reply:
        """POST `body`; an answer may have `limit_bytes`.

        A connection that was kept alive and turns out to be closed is opened again, once.

        Parameters
        ----------
        path : str
        headers : mapping of str to str
        body : bytes
        limit_bytes : int
        within_s : float, optional
            From now until the last byte of the answer; the connection's own, if not given.

        Raises
        ------
        ConnectionFailed
            If nobody answers, or not in time.
        WrongBundleError
            For status 404.
        ServerBusy
            For status 429.
        EngineError
            For status 5xx: the server's engine failed.
        RemoteProtocolError
            For other statuses, and answers that are not HTTP or too long.
        """
        return self._request(self._head("POST", path, headers, len(body)), body, limit_bytes, within_s)

    def adopt(self, connected: socket.socket) -> None:
        """Use a socket that is connected already."""
        self.close()
        self._socket, self._limit_s = connected, 0.0
        self._reader = AnswerReader(self._receive)

    def close(self) -> None:
        """Close the socket."""
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    def interrupt(self) -> None:
        """Make a request under way in another thread fail now; the next one connects again."""
        opened = self._socket
        if opened is not None:
            try:
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    def abort(self) -> None:
        """Make a request under way in another thread fail now, and all that come."""
        self._given_up = True
        self.interrupt()

    def _request(self, head: bytes, body: bytes, limit_bytes: int, within_s: Optional[float]) -> Reply:
        limit_s = self._timeout_s if within_s is None else within_s
        self._until_s = time.perf_counter() + limit_s
        try:
            answer = self._exchange(head, body, limit_bytes)
        except (TooLong, Malformed) as exc:
            self.close()
            raise RemoteProtocolError(f"the server at {self.address} {_fault(exc)}") from exc
        except CutShort as exc:
            self.close()
            raise ConnectionFailed(f"the server at {self.address} went away in the middle of an answer") from exc
        except (socket.timeout, BlockingIOError) as exc:
            self.close()
            raise AnswerOverdue(
                f"no answer from {self.address} within {limit_s:.3g} s", hint="--timeout SECONDS"
            ) from exc
        except (OSError, ssl.CertificateError, NoAnswer) as exc:
            self.close()
            raise ConnectionFailed(
                f"no server at {self.address}: {_reason(exc)}", hint=_serve_hint(self._server)
            ) from exc
        if not answer.keeps or self._reader.waiting:
            self.close()
        if answer.status != 200:
            raise _refusal(self.address, answer.status, answer.body)
        return Reply(answer.headers, answer.body)

    def _exchange(self, head: bytes, body: bytes, limit_bytes: int) -> RawAnswer:
        kept_alive = self._socket is not None
        try:
            return self._send(head, body, limit_bytes)
        except (ConnectionError, NoAnswer, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.close()
            if not kept_alive or self._given_up:
                raise
            return self._send(head, body, limit_bytes)

    def _send(self, head: bytes, body: bytes, limit_bytes: int) -> RawAnswer:
        if self._given_up:
            raise ConnectionAbortedError(0, "the connection was given up")
        opened = self._socket
        if opened is None:
            opened = self._open()
            self._reader = AnswerReader(self._receive)
            self._socket = opened
        self._limit(opened)
        try:
            self._write(opened, head, body)
        except (BrokenPipeError, ConnectionResetError):
            # A server may refuse a body before it has it all; what it says of that is here already, or nothing is.
            try:
                return self._reader.read(lambda status: ERROR_LIMIT_BYTES)
            except (CutShort, NoAnswer, OSError):
                pass
            raise
        return self._reader.read(lambda status: limit_bytes if status == 200 else ERROR_LIMIT_BYTES)

    def _write(self, opened: socket.socket, head: bytes, body: bytes) -> None:
        """One write where the kernel takes all at once, without a copy of a large body."""
        if len(body) < COPIED_BYTES or self._tls is not None:
            self.sent_bytes += len(head) + len(body)
            opened.sendall(head + body)
            return
        sent = opened.sendmsg([head, body])
        self.sent_bytes += len(head) + len(body)
        if sent < len(head):
            opened.sendall(head[sent:])
            sent = len(head)
        if sent < len(head) + len(body):
            opened.sendall(memoryview(body)[sent - len(head) :])

    def _receive(self, memory: memoryview) -> int:
        opened = self._socket
        if opened is None:
            raise ConnectionAbortedError(0, "the connection was closed")
        self._limit(opened)
        try:
            return opened.recv_into(memory)
        except BlockingIOError as exc:
            raise socket.timeout("timed out") from exc

    def _open(self) -> socket.socket:
        """A connected socket."""
        failure: Exception = OSError("the name has no address")
        for family, kind, protocol, place in self._places():
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(self._left_s())
                opened.connect(place)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if KERNEL_TIMEOUTS:
                    opened.settimeout(None)
                    self._limit_s = 0.0
                if self._tls is not None:
                    opened.settimeout(self._left_s())
                    opened = self._tls.wrap_socket(opened, server_hostname=self._server.host)
                return opened
            except (OSError, ssl.CertificateError) as exc:
                opened.close()
                failure = exc
        self._moved = True
        raise failure

    def _limit(self, opened: socket.socket) -> None:
        """No call on the socket from now on may take longer than is left, by a quarter of it.

        By the kernel, where that can be: Python would ask it whether there is anything before each call, and set the
        socket up for that, which takes as long as the calls themselves.
        """
        left_s = self._left_s()
        if self._tls is not None or not KERNEL_TIMEOUTS:
            opened.settimeout(left_s)
        elif not 0.75 * self._limit_s <= left_s <= self._limit_s:
            self._limit_s = left_s
            seconds = struct.pack("ll", int(left_s), min(999999, int(left_s % 1 * 1e6) + 1))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)

    def _places(self) -> List[Tuple[Any, ...]]:
        """Addresses of the name: those it had, as asking takes seconds where nobody answers; after a failure new ones.

        Where names are not found any more, those it had are asked all the same.
        """
        if self._known and not self._moved:
            return self._known
        try:
            found = socket.getaddrinfo(self._server.host, self._server.port, 0, socket.SOCK_STREAM)
            self._known = [(family, kind, protocol, place) for family, kind, protocol, _, place in found]
            self._moved = False
        except OSError:
            if not self._known:
                raise
        return self._known

    def _left_s(self) -> float:
        left_s = self._until_s - time.perf_counter()
        if left_s <= 0:
            raise socket.timeout("timed out")
        return left_s

    def _head(self, method: str, path: str, headers: Mapping[str, str], body_bytes: int) -> bytes:
        """Request line and headers; all but the lengths is the same from task to task."""
        begin = self._heads.get((method, path))
        if begin is None:
            host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
            begin = f"{method} {path} HTTP/1.1\r\nHost: {host}:{self._server.port}\r\n".encode("latin-1")
            self._heads[method, path] = begin
        lines = [f"Content-Length: {body_bytes}"] if method == "POST" else []
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return begin + "\r\n".join(lines + ["", ""]).encode("latin-1")


def _fault(exc: Exception) -> str:
    if isinstance(exc, TooLong):
        return f"answers with more than {exc.limit_bytes} bytes"
    return f"does not speak HTTP properly: {exc}"


def _reason(exc: Exception) -> str:
    if isinstance(exc, (ssl.SSLError, ssl.CertificateError)):
        return "TLS: " + str(getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or exc)
    if isinstance(exc, NoAnswer):
        return "the connection was closed without an answer"
    return str(getattr(exc, "strerror", "") or exc)


def _serve_hint(server: ServerAddress) -> str:
    if server.tls:
        return "SSL_CERT_FILE=ca.pem names the authority of a certificate of your own"
    return f"coachc serve BUNDLE --listen {server.host}:{server.port}"


def _refusal(address: str, status: int, data: Body) -> Exception:
    try:
        said = json.loads(bytes(data).decode("utf-8"))["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = "(no reason given)"
    message = f"the server at {address} answers {status}: {str(said)[:500]}"
    if status == 404:
        return WrongBundleError(message)
    if status == 429:
        return ServerBusy(message)
    return EngineError(message) if status >= 500 else RemoteProtocolError(message)
