"""The GPU through pycuda: one context, its streams and memory, and the kernels that pack.

**Threads.** A CUDA context is current on one thread at a time, and pycuda's objects may be touched only where theirs
is. The rule here: a process has one context of the device, the primary one where pycuda knows it (the same that PyTorch
and ONNX Runtime use), and it is current only inside ``with gpu.current():``. Every method of `Gpu` and every object it
makes is used inside such a block; engines enter it at the start of a call and leave it at the end, so a call may come
from any thread, one at a time. A second thread that enters meanwhile gets an error, not another's memory. pycuda is
imported when a `Gpu` is made: a machine without one can import this module.
"""

import contextlib
import threading
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from runtime.bundle.frame import FRAME_HEADER_BYTES, frame_header, frame_size
from runtime.bundle.manifest_types import Layout
from runtime.engines.kernels import BLOCK, PACKERS, SOURCE, blocks_for, extent_of
from runtime.errors import EngineError


class Gpu:
    """One CUDA device.

    Parameters
    ----------
    driver : module, optional
        `pycuda.driver`, or what stands in for it.
    compile_kernels : callable, optional
        Source -> module with ``get_function``; pycuda's compiler (nvcc) if not given.
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

    def __init__(self, driver: Any = None, compile_kernels: Any = None, number: int = 0) -> None:
        if driver is None:
            driver = _pycuda()
        self.driver = driver
        self._compile = compile_kernels or _source_module
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
        self._kernels: Dict[str, Any] = {}

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

    def free_bytes(self) -> int:
        """Memory of the device that is free. On a Jetson it is the host's too."""
        with self.current():
            return int(self.driver.mem_get_info()[0])

    def kernel(self, name: str) -> Any:
        """One of `runtime.engines.kernels`, compiled when the first is asked for. Inside `current`."""
        if not self._kernels:
            module = self._compile(SOURCE)
            self._kernels["module"] = module
        if name not in self._kernels:
            self._kernels[name] = self._kernels["module"].get_function(name)
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
    def address(self) -> int:
        return int(self.device)

    def upload(self, array: np.ndarray, stream: Any) -> None:
        """Copy `array` to the device; done when the stream gets there."""
        np.copyto(self.host, array, casting="no")
        self._driver.memcpy_htod_async(self.device, self._flat, stream)

    def download(self, stream: Any) -> None:
        """Copy to `host`; there when the stream was waited for."""
        self._driver.memcpy_dtoh_async(self._flat, self.device, stream)


class Packer:
    """Packs one value on the GPU into a frame; only the frame crosses to the host.

    Parameters
    ----------
    gpu : Gpu
    shape : tuple of int
    dtype : {"uint8", "int32", "float32"}
        Of what lies on the device: codes, or a value that is quantized on the way.
    """

    def __init__(self, gpu: Gpu, shape: Tuple[int, ...], dtype: str) -> None:
        if dtype not in PACKERS:
            raise EngineError(f"a value of {dtype} cannot be packed on the GPU", hint="expected " + ", ".join(PACKERS))
        self._gpu, self._dtype, self._shape = gpu, dtype, shape
        self._out = Buffer(gpu, (extent_of(shape).elements,), "uint8")
        self._refused = Buffer(gpu, (1,), "int32")
        self._orders: Dict[Tuple[int, ...], Buffer] = {}
        self._parameters = [Buffer(gpu, (max(shape[1:2] or (1,)) or 1,), "float32") for _ in range(2)]

    def start(
        self,
        address: int,
        bits: int,
        layout: Layout,
        stream: Any,
        scale: Sequence[float] = (),
        zero_point: Sequence[int] = (),
    ) -> int:
        """Put the packing of what lies at `address` on a stream; the size of the frame without its header.

        `scale` and `zero_point` are for float32 only: one, or one per channel.
        """
        extent, dense = extent_of(self._shape), layout.form == "dense"
        size = frame_size(extent.elements, bits, layout.form) - FRAME_HEADER_BYTES
        if not size:
            return 0
        self._refused.upload(np.zeros(1, np.int32), stream)
        order = self._order(layout.order, stream)
        arguments = [
            np.uint64(address),
            np.int64(extent.elements),
            np.uint64(order),
            np.int32(extent.channels),
            np.int64(extent.inner),
            np.int32(bits),
            np.int32(dense),
            np.int64(size),
            np.uint64(self._out.address),
            np.uint64(self._refused.address),
        ]
        if self._dtype == "float32":
            for buffer, numbers in zip(self._parameters, (scale, zero_point)):
                array = np.zeros(buffer.host.shape, np.float32)
                array[: len(numbers)] = np.asarray(numbers, np.float32)
                buffer.upload(array, stream)
                arguments.append(np.uint64(buffer.address))
            arguments.append(np.int32(len(scale)))
        kernel = self._gpu.kernel(PACKERS[self._dtype])
        kernel(*arguments, block=(BLOCK, 1, 1), grid=(blocks_for(size), 1), stream=stream)
        self._refused.download(stream)
        # Only what was packed, not what there is room for.
        self._gpu.driver.memcpy_dtoh_async(self._out.host[:size], self._out.device, stream)
        return size

    def finish(self, size: int, bits: int, layout: Layout, name: str) -> bytes:
        """The frame, once the stream was waited for.

        Raises
        ------
        EngineError
            A code does not fit in `bits`.
        """
        if size and int(self._refused.host[0]):
            raise EngineError(f"'{name}' has a code that does not fit in {bits} bits", hint="recompile the bundle")
        return frame_header(bits, layout) + self._out.host[:size].tobytes()

    def _order(self, order: Tuple[int, ...], stream: Any) -> int:
        if not order:
            return 0
        if order not in self._orders:
            self._orders[order] = Buffer(self._gpu, (len(order),), "int32")
            self._orders[order].upload(np.array(order, np.int32), stream)
        return self._orders[order].address


def _pycuda() -> Any:
    try:
        import pycuda.driver
    except ImportError as exc:
        raise EngineError(
            f"pycuda cannot be used: {exc}",
            hint="pip install pycuda (below 2021.1 on JetPack 4.6), on a machine with CUDA and its driver",
        ) from exc
    return pycuda.driver


def _source_module(source: str) -> Any:
    from pycuda.compiler import SourceModule

    return SourceModule(source)


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
