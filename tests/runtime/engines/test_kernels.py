"""The CUDA kernels against the codec, byte by byte, on the host; `tests/gpu` runs the same cases on a GPU."""

import shutil

import numpy as np
import pytest

from coachc.runtime.bundle.frame import encode_frame
from coachc.runtime.bundle.manifest_types import FORMS, Layout
from coachc.runtime.bundle.numeric import pack_bits, pack_whole, packed_size, quantize, whole_size
from coachc.runtime.engines.kernels import BLOCK, SOURCE, blocks_for, extent_of
from tests.helpers.kernel_cases import ORDERS, SHAPES, codes_for, hard_floats, quantizers

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    from tests.helpers.host_cuda import HostKernels

    return HostKernels(tmp_path_factory.mktemp("kernels"))


def packed(host, name, array, bits, form, order=(), parameters=(), block=BLOCK):
    extent = extent_of(array.shape)
    size = packed_size(extent.elements, bits) if form == "dense" else whole_size(extent.elements, bits)
    out, refused = np.full(size + 1, 0xAA, np.uint8), np.zeros(1, np.int32)
    orders = np.array(order, np.int32) if order else None
    grid = max(1, -(-size // block))
    arguments = [np.ascontiguousarray(array).reshape(-1), extent.elements, orders, extent.channels, extent.inner, bits]
    host.run(name, grid, block, *(arguments + [int(form == "dense"), size, out, refused] + list(parameters)))
    assert out[size] == 0xAA
    return out[:size].tobytes(), bool(refused[0])


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("shape", SHAPES)
def test_packing_is_the_codecs(host, shape, bits, dtype):
    codes = codes_for(shape, bits).astype(dtype)
    assert packed(host, "pack_" + dtype, codes, bits, "dense") == (pack_bits(codes, bits), False)
    assert packed(host, "pack_" + dtype, codes, bits, "bytes") == (pack_whole(codes, bits), False)


@pytest.mark.parametrize("bits", [2, 3, 5, 8])
@pytest.mark.parametrize("order", ORDERS)
def test_channels_in_another_order_make_the_codecs_frame(host, order, bits):
    for tail in ((), (3,), (2, 5)):
        codes = codes_for((2, len(order)) + tail, bits)
        for form in FORMS:
            frame = encode_frame(codes, bits, Layout(form, order))
            assert packed(host, "pack_uint8", codes, bits, form, order)[0] == frame[2:]


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_code_that_does_not_fit_is_refused_as_the_codec_refuses_it(host, bits):
    codes = codes_for((1, 3, 7), bits).astype(np.int32)
    for wrong in (1 << bits, 255 + (1 << bits), 1 << 30, -1):
        codes[0, 1, 3] = wrong
        with pytest.raises(ValueError, match="does not fit"):
            pack_bits(codes, bits)
        assert packed(host, "pack_int32", codes, bits, "dense")[1]
        assert packed(host, "pack_int32", codes, bits, "bytes")[1]


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_quantizing_is_the_codecs(host, channels, bits):
    for scale, zero_point in quantizers(channels, bits):
        x = hard_floats((2, 3, 211), scale, bits)
        wanted = quantize(x, scale, zero_point, bits)
        scales, zero_points = np.array(scale, np.float32), np.array(zero_point, np.float32)
        extent, codes = extent_of(x.shape), np.full(x.size, 0xAA, np.uint8)
        arguments = (x.reshape(-1), extent.elements, extent.channels, extent.inner, bits, codes, scales, zero_points)
        host.run("quantize_codes", blocks_for(x.size), BLOCK, *(arguments + (scales.size,)))
        np.testing.assert_array_equal(codes.reshape(x.shape), wanted)
        parameters = (scales, zero_points, scales.size)
        for form, pack in (("dense", pack_bits), ("bytes", pack_whole)):
            assert packed(host, "quantize_and_pack", x, bits, form, (), parameters) == (pack(wanted, bits), False)
            if bits == 1:
                continue  # a frame has at least 2
            frame = encode_frame(wanted, bits, Layout(form, (2, 0, 1)))
            assert packed(host, "quantize_and_pack", x, bits, form, (2, 0, 1), parameters)[0] == frame[2:]


@pytest.mark.parametrize("block", [1, 7, 32, 1024])
def test_the_size_of_a_block_changes_nothing(host, block):
    codes = codes_for((1, 5, 9, 11), 3)
    assert packed(host, "pack_uint8", codes, 3, "dense", block=block)[0] == pack_bits(codes, 3)


def test_the_source_leaves_no_rounding_to_compiler_flags():
    code = SOURCE[SOURCE.index("static unsigned code_of") : SOURCE.index("/* Where code k")]
    code = code.replace("/* NaN too */", "")
    assert "__fdiv_rn" in code and "__fadd_rn" in code and "rintf" in code
    assert "*" not in code and "/ scale" not in code


def test_extents():
    assert extent_of(()) == (1, 1, 1)
    assert extent_of((5,)) == (5, 1, 5)
    assert extent_of((2, 3)) == (6, 3, 1)
    assert extent_of((2, 3, 4, 5)) == (120, 3, 20)
    assert extent_of((2, 0, 4)) == (0, 1, 4)
    assert [blocks_for(n) for n in (0, 1, BLOCK, BLOCK + 1)] == [1, 1, 1, 2]
