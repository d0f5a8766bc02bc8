"""The kernels on the device against the codec: the cases of `tests/runtime/test_kernels.py`."""

import numpy as np
import pytest

from coachc.runtime.bundle.frame import Framing, encode_frame
from coachc.runtime.bundle.manifest_types import FORMS, Layout
from coachc.runtime.bundle.numeric import quantize
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from coachc.runtime.engines.cuda import Buffer, shared_gpu
from coachc.runtime.engines.gpu_quantizer import GpuQuantizer
from coachc.runtime.engines.packer import Packer
from tests.helpers.kernel_cases import (
    ORDERS,
    SHAPES,
    codes_for,
    hard_floats,
    quantizers,
    quantizing_cut_of,
    values_for,
)

pytestmark = pytest.mark.gpu


def frame_on_gpu(array, bits, layout, scale=(), zero_point=()):
    gpu = shared_gpu()
    with gpu.current():
        buffer, packer = Buffer(gpu, array.shape, array.dtype.name), Packer(gpu, array.shape, array.dtype.name)
        buffer.upload(array, gpu.stream)
        quantizer = [Buffer(gpu, (len(numbers),), "float32") for numbers in (scale, zero_point) if numbers]
        for given, numbers in zip(quantizer, (scale, zero_point), strict=False):
            given.upload(np.array(numbers, np.float32), gpu.stream)
        size = packer.start(buffer.address, bits, layout, quantizer)
        gpu.stream.synchronize()
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


def test_the_quantizers_of_a_cut_are_the_codecs():
    """Codes, frame and pooled feature of a value that is uploaded, and of one that an engine left on the GPU."""
    cut, gpu = quantizing_cut_of((1, 3, 57, 43)), shared_gpu()
    (value,) = cut.values
    quantizer, x = GpuQuantizer(cut, gpu), values_for(value.shape)
    with gpu.current():
        left = Buffer(gpu, x.shape, "float32")
        left.upload(x, gpu.stream)
    for level in value.levels:
        feed = quantizer_feed(cut, "device", level.bits)
        codes = quantize(x, level.scale, level.zero_point, level.bits)
        made = quantizer.run(dict(feed, v=x))
        np.testing.assert_array_equal(made["v/codes"], codes)
        np.testing.assert_allclose(made["v/feature"], x.astype(np.float64).mean(axis=(2, 3)), rtol=0, atol=1e-6)
        framed = quantizer.run_framed(dict(feed, v=left), {"v/codes": Framing(level.bits, value.layout)})
        assert framed["v/codes"].data == encode_frame(codes, level.bits, value.layout)
        np.testing.assert_array_equal(framed["v/feature"], made["v/feature"])
