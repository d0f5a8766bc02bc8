"""A link between a device and its server that can be made to fail, over sockets. Python 3.6-clean."""

import contextlib
import socket
import threading
import time

#: What the link does: as it should; nobody listens; bytes go nowhere; answers come a byte at a time, have wrong bytes,
#: end in the middle, or are no HTTP at all.
MODES = ("pass", "cut", "silent", "drip", "damage", "half", "garbage")


class FaultyLink:
    """Relays bytes to and from a server, in one of `MODES`; `to` may be another server."""

    def __init__(self, to):
        self.to = to
        self._mode = "pass"
        self._lock = threading.Lock()
        self._open = []
        self._listener = None
        self._listen(0)
        self.address = f"127.0.0.1:{self._port}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.set("cut")

    def set(self, mode):
        """Change what the link does, also for connections that stand."""
        assert mode in MODES
        with self._lock:
            before, self._mode = self._mode, mode
        if mode == "cut":
            self._close()
        elif before == "cut":
            self._listen(self._port)

    def drop(self):
        """End all connections that stand."""
        with self._lock:
            standing, self._open = self._open, []
        for one in standing:
            end(one)

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(50)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _close(self):
        if self._listener is not None:
            end(self._listener)
            self._listener = None
        self.drop()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            host, _, port = self.to.rpartition(":")
            try:
                far = socket.create_connection((host, int(port)), 5)
                far.settimeout(None)
            except OSError:
                end(near)
                continue
            with self._lock:
                if self._mode == "cut":
                    end(near), end(far)
                    return
                self._open += [near, far]
            for arguments in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._relay, args=arguments, daemon=True).start()

    def _relay(self, source, target, answers):
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                self._pass(data, target, answers)
        except OSError:
            pass
        end(source), end(target)

    def _pass(self, data, target, answers):
        mode = self._mode
        if mode == "silent":
            return
        if not answers or mode in ("pass", "cut"):
            target.sendall(data)
        elif mode == "drip":
            for place in range(len(data)):
                target.sendall(data[place : place + 1])
                time.sleep(0.05)
                if self._mode != "drip":
                    target.sendall(data[place + 1 :])
                    return
        elif mode == "damage":
            # The JSON of the answer, behind its headers.
            target.sendall(data.replace(b'{"', b"{;").replace(b'"outputs"', b'"nothing"'))
        elif mode == "half":
            target.sendall(data[: len(data) // 2])
            raise OSError("cut off")
        else:
            target.sendall(b"\x00\x01 this is no HTTP \x02\r\n\r\n" * 3)


def end(one):
    """Shut a socket down and close it, whoever waits for it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
