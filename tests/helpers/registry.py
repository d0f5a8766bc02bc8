"""A registry that speaks as much of the OCI distribution specification as pushing needs, in this process."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit


class Registry:
    """Blobs by digest and manifests by repository and tag; with `login`, only for whoever sends that Basic word."""

    def __init__(self, login: str | None = None, refuse: tuple[int, str] | None = None, digest: str | None = None):
        blobs: dict[str, bytes] = {}
        manifests: dict[str, bytes] = {}
        requests: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                if self.admitted():
                    self.answer(200 if self.path.rpartition("/")[2] in blobs else 404)

            def do_GET(self) -> None:
                if self.admitted():
                    self.answer(200)

            def do_POST(self) -> None:
                if self.admitted():
                    self.answer(202, {"Location": self.path + "session"})

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not self.admitted():
                    return
                address = urlsplit(self.path)
                found = "sha256:" + hashlib.sha256(body).hexdigest()
                if "/manifests/" in address.path:
                    manifests[address.path.removeprefix("/v2/")] = body
                    self.answer(201, {"Docker-Content-Digest": digest or found})
                elif parse_qs(address.query)["digest"] == [found]:
                    blobs[found] = body
                    self.answer(201)
                else:
                    self.answer(400)

            def admitted(self) -> bool:
                requests.append(f"{self.command} {self.path}")
                if login is not None and self.headers.get("Authorization") != login:
                    self.answer(401, {"Www-Authenticate": 'Basic realm="tests"'})
                    return False
                if refuse is not None and self.command in ("POST", "PUT"):
                    self.answer(refuse[0], body=json.dumps({"errors": [{"code": "NO", "message": refuse[1]}]}).encode())
                    return False
                return True

            def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.blobs, self.manifests, self.requests = blobs, manifests, requests
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Registry:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
