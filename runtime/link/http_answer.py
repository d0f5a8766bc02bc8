"""HTTP/1.1 answers (RFC 9112) out of the bytes that a connection gives, into memory that is used again.

Knows no sockets: it asks a function to fill a piece of memory. `http.client` takes five times as long, most of it for
objects that nobody looks at here.
"""

import functools
import re
from typing import Callable, Dict, List, NamedTuple, Tuple, Union

#: Of status line and headers together; servers send a few hundred bytes.
HEAD_LIMIT_BYTES = 1 << 16
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\Z")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\Z")
_END = b"\r\n\r\n"
#: Of a chunk's size with what an extension says.
_LINE_LIMIT_BYTES = 4096

Body = Union[bytes, bytearray]
#: Fills what it is given with as many bytes as there are, at least one, and says how many; 0 at the end.
Receive = Callable[[memoryview], int]


class NoAnswer(Exception):  # noqa: N818  (it says what happened)
    """The connection ended before an answer began."""


class CutShort(Exception):  # noqa: N818
    """The connection ended in the middle of an answer."""


class Malformed(Exception):  # noqa: N818
    """What came is no HTTP answer; the message says why."""


class TooLong(Exception):  # noqa: N818
    """The answer is longer than it may be: `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class RawAnswer(NamedTuple):
    """One answer.

    Attributes
    ----------
    status : int
    headers : dict of str to str
        By their names in small letters; the last one of each name.
    body : bytes-like
    keeps : bool
        Whether the connection can be asked again.
    """

    status: int
    headers: Dict[str, str]
    body: Body
    keeps: bool


class AnswerReader:
    """Takes answers from one connection, one after the other.

    Parameters
    ----------
    receive : callable
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._memory = bytearray(HEAD_LIMIT_BYTES)
        self._view = memoryview(self._memory)
        self._begin = 0
        self._end = 0

    @property
    def waiting(self) -> bool:
        """Whether bytes are here that no answer was asked for."""
        return self._begin < self._end

    def read(self, limit_of: Callable[[int], int]) -> RawAnswer:
        """The next answer that is final: those of 1xx are passed over.

        Parameters
        ----------
        limit_of : callable
            Status -> how many bytes the body may have.

        Raises
        ------
        NoAnswer, CutShort, Malformed, TooLong
            After which the connection is of no use. What `receive` raises too.
        """
        while True:
            head = self._head()
            lines = head.split(b"\r\n")
            status, lasting = _status(lines[0])
            headers = _headers(lines[1:])
            if status >= 200:
                break
            if status == 101:
                raise Malformed("it changes to another protocol")
        connection = headers.get("connection", "").lower()
        keeps = "close" not in connection if lasting else "keep-alive" in connection
        limit = limit_of(status)
        coding = headers.get("transfer-encoding", "").lower()
        if status in (204, 304):
            return RawAnswer(status, headers, b"", keeps)
        if coding:
            if coding != "chunked":
                raise Malformed(f"transfer coding {coding[:80]}")
            # With a length beside it, two readers would see two messages (RFC 9112, 6.1).
            return RawAnswer(status, headers, self._chunks(limit), keeps and "content-length" not in headers)
        if "content-length" in headers:
            return RawAnswer(status, headers, self._exactly(_length(headers), limit), keeps)
        return RawAnswer(status, headers, self._rest(limit), False)

    def _head(self) -> bytes:
        """Everything up to the empty line, without it."""
        searched = self._begin
        while True:
            found = self._memory.find(_END, max(self._begin, searched - len(_END)), self._end)
            if found >= 0:
                head = bytes(self._view[self._begin : found])
                self._begin = found + len(_END)
                return head
            if self._end - self._begin >= HEAD_LIMIT_BYTES:
                raise Malformed("headers without an end")
            searched = self._end
            searched -= self._more(NoAnswer if self._begin == self._end else CutShort)

    def _more(self, ended: Callable[[], Exception]) -> int:
        """Receive what there is; by how many bytes what was here moved to the front."""
        moved = 0
        if self._begin == self._end or self._end == len(self._memory):
            moved = self._begin
            self._memory[: self._end - moved] = self._memory[moved : self._end]
            self._begin, self._end = 0, self._end - moved
        count = self._receive(self._view[self._end :])
        if not count:
            raise ended()
        self._end += count
        return moved

    def _exactly(self, size: int, limit: int) -> Body:
        if size > limit:
            raise TooLong(limit)
        here = min(size, self._end - self._begin)
        first = self._view[self._begin : self._begin + here]
        self._begin += here
        if here == size:
            return bytes(first)
        body = bytearray(size)
        view = memoryview(body)
        view[:here] = first
        while here < size:
            count = self._receive(view[here:])
            if not count:
                raise CutShort()
            here += count
        return body

    def _chunks(self, limit: int) -> bytes:
        parts, total = [], 0
        while True:
            match = _SIZE.match(self._line())
            if match is None:
                raise Malformed("a chunk without a size")
            size = int(match.group(1), 16)
            if not size:
                break
            total += size
            if total > limit:
                raise TooLong(limit)
            parts.append(self._exactly(size, limit))
            if self._line():
                raise Malformed("a chunk that is longer than its size")
        while self._line():
            pass  # trailers
        return b"".join(parts)

    def _line(self) -> bytes:
        while True:
            found = self._memory.find(b"\r\n", self._begin, min(self._end, self._begin + _LINE_LIMIT_BYTES))
            if found >= 0:
                line = bytes(self._view[self._begin : found])
                self._begin = found + 2
                return line
            if self._end - self._begin >= _LINE_LIMIT_BYTES:
                raise Malformed("a line without an end")
            self._more(CutShort)

    def _rest(self, limit: int) -> bytes:
        """Up to the end of the connection."""
        body = bytearray()
        while True:
            body += self._view[self._begin : self._end]
            self._begin = self._end = 0
            if len(body) > limit:
                raise TooLong(limit)
            count = self._receive(self._view)
            if not count:
                return bytes(body)
            self._end = count


# A server says the same again and again.


@functools.lru_cache(maxsize=64)
def _status(line: bytes) -> Tuple[int, bool]:
    """The status, and whether connections last unless somebody says otherwise (HTTP/1.1)."""
    match = _STATUS.match(line)
    if match is None:
        raise Malformed("no status line")
    return int(match.group(2)), match.group(1) == b"1"


@functools.lru_cache(maxsize=256)
def _key(name: bytes) -> str:
    if _NAME.match(name) is None:
        raise Malformed("a header without a name")
    return name.decode("ascii").lower()


def _headers(lines: List[bytes]) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed("a header without a name")
        key, text = _key(name), value.strip(b" \t").decode("latin-1")
        if key == "content-length" and headers.get(key, text) != text:
            raise Malformed("two lengths")
        headers[key] = text
    return headers


def _length(headers: Dict[str, str]) -> int:
    text = headers["content-length"]
    if not re.match(r"[0-9]{1,15}\Z", text):
        raise Malformed(f"Content-Length {text[:80]}")
    return int(text)
