import http.client
import io

import pytest

from coachc.runtime.link.http_answer import (
    HEAD_LIMIT_BYTES,
    AnswerReader,
    CutShort,
    Malformed,
    NoAnswer,
    TooLong,
)

GOOD = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200\r\ncontent-length:2\r\nX: a:b \t\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + bytes(range(250)) * 280,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA ; x=y\r\n0123456789\r\n1\r\nz\r\n000\r\nT: t\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" + b"x" * 70000 + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 500 Oh no\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\n\r\nto the end",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"y" * 100000,
]


def pieces_of(data, size):
    """A function that gives `data` in pieces of at most `size` bytes, then the end."""
    place = 0

    def receive(memory):
        nonlocal place
        count = min(size, len(memory), len(data) - place)
        memory[:count] = data[place : place + count]
        place += count
        return count

    return receive


def read(data, size=1 << 20, limit=1 << 20):
    return AnswerReader(pieces_of(data, size)).read(lambda status: limit)


class Socket:
    def __init__(self, data):
        self._data = data

    def makefile(self, mode):
        return io.BytesIO(self._data)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 65536, 1 << 20])
@pytest.mark.parametrize("data", GOOD, ids=[str(number) for number in range(len(GOOD))])
def test_answers_are_those_of_the_standard_library(data, size):
    if size == 1 and len(data) > 10000:
        size = 4099
    found = read(data, size)
    expected = http.client.HTTPResponse(Socket(data))
    expected.begin()
    body = expected.read()
    assert (found.status, bytes(found.body)) == (expected.status, body)
    assert found.headers == {name.lower(): value.strip() for name, value in expected.getheaders()}
    assert found.keeps == (not expected.will_close)


@pytest.mark.parametrize("size", [1, 5, 300, 65536])
def test_answers_come_one_after_the_other(size):
    lasting = [data for data in GOOD if read(data).keeps and len(data) < 1000]
    assert len(lasting) > 5
    reader = AnswerReader(pieces_of(b"".join(lasting * 40), size))
    for data in lasting * 40:
        assert reader.read(lambda status: 1000) == read(data)
    assert not reader.waiting
    with pytest.raises(NoAnswer):
        reader.read(lambda status: 1000)


def test_what_nobody_asked_for_shows():
    reader = AnswerReader(pieces_of(GOOD[0] + b"more", 1000))
    reader.read(lambda status: 1000)
    assert reader.waiting


@pytest.mark.parametrize("data", [data for data in GOOD if read(data).keeps and len(data) < 1000])
def test_an_answer_that_ends_early(data):
    for length in range(1, len(data)):
        # What came may be a whole answer, if it is one of 1xx.
        with pytest.raises((CutShort, NoAnswer) if b" 100 " in data else CutShort):
            read(data[:length])


def test_a_length_that_is_not_kept():
    reader = AnswerReader(pieces_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", 1000))
    with pytest.raises(CutShort):
        reader.read(lambda status: 1000)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"a" * 11,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\naaaaaa\r\n5\r\naaaaa\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 11,
    ],
)
def test_too_much(data, size):
    with pytest.raises(TooLong) as caught:
        read(data, size, limit=10)
    assert caught.value.limit_bytes == 10
    asked = []
    with pytest.raises(TooLong):
        AnswerReader(pieces_of(data, size)).read(lambda status: asked.append(status) or 3)
    assert asked == [200]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/2 200 OK\r\n\r\n", "no status line"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no status line"),
        (b"\r\n\r\n", "no status line"),
        (b"HTTP/1.1 99 OK\r\n\r\n", "no status line"),
        (b"HTTP/1.1 0200 OK\r\n\r\n", "no status line"),
        (b"HTTP/1.1 101 Upgrade\r\nUpgrade: h2c\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a header without a name"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "a header without a name"),
        (b"HTTP/1.1 200 OK\r\nspace : b\r\n\r\n", "a header without a name"),
        (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", "a header without a name"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length -1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", r"Content-Length \+1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n", "Content-Length 9"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding gzip, chunked"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n", "a chunk without a size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n", "a chunk without a size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi0\r\n\r\n", "longer than its size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000, "a line without an end"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * HEAD_LIMIT_BYTES, "headers without an end"),
    ],
)
def test_what_is_no_answer(data, reason):
    for size in (1, 1 << 20) if len(data) < 1000 else (997, 1 << 20):
        with pytest.raises(Malformed, match=reason):
            read(data, size)


def test_a_chunked_answer_that_has_a_length_too_ends_the_connection():
    found = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    assert (found.body, found.keeps) == (b"hi", False)
