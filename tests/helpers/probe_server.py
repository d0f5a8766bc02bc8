"""A server with a probe behind the standard library's HTTP server, which may limit, lie or drop. Python 3.6-clean."""

import http.server
import json
import socketserver
import threading

from coachc.runtime.cloud.probe_budget import ProbeBudget, ProbeRequest
from coachc.runtime.link.probe import PATH

MODEL = {
    "inputs": [{"name": "features/codes", "datatype": "UINT8", "shape": [-1]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 5]}],
}


class ProbeServer:
    """One model called "tiny", and the probe of `coachc serve`, on a free port.

    Parameters
    ----------
    budget : ProbeBudget, optional
    change : callable, optional
        (number of the request to the probe, status, body) -> what is sent instead: (status, body), or None to close the
        connection without an answer.
    probe : bool
        False for a server that has none.
    model : object
        Its metadata.
    """

    def __init__(self, budget=None, change=None, probe=True, model=None):
        budget = budget or ProbeBudget()
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                self.answer()

            def do_POST(self):
                self.answer()

            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                status, said = 200, b""
                if self.path == PATH and probe:
                    asked.append((self.command, length))
                    request = ProbeRequest(budget, self.command, length)
                    if request.refusal is None:
                        request.receive(body)
                    status, _, said = request.answer()
                    if change is not None:
                        changed = change(len(asked), status, said)
                        if changed is None:
                            self.close_connection = True
                            return
                        status, said = changed
                elif self.path == "/v2/repository/index":
                    said = json.dumps([{"name": "tiny"}]).encode()
                elif self.path == "/v2/models/tiny":
                    said = json.dumps(MODEL if model is None else model).encode()
                elif self.path != "/v2/health/live":
                    status, said = 404, json.dumps({"error": "nothing at " + self.path}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
