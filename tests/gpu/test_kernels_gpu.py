"""The kernels on the device against the codec: the cases of `tests/runtime/test_kernels.py`."""

import numpy as np
import pytest

from runtime.bundle.frame import encode_frame
from runtime.bundle.manifest_types import FORMS, Layout
from runtime.bundle.numeric import quantize
from runtime.engines.cuda import Buffer, Packer, shared_gpu
from tests.helpers.kernel_cases import ORDERS, SHAPES, codes_for, hard_floats, quantizers

pytestmark = pytest.mark.gpu


def frame_on_gpu(array, bits, layout, scale=(), zero_point=()):
    gpu = shared_gpu()
    with gpu.current():
        stream = gpu.driver.Stream()
        buffer, packer = Buffer(gpu, array.shape, array.dtype.name), Packer(gpu, array.shape, array.dtype.name)
        buffer.upload(array, stream)
        size = packer.start(buffer.address, bits, layout, stream, scale, zero_point)
        stream.synchronize()
        return packer.finish(size, bits, layout, "value")


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", SHAPES)
def test_packing_is_the_codecs(shape, bits, dtype):
    codes = codes_for(shape, bits).astype(dtype)
    for form in FORMS:
        assert frame_on_gpu(codes, bits, Layout(form)) == encode_frame(codes, bits, Layout(form))


@pytest.mark.parametrize("order", ORDERS)
def test_channels_in_another_order(order):
    codes = codes_for((2, len(order), 3, 5), 3)
    for form in FORMS:
        assert frame_on_gpu(codes, 3, Layout(form, order)) == encode_frame(codes, 3, Layout(form, order))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_quantizing_is_the_codecs(channels, bits):
    for scale, zero_point in quantizers(channels, bits):
        x = hard_floats((2, 3, 211), scale, bits)
        wanted = encode_frame(quantize(x, scale, zero_point, bits), bits, Layout())
        assert frame_on_gpu(x, bits, Layout(), scale, zero_point) == wanted


def test_a_large_value():
    codes = np.random.RandomState(0).randint(0, 8, size=(1, 256, 56, 56)).astype(np.int32)
    assert frame_on_gpu(codes, 3, Layout()) == encode_frame(codes, 3, Layout())
