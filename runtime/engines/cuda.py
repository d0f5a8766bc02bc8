"""The GPU through pycuda: one context, one stream and memory.

**Threads.** A CUDA context is current on one thread at a time, and pycuda's objects may be touched only where theirs
is. The rule here: a process has one context of the device, the primary one where pycuda knows it (the same that PyTorch
and ONNX Runtime use), and it is current only inside ``with gpu.current():``. Every method of `Gpu` and every object it
makes is used inside such a block; engines enter it at the start of a call and leave it at the end, so a call may come
from any thread, one at a time. A second thread that enters meanwhile gets an error, not another's memory. pycuda is
imported when a `Gpu` is made: a machine without one can import this module.

**Order.** All work is put on one stream, so what an engine leaves on the GPU is there before the next engine reads it;
the host waits only for what it reads itself.
"""

import contextlib
import threading
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ..errors import EngineError
from .kernels import extent_of
from .load_kernels import load_kernels


class Gpu:
    """One CUDA device.

    Parameters
    ----------
    driver : module, optional
        `pycuda.driver`, or what stands in for it.
    load : callable, optional
        Driver -> module with ``get_function``; `load_kernels` if not given.
    number : int
        Of the device.

    Attributes
    ----------
    name : str
    compute_capability : str
        Such as "6.2".

    Raises
    ------
    EngineError
        pycuda is missing, or there is no such device.
    """

    def __init__(self, driver: Any = None, load: Any = None, number: int = 0) -> None:
        if driver is None:
            driver = _pycuda()
        self.driver = driver
        self._load = load or load_kernels
        try:
            driver.init()
            device = driver.Device(number)
            self.name = str(device.name())
            self.compute_capability = "{}.{}".format(*device.compute_capability())
            if hasattr(device, "retain_primary_context"):
                self._context = device.retain_primary_context()
            else:
                self._context = device.make_context()
                driver.Context.pop()
        except driver.Error as exc:
            raise EngineError(
                f"no CUDA device {number}: {exc}", hint="--provider CPUExecutionProvider runs without one"
            ) from exc
        self._owner: Optional[int] = None
        self._depth = 0
        self._lock = threading.Lock()
        self._stream: Any = None
        self._module: Any = None
        self._kernels: Dict[str, Any] = {}
        self._lacks_kernels: Optional[str] = None

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """The context is current on this thread, and on no other; may be nested.

        Raises
        ------
        EngineError
            Another thread is inside.
        """
        me = threading.get_ident()
        with self._lock:
            if self._owner not in (None, me):
                raise EngineError("two threads use one GPU engine at once", hint="one caller at a time")
            self._owner = me
            self._depth += 1
        try:
            self._context.push()
            try:
                yield
            finally:
                self.driver.Context.pop()
        finally:
            with self._lock:
                self._depth -= 1
                if not self._depth:
                    self._owner = None

    @property
    def stream(self) -> Any:
        """The one stream that all work of this process is put on. Inside `current`."""
        if self._stream is None:
            self._stream = self.driver.Stream()
        return self._stream

    def free_bytes(self) -> int:
        """Memory of the device that is free. On a Jetson it is the host's too."""
        with self.current():
            return int(self.driver.mem_get_info()[0])

    def lacks_kernels(self) -> str:
        """Why there are none of `runtime.engines.kernels` here; empty where they are. The first call loads them."""
        if self._lacks_kernels is None:
            with self.current():
                try:
                    self._module, self._lacks_kernels = self._load(self.driver), ""
                except EngineError as exc:
                    self._lacks_kernels = exc.message + (f" ({exc.hint})" if exc.hint else "")
        return self._lacks_kernels

    def kernel(self, name: str) -> Any:
        """One of `runtime.engines.kernels`. Inside `current`.

        Raises
        ------
        EngineError
            There are none here.
        """
        reason = self.lacks_kernels()
        if reason:
            raise EngineError(f"no CUDA kernels on {self.name}: {reason}")
        if name not in self._kernels:
            self._kernels[name] = self._module.get_function(name)
        return self._kernels[name]


class Buffer:
    """One array on the host, page-locked, and its twin on the device. Inside `Gpu.current`."""

    def __init__(self, gpu: Gpu, shape: Sequence[int], dtype: str) -> None:
        # Neither side allocates nothing: an empty array has room for one element.
        count = extent_of(tuple(shape)).elements
        flat = gpu.driver.pagelocked_empty(max(count, 1), np.dtype(dtype))
        self.host: np.ndarray = flat[:count].reshape(tuple(shape))
        self._flat = flat
        self._driver = gpu.driver
        self.device = gpu.driver.mem_alloc(flat.nbytes)

    @property
    def shape(self) -> Tuple[int, ...]:
        """Of the array."""
        return tuple(self.host.shape)

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of the array."""
        return self.host.dtype

    @property
    def address(self) -> int:
        """Of the device's array."""
        return int(self.device)

    def upload(self, array: np.ndarray, stream: Any) -> None:
        """Copy `array` to the device; done when the stream gets there."""
        np.copyto(self.host, array, casting="no")
        self._driver.memcpy_htod_async(self.device, self._flat, stream)

    def download(self, stream: Any) -> None:
        """Copy to `host`; there when the stream was waited for."""
        self._driver.memcpy_dtoh_async(self._flat, self.device, stream)


def _pycuda() -> Any:
    try:
        import pycuda.driver
    except ImportError as exc:
        raise EngineError(
            f"pycuda cannot be used: {exc}",
            hint="pip install pycuda (2022.1 for Python 3.6), on a machine with CUDA and its driver",
        ) from exc
    return pycuda.driver


_shared: Dict[int, Gpu] = {}
_shared_lock = threading.Lock()


def shared_gpu(number: int = 0) -> Gpu:
    """The process's one `Gpu` of a device; see the module.

    Raises
    ------
    EngineError
        As `Gpu` does.
    """
    with _shared_lock:
        if number not in _shared:
            _shared[number] = Gpu(number=number)
        return _shared[number]
