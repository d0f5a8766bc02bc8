import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from tests.helpers.scripted_http import OK, Scripted, Serving, answering, head_of

from coachc.runtime.errors import ConnectionFailed, RemoteProtocolError, UsageError
from coachc.runtime.link.address import parse_server
from coachc.runtime.link.connection import Connection


@pytest.fixture
def connect():
    """Makes connections to addresses, or to servers, which are closed in the end."""
    made = []

    def make(server, timeout_s=5.0):
        made.append(Connection(getattr(server, "address", server), timeout_s))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


@pytest.mark.parametrize("where", ["headers", "body", "chunks"])
def test_an_answer_that_drips_has_no_more_time_than_another(where, connect):
    begin = {
        "headers": b"HTTP/1.1 200 OK\r\nX: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    }[where]

    def drip(peer):
        head_of(peer)
        peer.sendall(begin)
        for _ in range(200):
            peer.sendall(b"1\r\na\r\n" if where == "chunks" else b"a")
            time.sleep(0.05)

    with Serving(drip) as server:
        start_s = time.perf_counter()
        with pytest.raises(ConnectionFailed, match=r"no answer from .* within 0\.3 s"):
            connect(server, 0.3).get("/", 1 << 20)
        assert 0.25 < time.perf_counter() - start_s < 3


def test_one_request_may_have_another_time_limit(connect):
    with Scripted([OK, None]) as server:
        connection = connect(server, 20.0)
        connection.get("/", 10)
        with pytest.raises(ConnectionFailed, match=r"within 0\.2 s"):
            connection.get("/", 10, within_s=0.2)
    with pytest.raises(ConnectionFailed, match="within 0 s"):
        connect("127.0.0.1:1", 1.0).get("/", 10, within_s=0.0)


def test_a_body_that_nobody_reads_has_a_time_limit_too(connect):
    with Serving(lambda peer: time.sleep(20)) as server:
        with pytest.raises(ConnectionFailed, match=r"within 0\.3 s"):
            connect(server, 0.3).post("/", {}, b"x" * (64 << 20), 10)


def test_a_large_body_arrives_as_it_is(connect):
    body = bytes(range(256)) * (1 << 16)
    received = []

    def talk(peer):
        head = head_of(peer)
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        found = b""
        time.sleep(0.1)  # long enough for the kernel's buffers to be full
        while len(found) < length:
            found += peer.recv(1 << 20)
        received.append(found)
        peer.sendall(OK)

    with Serving(talk) as server:
        connection = connect(server, 20.0)
        connection.post("/", {"A": "b"}, body, 10)
        assert received == [body]
        assert connection.sent_bytes == len(body) + len(
            f"POST / HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: {len(body)}\r\nA: b\r\n\r\n"
        )


def test_what_a_server_says_before_it_has_the_whole_body(connect):
    said = b'HTTP/1.1 413 Too Large\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{"error":"too much"'

    def talk(peer):
        head_of(peer)
        peer.sendall(said + b"}")

    with Serving(talk) as server:
        with pytest.raises((RemoteProtocolError, ConnectionFailed)):
            connect(server).post("/", {}, b"x" * (32 << 20), 10)


def test_a_request_that_is_interrupted_fails_and_the_next_one_connects_again(connect):
    asked = []

    def talk(peer):
        while head_of(peer):
            asked.append(1)
            if len(asked) == 1:
                time.sleep(5)
            peer.sendall(OK)

    with Serving(talk) as server:
        connection = connect(server, 20.0)
        threading.Timer(0.2, connection.interrupt).start()
        start_s = time.perf_counter()
        with pytest.raises(ConnectionFailed):
            connection.get("/", 10)
        assert time.perf_counter() - start_s < 3
        assert connection.get("/", 10).body == b"hi"
        assert server.accepted == 2
        connection.interrupt()
        assert connection.get("/", 10).body == b"hi"


@pytest.mark.parametrize("ends", ["close", "1.0", "until the end"])
def test_a_server_that_closes_after_every_answer(ends, connect):
    answer = {
        "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "until the end": b"HTTP/1.1 200 OK\r\n\r\nhi",
    }[ends]

    def talk(peer):
        head_of(peer)
        peer.sendall(answer)

    with Serving(talk) as server:
        connection = connect(server)
        for _ in range(3):
            assert connection.get("/", 10).body == b"hi"
        assert server.accepted == 3


def test_bytes_that_nobody_asked_for_end_the_connection(connect):
    with Serving(answering(OK + OK)) as server:
        connection = connect(server)
        for _ in range(3):
            assert connection.get("/", 10).body == b"hi"
        assert server.accepted == 3


def test_a_name_that_is_not_found_any_more(monkeypatch, connect):
    with Serving(answering(OK)) as server:
        connection = connect(f"localhost:{server.port}", 5.0)
        assert connection.get("/", 10).body == b"hi"
        asked = []

        def gone(*args):
            asked.append(args)
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", gone)
        connection.interrupt()
        assert connection.get("/", 10).body == b"hi"
        assert asked == []  # what is known is tried first: asking may take long
    with pytest.raises(ConnectionFailed, match="Connection refused"):
        connection.interrupt()
        connection.get("/", 10)
    with pytest.raises(ConnectionFailed):
        connection.get("/", 10)
    assert len(asked) == 1
    with pytest.raises(ConnectionFailed, match="Name or service not known"):
        connect("nowhere.invalid:80", 1.0).get("/", 10)


@pytest.fixture
def authority(tmp_path):
    trustme = pytest.importorskip("trustme")
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def tls_server(certificate, talk):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return Serving(talk, lambda peer: context.wrap_socket(peer, server_side=True))


def test_tls(authority, tmp_path, monkeypatch, connect):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    body = b"x" * 300000

    def talk(peer):
        while True:
            head = head_of(peer)
            if not head:
                return
            left = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) if b"Content-Length" in head else 0
            while left:
                left -= len(peer.recv(left))
            peer.sendall(OK)

    with tls_server(authority.issue_cert("localhost"), talk) as server:
        connection = connect(f"https://localhost:{server.port}", 10.0)
        for _ in range(3):
            assert connection.post("/", {}, body, 10).body == b"hi"
        assert connection.get("/", 10).body == b"hi"
        assert server.accepted == 1
        connection.interrupt()
        assert connection.get("/", 10).body == b"hi"


def test_tls_that_cannot_be_trusted(authority, tmp_path, monkeypatch, connect):
    with tls_server(authority.issue_cert("localhost"), answering(OK)) as server:
        with pytest.raises(ConnectionFailed, match="TLS: ") as caught:
            connect(f"https://localhost:{server.port}", 5.0).get("/", 10)
        assert "SSL_CERT_FILE" in caught.value.hint
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with tls_server(authority.issue_cert("example.org"), answering(OK)) as server:
        with pytest.raises(ConnectionFailed, match="TLS: ") as caught:
            connect(f"https://localhost:{server.port}", 5.0).get("/", 10)
    with Serving(answering(OK)) as server:
        with pytest.raises(ConnectionFailed):
            connect(f"https://localhost:{server.port}", 5.0).get("/", 10)


def test_addresses_of_servers():
    assert parse_server("h:1") == ("h", 1, False)
    assert parse_server("https://[::1]:8") == ("::1", 8, True)
    with pytest.raises(UsageError, match="--server"):
        parse_server("https://h")
    with pytest.raises(UsageError, match="--server"):
        parse_server("http://h:1")


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 5; gzip off;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here")
def test_a_proxy_that_frames_anew(tmp_path, connect):
    answers = [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi",
    ]
    for number, answer in enumerate(answers):
        with Serving(
            answering(answer) if number < 2 else lambda peer, a=answer: head_of(peer) and peer.sendall(a)
        ) as up:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            config = tmp_path / f"{number}.conf"
            config.write_text(NGINX.format(folder=tmp_path, port=port, upstream=up.address))
            proxy = subprocess.Popen(["nginx", "-c", str(config)])
            try:
                connection = connect(f"127.0.0.1:{port}", 5.0)
                end_s = time.time() + 10
                while True:
                    try:
                        connection.get("/", 10)
                        break
                    except ConnectionFailed:
                        assert time.time() < end_s
                        time.sleep(0.05)
                # More than one connection of the proxy lasts.
                for _ in range(12):
                    assert connection.get("/", 10).body == b"hi"
            finally:
                proxy.terminate()
                proxy.wait()
