"""`python -m tests.helpers.serve_online BUNDLE PORT`: the bundle of `online_bundles` behind `Loopback`, in a process
that can be stopped and killed. Python 3.6-clean.
"""

import sys
import time

from coachc.runtime.bundle.store import open_bundle
from tests.helpers.online_bundles import serve
from tests.helpers.runtime_bundles import Loopback

if __name__ == "__main__":
    with Loopback(serve(open_bundle(sys.argv[1])), port=int(sys.argv[2])) as server:
        print(server.address, flush=True)
        time.sleep(600)
