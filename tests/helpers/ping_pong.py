"""A yardstick of round trips: 150 bytes over a bare TCP socket and back; `python -m tests.helpers.ping_pong HOST`."""

import contextlib
import socket
import statistics
import sys
import threading
import time

PORT = 8701
TIMES = 30


def answer_pings(host: str) -> None:
    """Send back whatever arrives, in threads that end with the program."""
    listener = socket.create_server((host, PORT))

    def echo(peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(4096):
                peer.sendall(data)

    def serve() -> None:
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def ping_s(host: str) -> float:
    """Median."""
    times = []
    with socket.create_connection((host, PORT)) as mine:
        mine.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(TIMES):
            start_s = time.perf_counter()
            mine.sendall(b"x" * 150)
            mine.recv(4096)
            times.append(time.perf_counter() - start_s)
    return statistics.median(times)


if __name__ == "__main__":
    print(ping_s(sys.argv[1]))
