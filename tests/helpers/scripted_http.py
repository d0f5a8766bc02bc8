"""Servers that say what a test wants them to, byte by byte. Python 3.6-clean."""

import socket
import threading

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Scripted:
    """A server that reads a request per step and then does the step: bytes are sent, None hangs, "close" closes."""

    def __init__(self, *connections):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(5)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = b""
        self._connections = connections
        self._over = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
        self._listener.close()

    def _serve(self):
        for steps in self._connections:
            peer, _ = self._listener.accept()
            with peer:
                for step in steps:
                    if step == "close":
                        break
                    self._read_request(peer)
                    if step is None:
                        self._over.wait(10)
                        break
                    peer.sendall(step)

    def _read_request(self, peer):
        text = b""
        while b"\r\n\r\n" not in text:
            text += peer.recv(1)
        head = text.lower()
        if b"content-length: " in head:
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            while length:
                piece = peer.recv(length)
                text += piece
                length -= len(piece)
        self.received += text


class Serving:
    """A server whose every connection is a call of `talk(socket)` in a thread of its own."""

    def __init__(self, talk, wrap=lambda peer: peer):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(20)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.accepted = 0
        self._talk, self._wrap = talk, wrap

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._one, args=(peer,), daemon=True).start()

    def _one(self, peer):
        try:
            with self._wrap(peer) as wrapped:
                self._talk(wrapped)
        except OSError:
            pass


def head_of(peer):
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        piece = peer.recv(1)
        if not piece:
            return b""
        text += piece
    return text


def answering(answer, once=False):
    def talk(peer):
        while head_of(peer):
            peer.sendall(answer)
            if once:
                return

    return talk
