"""Engines that were built here before, found by what they were built from and for.

An engine belongs to one model, one TensorRT, one GPU and one set of flags; the sha256 of all of them is its name, so
one that does not fit is never looked at. Files appear whole: written beside their place, then renamed. A lock file
keeps two processes from building the same engine; the second waits and takes the first one's.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from ..errors import EngineError
from .dialect import Settings

#: Where engines are kept unless a folder is given.
DEFAULT_CACHE = "~/.cache/coachc/engines"
LOOK_S = 0.2


class EngineKey(NamedTuple):
    """What an engine is for.

    Attributes
    ----------
    model_sha256 : str
    builder : str
        Product and version, such as "TensorRT 8.2.1.8".
    gpu : str
        Name of the device.
    compute_capability : str
    flags : str
        Precisions, such as "fp16"; what else changes the engine.
    """

    model_sha256: str
    builder: str
    gpu: str
    compute_capability: str
    flags: str

    @property
    def digest(self) -> str:
        """sha256 in hex over all fields."""
        text = json.dumps(list(self), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def make_key(model: bytes, builder: str, gpu: str, compute_capability: str, settings: Settings) -> EngineKey:
    """The key of an engine. The workspace is no part of it: it limits the build, not the result's use."""
    flags = "+".join(["fp16"] * settings.fp16 + ["int8"] * settings.int8) or "fp32"
    if settings.max_batch > 1:
        flags += f"+batch{settings.opt_batch}of{settings.max_batch}"
    return EngineKey(hashlib.sha256(model).hexdigest(), builder, gpu, compute_capability, flags)


class EngineCache:
    """Engines in a folder: ``<digest>.engine``, and beside it ``<digest>.json`` with the key and the plan's sha256.

    Parameters
    ----------
    folder : str, optional
        `DEFAULT_CACHE` if not given; made when something is stored.
    wait_s : float
        How long to wait for another process that builds the same engine.
    """

    def __init__(self, folder: Optional[str] = None, wait_s: float = 3600.0) -> None:
        self.folder = os.path.expanduser(folder or DEFAULT_CACHE)
        self._wait_s = wait_s

    def path(self, key: EngineKey) -> str:
        """Where the engine of `key` is or will be."""
        return os.path.join(self.folder, key.digest + ".engine")

    def find(self, key: EngineKey) -> Optional[bytes]:
        """The plan of `key`, or None. What does not match its description is no engine: it is built again."""
        described = self.describe(key)
        plan = _read(self.path(key))
        if described is None or plan is None or described.get("key") != list(key):
            return None
        return plan if hashlib.sha256(plan).hexdigest() == described.get("sha256") else None

    def describe(self, key: EngineKey) -> Optional[Dict[str, Any]]:
        """What is known of the engine of `key`: "key", "sha256" and what else was stored with it."""
        data = _read(os.path.join(self.folder, key.digest + ".json"))
        try:
            found = json.loads(data.decode("ascii")) if data is not None else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def store(self, key: EngineKey, plan: bytes, facts: Dict[str, Any]) -> str:
        """Keep a plan; its path.

        Raises
        ------
        EngineError
            The folder cannot be written.
        """
        described = dict(facts, key=list(key), sha256=hashlib.sha256(plan).hexdigest())
        self._write(self.path(key), plan)
        self._write(os.path.join(self.folder, key.digest + ".json"), _json(described))
        return self.path(key)

    def timing_cache_path(self, key: EngineKey) -> str:
        """What was timed by builds with the same TensorRT on the same GPU, for whichever model."""
        about = _json([key.builder, key.gpu, key.compute_capability])
        return os.path.join(self.folder, hashlib.sha256(about).hexdigest()[:16] + ".timings")

    def timing_cache(self, key: EngineKey) -> bytes:
        """Content of that file; empty where there is none."""
        return _read(self.timing_cache_path(key)) or b""

    def store_timing_cache(self, key: EngineKey, data: bytes) -> None:
        """Keep it, unless it is empty."""
        if data:
            self._write(self.timing_cache_path(key), data)

    @contextlib.contextmanager
    def building(self, key: EngineKey, waiting: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Hold the lock of one engine. The kernel lets go of it when a process ends, however it ends.

        Raises
        ------
        EngineError
            Another process holds it for longer than `wait_s`, or the folder cannot be written.
        """
        path = os.path.join(self.folder, key.digest + ".lock")
        deadline = time.time() + self._wait_s
        with self._opened(path) as stream:
            told = False
            while not _locked(stream):
                if not told:
                    waiting(f"another process builds this engine; waiting for it ({path})")
                    told = True
                if time.time() > deadline:
                    raise EngineError(
                        f"another process has been building this engine for {self._wait_s:g} s: {path}",
                        hint="end it, or give another --cache folder",
                    )
                time.sleep(LOOK_S)
            yield

    def _opened(self, path: str) -> Any:
        try:
            os.makedirs(self.folder, exist_ok=True)
            return open(path, "ab")
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _write(self, path: str, data: bytes) -> None:
        try:
            os.makedirs(self.folder, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self.folder, suffix=".partial")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(partial, path)
            except BaseException:
                os.unlink(partial)
                raise
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: OSError) -> EngineError:
        return EngineError(
            f"cannot write the engine cache {self.folder}: {exc.strerror or exc}", hint="give another --cache folder"
        )


def _locked(stream: Any) -> bool:
    import fcntl  # the programs that build run on Linux; reading a cache needs no lock

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _read(path: str) -> Optional[bytes]:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("ascii")
