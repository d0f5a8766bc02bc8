"""A CUDA driver whose device is this machine's memory: pycuda's names, every call checked for a current context.

Kernels are the real source, compiled by gcc (`host_cuda`). Python 3.6-clean.
"""

import ctypes
import threading

import numpy as np


class Error(Exception):
    pass


class Allocation:
    """Device memory: `int()` is its address, as of pycuda's."""

    def __init__(self, size):
        self.array = np.full(size, 0xAA, np.uint8)

    def __int__(self):
        return self.array.ctypes.data


class FakeDriver:
    """What `runtime.engines.cuda` uses of `pycuda.driver`.

    Parameters
    ----------
    primary : bool
        Whether devices have `retain_primary_context`, as since pycuda 2021.1.
    """

    Error = Error

    def __init__(self, name="Fake GPU", capability=(6, 2), primary=True, devices=1, free=1 << 30):
        driver = self
        self.local, self.downloaded, self.initialized, self.free = threading.local(), [], False, free

        class Context:
            def push(self):
                driver.stack().append(self)

            @staticmethod
            def pop():
                driver.stack().pop()

        class Device:
            def __init__(self, number):
                if not driver.initialized or number >= devices:
                    raise Error("cuDeviceGet failed: invalid device ordinal")

            def name(self):
                return name

            def compute_capability(self):
                return capability

        def retain(self):
            return Context()

        def make(self):
            context = Context()
            context.push()
            return context

        if primary:
            Device.retain_primary_context = retain
        else:
            Device.make_context = make

        class Stream:
            handle = 77

            def __init__(self):
                driver.check()

            def synchronize(self):
                driver.check()

        self.Context, self.Device, self.Stream = Context, Device, Stream

    def init(self):
        self.initialized = True

    def stack(self):
        if not hasattr(self.local, "stack"):
            self.local.stack = []
        return self.local.stack

    def check(self):
        if not self.stack():
            raise Error("invalid device context")

    def mem_get_info(self):
        self.check()
        return self.free, 2 * self.free

    def pagelocked_empty(self, shape, dtype):
        self.check()
        return np.empty(shape, dtype)

    def mem_alloc(self, size):
        self.check()
        if size > self.free:
            raise Error("cuMemAlloc failed: out of memory")
        return Allocation(size)

    def memcpy_htod_async(self, device, array, stream):
        self.check()
        assert array.flags.c_contiguous
        ctypes.memmove(int(device), array.ctypes.data, array.nbytes)

    def memcpy_dtoh_async(self, array, device, stream):
        self.check()
        assert array.flags.c_contiguous
        assert array.flags.writeable
        self.downloaded.append(array.nbytes)
        ctypes.memmove(array.ctypes.data, int(device), array.nbytes)


def compiler_of(host_kernels, driver):
    """`compile_kernels` for `Gpu`: the host's."""

    class Module:
        def get_function(self, name):
            def launch(*arguments, block, grid, stream):
                driver.check()
                assert block[1:] == (1, 1)
                assert len(grid) == 2
                host_kernels.run(name, grid[0], block[0], *arguments)

            return launch

    return lambda source: Module()


def array_at(address, dtype, shape):
    """What lies at an address, as an array."""
    count = int(np.prod(shape, dtype=np.int64))
    kind = ctypes.c_uint8 * (count * np.dtype(dtype).itemsize)
    return np.frombuffer(kind.from_address(address), dtype=dtype).reshape(shape)
