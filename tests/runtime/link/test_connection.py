import socket
import threading
import time

import pytest

from coachc.runtime.errors import (
    ConnectionFailed,
    EngineError,
    RemoteProtocolError,
    ServerBusy,
    UsageError,
    WrongBundleError,
)
from coachc.runtime.link.address import parse_address
from coachc.runtime.link.connection import Connection
from tests.helpers.scripted_http import OK, Scripted


def connect(server, timeout_s=5.0):
    return Connection(server.address, timeout_s)


def test_a_request_is_counted_to_the_byte_and_keeps_the_connection():
    with Scripted([OK, OK, OK]) as server:
        connection = connect(server)
        assert connection.get("/v2", 10).body == b"hi"
        for body in (b"x" * 100000, b"yz"):
            reply = connection.post("/v2/infer", {"A": "b"}, body, 10)
            assert (reply.body, reply.headers) == (b"hi", {"content-length": "2"})
        assert connection.sent_bytes == len(server.received)
        connection.close()
    assert server.received.startswith(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1")
    assert server.received.endswith(b"Content-Length: 2\r\nA: b\r\n\r\nyz")


def test_small_writes_are_not_held_back():
    with Scripted([OK]) as server:
        connection = connect(server)
        connection.get("/", 10)
        assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        connection.close()


def test_a_closed_kept_alive_connection_is_opened_again_once():
    with Scripted([OK, "close"], [OK, "close"]) as server:
        connection = connect(server)
        assert connection.get("/1", 10).body == b"hi"
        time.sleep(0.05)
        assert connection.get("/2", 10).body == b"hi"
        connection.close()
    with Scripted([OK, b""], [b""]) as server:
        connection = connect(server)
        connection.get("/1", 10)
        with pytest.raises(ConnectionFailed, match="no server at 127.0.0.1:.*: "):
            connection.get("/2", 10)
    assert server.received.count(b"GET /2") == 2


def test_a_first_request_is_not_repeated():
    with Scripted([b""]) as server, pytest.raises(ConnectionFailed, match="no server at"):
        connect(server).get("/1", 10)
    assert server.received.count(b"GET /1") == 1


def test_nobody_there():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(ConnectionFailed, match=f"no server at {address}: Connection refused") as caught:
        Connection(address, 1.0).get("/", 10)
    assert caught.value.hint == "coachc serve BUNDLE --listen " + address


def test_nobody_answers():
    with Scripted([None]) as server:
        with pytest.raises(ConnectionFailed, match="no answer from 127.0.0.1:.* within 0.1 s") as caught:
            connect(server, 0.1).get("/", 10)
        assert caught.value.hint == "--timeout SECONDS"


def test_a_request_can_be_given_up_from_another_thread():
    with Scripted([OK, None]) as server:
        connection = connect(server)
        connection.get("/", 10)
        threading.Timer(0.1, connection.abort).start()
        start = time.time()
        with pytest.raises(ConnectionFailed):
            connection.get("/", 10)
        assert time.time() - start < 3
        with pytest.raises(ConnectionFailed, match="was given up"):
            connection.get("/", 10)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (b"HTTP/1.1 404 X\r\nContent-Length: 15\r\n\r\n" + b'{"error":"why"}', WrongBundleError, "answers 404: why"),
        (b"HTTP/1.1 429 X\r\nContent-Length: 15\r\n\r\n" + b'{"error":"why"}', ServerBusy, "answers 429: why"),
        (b"HTTP/1.1 400 X\r\nContent-Length: 15\r\n\r\n" + b'{"error":"why"}', RemoteProtocolError, "answers 400: why"),
        (b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n", RemoteProtocolError, r"answers 413: \(no reason given\)"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n[]", EngineError, r"answers 500: \(no reason given\)"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 11\r\n\r\n" + b"a" * 11, RemoteProtocolError, "with more than 10 bytes"),
        (b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + b"a" * 11, RemoteProtocolError, "with more than 10 bytes"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nab", ConnectionFailed, "went away in the middle of an answer"),
        (b"HTTP/1.1 " + b"x" * 70000 + b"\r\n\r\n", RemoteProtocolError, "does not speak HTTP properly"),
    ],
    ids=[str(number) for number in range(9)],
)
def test_other_answers_are_errors(answer, error, message):
    with Scripted([answer, "close"]) as server:
        connection = connect(server)
        with pytest.raises(error, match=message):
            connection.get("/", 10)
        connection.close()


def test_addresses():
    assert parse_address("example.org:80", "--server") == ("example.org", 80)
    assert parse_address("[::1]:8000", "--server") == ("::1", 8000)
    for text, hint in (
        ("", "for example --server 192.168.1.10:8700"),
        ("host", "give the port too: --server host:8700"),
        ("host:", "give the port too: --server host:8700"),
        (":80", "for example --server 192.168.1.10:8700"),
        ("host:port", "for example --server 192.168.1.10:8700"),
        ("::1", "an IPv6 address stands in brackets: --server [::1]:8700"),
        ("fe80::1%eth0:80", "for example --server 192.168.1.10:8700"),
        ("ho st:1", "for example --server 192.168.1.10:8700"),
        ("http://h:1", "leave out all but host and port: --server h:1"),
        ("http://h:1/v2", "leave out all but host and port: --server h:1"),
        ("user@host:x", "for example --server 192.168.1.10:8700"),
    ):
        with pytest.raises(UsageError, match="--server '.*' is not HOST:PORT") as caught:
            parse_address(text, "--server")
        assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["127.0.0.1:80000", "host:65536", "[::1]:123456789"])
def test_a_port_that_is_none(text):
    with pytest.raises(UsageError, match="there is no port [0-9]{5,9}$") as caught:
        parse_address(text, "--listen")
    assert caught.value.context == ("expected  0 to 65535",)
    assert caught.value.hint == "for example --listen {}:8700".format(text.rpartition(":")[0])
