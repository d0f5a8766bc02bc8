"""One engine on the machine it will run on: looked up, or built with what memory there is.

TensorRT tries tactics within a workspace, and on a Jetson that memory is the host's: asking for too much ends the build
or the machine. So the limit comes from what is free, and a build that fails for memory is tried again with half of it.
"""

import sys
import time
from typing import Callable, List, NamedTuple, Optional, Tuple

from ..errors import EngineError
from .dialect import Built, Dialect, Settings, ShortOfMemory
from .engine_cache import EngineCache, EngineKey, make_key

MEMINFO = "/proc/meminfo"
#: Of the memory that is free, what a build may take as scratch: weights, activations and timing need the rest.
SHARE = 0.5
MOST_BYTES, LEAST_BYTES = 4 << 30, 16 << 20
#: Further tries, each with half the workspace of the one before.
RETRIES = 4

Say = Callable[[str], None]


def to_stderr(text: str) -> None:
    """The `Say` of programs."""
    print(text, file=sys.stderr, flush=True)


class Found(NamedTuple):
    """An engine and where it came from; `seconds` and `workspace_bytes` are 0 for one that was there."""

    plan: bytes
    key: EngineKey
    path: str
    built: bool
    seconds: float = 0.0
    workspace_bytes: int = 0


def available_bytes(meminfo: str = MEMINFO) -> Optional[int]:
    """MemAvailable of this machine; None where it is not said."""
    try:
        with open(meminfo, encoding="ascii") as stream:
            for line in stream:
                words = line.split()
                if words[:1] == ["MemAvailable:"]:
                    return int(words[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def workspace_bytes(*free: Optional[int]) -> int:
    """Scratch memory for a build, in whole MiB, from what is free on the host and on the GPU (None: unknown)."""
    known = [amount for amount in free if amount is not None]
    limit = int(min(known) * SHARE) if known else LEAST_BYTES * 16
    return max(LEAST_BYTES, min(MOST_BYTES, limit)) >> 20 << 20


def build(
    dialect: Dialect,
    model: bytes,
    settings: Settings,
    timing_cache: bytes = b"",
    say: Say = lambda text: None,
    retries: int = RETRIES,
) -> Tuple[Built, int]:
    """Build with less and less workspace until memory is enough.

    Returns
    -------
    Built
    int
        The workspace it took, in bytes.

    Raises
    ------
    ShortOfMemory
        The last try, too, failed for memory.
    EngineError
        As `Dialect.build` does.
    """

    def sink(severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR", "WARNING"):
            say(f"{severity.lower()}: {message}")

    tried: List[str] = []
    while True:
        try:
            return dialect.build(model, settings, sink, timing_cache), settings.workspace_bytes
        except ShortOfMemory as exc:
            tried.append(f"{settings.workspace_bytes >> 20} MiB")
            less = settings.workspace_bytes // 2 >> 20 << 20
            if len(tried) > retries or less < LEAST_BYTES:
                raise ShortOfMemory(
                    exc.message, ("tried with a workspace of " + ", ".join(tried),) + exc.context, exc.hint
                ) from exc
            say(f"not enough memory with a workspace of {tried[-1]}; trying {less >> 20} MiB")
            settings = settings._replace(workspace_bytes=less)


def find_or_build(
    dialect: Dialect,
    model: bytes,
    settings: Settings,
    cache: EngineCache,
    gpu: str,
    compute_capability: str,
    say: Say = lambda text: None,
) -> Found:
    """The engine of a model on this GPU.

    Parameters
    ----------
    dialect : Dialect
    model : bytes
    settings : Settings
        Its workspace is where tries begin.
    cache : EngineCache
    gpu, compute_capability : str
        Of the device that is here.
    say : callable
        Gets what a person may want to know while it takes minutes.

    Raises
    ------
    EngineError
        As `build` and `EngineCache.building` do.
    """
    key = make_key(model, f"{dialect.product} {dialect.version}", gpu, compute_capability, settings)
    plan = cache.find(key)
    if plan is not None:
        return Found(plan, key, cache.path(key), False)
    with cache.building(key, say):
        plan = cache.find(key)  # another process may have built it meanwhile
        if plan is not None:
            return Found(plan, key, cache.path(key), False)
        start_s = time.perf_counter()
        built, workspace = build(dialect, model, settings, cache.timing_cache(key), say)
        if not built.plan:
            raise EngineError(f"{key.builder} built an empty engine")
        seconds = time.perf_counter() - start_s
        path = cache.store(key, built.plan, {"seconds": round(seconds, 3), "workspace_bytes": workspace})
        cache.store_timing_cache(key, built.timing_cache)
    return Found(built.plan, key, path, True, seconds, workspace)
