"""A server for the cuts of one bundle.

An ASGI application around `service`, and uvicorn around that. Inference runs in one worker thread, so the event loop
keeps answering health checks meanwhile and the engine sees one caller at a time.
"""

import asyncio
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..bundle.signature import trusted_keys
from ..bundle.store import open_bundle
from ..engines.choice import factory_of
from ..engines.engine import Engine
from ..engines.halves import Engines, cloud_engine
from ..engines.ort_engine import CPU, OrtEngine
from ..errors import CoachRuntimeError, ConnectionFailed, EngineError
from ..link.address import parse_address
from ..link.probe import PATH as PROBE_PATH
from .effort import Effort
from .probe_budget import ProbeBudget, ProbeRequest
from .service import Response, Service, Services

Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]

DEFAULT_LISTEN = "127.0.0.1:8000"
# Longer than a device pauses between two frames it wants answered, shorter than most middleboxes forget a connection.
KEEP_ALIVE_S = 75


class CloudApp:
    """ASGI application of one service, or of several, and of the probe that measures the link to them."""

    def __init__(self, service: Union[Service, Services]) -> None:
        self._service = service
        self._probe_budget = ProbeBudget()
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._effort = Effort()

    async def __call__(self, scope: Dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("this application speaks HTTP only, not {}".format(scope["type"]))
        response = await self._respond(scope, receive)
        if response is None:
            return
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()
        ]
        headers.append((b"content-length", str(len(response.body)).encode("ascii")))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Dict[str, Any], receive: Receive) -> Optional[Response]:
        """None where the peer has gone."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        length = headers.get("content-length", "0")
        declared = int(length) if length.isdecimal() else 0
        if scope["path"] == PROBE_PATH:
            return await self._probe(ProbeRequest(self._probe_budget, scope["method"], declared), receive)
        service = self._service.at(scope["path"])
        refused = service.refuse(scope["method"], scope["path"], declared)
        if refused is not None:
            return refused
        pieces: List[bytes] = []
        received = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            received += len(pieces[-1])
            if received > service.limits.received_bytes:
                return service.too_large()
            more = message.get("more_body", False)
        start_s = time.perf_counter()
        loop = asyncio.get_event_loop()
        response, work_s = await loop.run_in_executor(self._worker, _timed, service, headers, b"".join(pieces))
        # The total holds the wait for the worker too: what is left of the device's waiting is the link's.
        total_s = time.perf_counter() - start_s
        # What the worker has taken, or all of this program's cores where that is more: answers come no faster.
        work_s = max(work_s, self._effort.answered())
        timing = "total;dur={:.3f}, work;dur={:.3f}".format(1e3 * total_s, 1e3 * work_s)
        return response._replace(headers=dict(response.headers, **{"Server-Timing": timing}))

    async def _probe(self, request: ProbeRequest, receive: Receive) -> Optional[Response]:
        more = True
        while more and request.refusal is None:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            request.receive(message.get("body", b""))
            more = message.get("more_body", False)
        return request.answer()


def _timed(service: Service, headers: Mapping[str, str], body: bytes) -> Tuple[Response, float]:
    start_s = time.perf_counter()
    response = service.infer(headers, body)
    return response, time.perf_counter() - start_s


def load_services(
    bundle_path: str,
    cut_name: Optional[str] = None,
    providers: Sequence[str] = (CPU,),
    threads: int = 0,
    trust: Optional[str] = None,
    engine: str = "ort",
    engine_cache: Optional[str] = None,
) -> Services:
    """Open a bundle and load the cloud halves of all its cuts that have one, or of the cut called `cut_name`.

    Segments that several cuts share are loaded once. The chosen cut comes first.

    Raises
    ------
    CoachRuntimeError
        If the bundle is damaged, an engine cannot be made, or there is no cloud half to serve.
    """
    bundle = open_bundle(bundle_path, trusted_keys(trust))
    manifest = bundle.manifest
    served = [cut for cut in manifest.cuts if cut.cloud is not None]
    served.sort(key=lambda cut: cut.name != manifest.chosen)
    if cut_name is not None:
        wanted = manifest.cut(cut_name)
        if wanted.cloud is None:
            others = ", ".join(other.name for other in served)
            raise CoachRuntimeError(
                f"nothing to serve: cut '{wanted.name}' of {bundle_path} runs on the device alone",
                hint=f"--cut serves another cut of it: {others}" if others else "coachc run needs no server for it",
            )
        served = [wanted]
    if not served:
        raise CoachRuntimeError(
            f"nothing to serve: every cut of {bundle_path} runs on the device alone",
            hint="coachc run needs no server for it",
        )

    def make_engine(model: bytes, wanted: Sequence[str]) -> Engine:
        return OrtEngine(model, wanted, threads or None)

    engines = Engines(bundle, factory_of(engine, bundle, "cloud", make_engine, engine_cache), providers)
    names = [bundle.served_name_of(cut) for cut in served]
    return Services([Service(bundle, cut, cloud_engine(engines, cut), names) for cut in served])


def listen_on(address: str) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises
    ------
    ConnectionFailed
        If the address is not HOST:PORT, is in use, or is not this machine's.
    """
    host, port = parse_address(address, "--listen")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise ConnectionFailed(f"cannot listen on {address}: {exc.strerror or exc}") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise ConnectionFailed(
            f"cannot listen on {address}: {exc.strerror or exc}", hint="--listen HOST:PORT; port 0 picks one"
        ) from exc
    return listener


def make_server(service: Union[Service, Services], on_ready: Callable[[], None]) -> Any:
    """A uvicorn server; ``.run(sockets=[...])`` serves until ``.should_exit`` is set.

    Raises
    ------
    EngineError
        If uvicorn or httptools is missing.
    """
    try:
        import httptools  # noqa: F401
        import uvicorn
    except ImportError as exc:
        raise EngineError(
            f"{exc.name} is not installed, and serving needs it", hint="pip install 'coachc[serve]'"
        ) from exc

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            on_ready()

    return Server(
        uvicorn.Config(
            CloudApp(service),
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
        )
    )


def serve(
    bundle_path: str,
    listen: str = DEFAULT_LISTEN,
    cut: Optional[str] = None,
    providers: Sequence[str] = (CPU,),
    threads: int = 0,
    trust: Optional[str] = None,
    engine: str = "ort",
    engine_cache: Optional[str] = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way and return.

    Raises
    ------
    CoachRuntimeError
        If the bundle, the engine, the address or uvicorn is not usable; nothing has been served then.
    """
    loaded = load_services(bundle_path, cut, providers, threads, trust, engine, engine_cache)
    first = loaded.services[0]
    listener = listen_on(listen)
    with listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        if len(loaded.services) > 1:
            facts = "cuts " + ", ".join(service.cut.name for service in loaded.services)
        else:
            facts = f"cut {first.cut.name}, {len(first.cut.values)} cut tensors"
        line = f"serving {first.name} on http://{shown}:{port} ({first.model_name}, {facts})"
        server = make_server(loaded, lambda: print(line, file=sys.stderr, flush=True))

        def stop(number: int, frame: Any) -> None:
            server.should_exit = True

        # uvicorn handles both signals itself and raises them again when done; ours make that end with exit code 0.
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            server.run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
