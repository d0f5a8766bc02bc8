"""`python -m tests.helpers.serve_tiny HOST:PORT`: the embedded server with the tiny bundle, whose engines are
numpy; and a yardstick of round trips beside it.
"""

import sys
import tempfile

from coachc.runtime.cloud.server import listen_on, make_server
from tests.helpers.ping_pong import answer_pings
from tests.helpers.runtime_bundles import make_bundle, make_services

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, listen_on(sys.argv[1]) as listener:
        answer_pings(sys.argv[1].rpartition(":")[0])
        services = make_services(make_bundle(folder + "/tiny.coach"))
        make_server(services, lambda: print("serving", flush=True)).run(sockets=[listener])
