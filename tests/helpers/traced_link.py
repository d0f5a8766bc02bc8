"""A bundle's server in this process, behind a link whose rate follows a trace."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from coachc.evaluate.bandwidth_trace import Trace
from coachc.runtime.bundle.store import Bundle
from coachc.runtime.cloud.service import Service, Services
from coachc.runtime.engines.halves import Engines, cloud_engine
from coachc.runtime.engines.ort_engine import OrtEngine
from coachc.runtime.online.precision import GOODPUT, REQUEST_HEADER_BYTES
from tests.helpers.online_bundles import Watched
from tests.helpers.runtime_bundles import Loopback


class TracedLink(Watched):
    """Holds each request up for as long as its bytes take on the trace, from the first question on."""

    def __init__(self, service: Services, trace: Trace) -> None:
        super().__init__(service)
        self._trace, self._start_s = trace, None

    def at(self, path):
        if self._start_s is None:
            self._start_s = time.perf_counter()
        return super().at(path)

    def hold_up(self, size):
        with self._link:
            self.requests += 1
            now_s = time.perf_counter() - self._start_s
            time.sleep(self._trace.end_s(now_s, (size + REQUEST_HEADER_BYTES - 300) / GOODPUT) - now_s)


@contextlib.contextmanager
def serving_over(bundle: Bundle, trace: Trace) -> Iterator[str]:
    """All cuts of a bundle that need a server; yields HOST:PORT."""
    engines = Engines(bundle, OrtEngine)
    cuts = [cut for cut in bundle.manifest.cuts if cut.cloud is not None]
    names = [bundle.served_name_of(cut) for cut in cuts]
    services = Services([Service(bundle, cut, cloud_engine(engines, cut), names) for cut in cuts])
    with Loopback(TracedLink(services, trace)) as server:
        yield server.address
