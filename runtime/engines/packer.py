"""One value packed on the GPU: codes, or a float32 value that is quantized on the way; only the frame is downloaded."""

from typing import Dict, Sequence, Tuple

import numpy as np

from ..bundle.frame import FRAME_HEADER_BYTES, frame_header, frame_size
from ..bundle.manifest_types import Layout
from ..errors import EngineError
from .cuda import Buffer, Gpu
from .kernels import BLOCK, PACKERS, blocks_for, extent_of


class Packer:
    """Packs one value into frames. Inside `Gpu.current`.

    Parameters
    ----------
    gpu : Gpu
    shape : tuple of int
    dtype : {"uint8", "int32", "float32"}
        Of what lies on the device.

    Raises
    ------
    EngineError
        There is no kernel for that type.
    """

    def __init__(self, gpu: Gpu, shape: Tuple[int, ...], dtype: str) -> None:
        if dtype not in PACKERS:
            raise EngineError(f"a value of {dtype} cannot be packed on the GPU", hint="expected " + ", ".join(PACKERS))
        self._gpu, self._dtype, self._shape = gpu, dtype, shape
        self._out = Buffer(gpu, (extent_of(shape).elements,), "uint8")
        self._refused = Buffer(gpu, (1,), "int32")
        self._orders: Dict[Tuple[int, ...], Buffer] = {}

    def start(self, address: int, bits: int, layout: Layout, quantizer: Sequence[Buffer] = ()) -> int:
        """Put the packing of what lies at `address` on the stream; the size of the frame without its header.

        `quantizer` is for float32 only: scale and zero point, float32, one each or one per channel.
        """
        extent, dense = extent_of(self._shape), layout.form == "dense"
        size = frame_size(extent.elements, bits, layout.form) - FRAME_HEADER_BYTES
        if not size:
            return 0
        stream = self._gpu.stream
        self._refused.upload(np.zeros(1, np.int32), stream)
        arguments = [
            np.uint64(address),
            np.int64(extent.elements),
            np.uint64(self._order(layout.order)),
            np.int32(extent.channels),
            np.int64(extent.inner),
            np.int32(bits),
            np.int32(dense),
            np.int64(size),
            np.uint64(self._out.address),
            np.uint64(self._refused.address),
        ]
        if self._dtype == "float32":
            scale, zero_point = quantizer
            arguments += [np.uint64(scale.address), np.uint64(zero_point.address), np.int32(scale.host.size)]
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

    def _order(self, order: Tuple[int, ...]) -> int:
        if not order:
            return 0
        if order not in self._orders:
            self._orders[order] = Buffer(self._gpu, (len(order),), "int32")
            self._orders[order].upload(np.array(order, np.int32), self._gpu.stream)
        return self._orders[order].address
