import numpy as np
import pytest

from coachc.runtime.bundle.numeric import (
    dequantize,
    pack_bits,
    pack_whole,
    packed_size,
    quantize,
    unpack_bits,
    unpack_whole,
    whole_size,
)

SIZES = list(range(34)) + [1000, 4097, 50001]


def slow_pack(codes, bits):
    text = "".join(format(int(code), f"0{bits}b") for code in codes)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[start : start + 8], 2) for start in range(0, len(text), 8))


@pytest.mark.parametrize("bits", range(1, 9))
def test_packing_agrees_with_a_slow_reference_and_comes_back(bits):
    random = np.random.RandomState(bits)
    for size in SIZES:
        codes = random.randint(0, 1 << bits, size).astype(np.uint8)
        packed = pack_bits(codes, bits)
        assert packed == slow_pack(codes, bits), (bits, size)
        assert len(packed) == packed_size(size, bits)
        back = unpack_bits(packed, size, bits)
        assert back.dtype == np.uint8
        assert np.array_equal(back, codes), (bits, size)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16"])
def test_packing_takes_wider_integers_and_any_shape(bits, dtype):
    codes = np.arange(24).reshape(2, 3, 4) % (1 << bits)
    assert pack_bits(codes.astype(dtype), bits) == slow_pack(codes.reshape(-1), bits)


@pytest.mark.parametrize("bits", range(1, 8))
def test_a_code_that_does_not_fit_is_refused(bits):
    with pytest.raises(ValueError, match=rf"code {1 << bits} does not fit in {bits} bits"):
        pack_bits(np.array([0, 1 << bits], dtype=np.uint8), bits)
    with pytest.raises(ValueError, match=f"code -1 does not fit in {bits} bits"):
        pack_bits(np.array([-1], dtype=np.int32), bits)


def test_wide_and_real_codes_are_refused():
    with pytest.raises(ValueError, match="code 256 does not fit in 8 bits"):
        pack_bits(np.array([256], dtype=np.int32), 8)
    with pytest.raises(ValueError, match="codes are integers, not float32"):
        pack_bits(np.zeros(3, np.float32), 8)
    for bits in (0, 9):
        with pytest.raises(ValueError, match=f"bits are 1 to 8, not {bits}"):
            pack_bits(np.zeros(3, np.uint8), bits)
        with pytest.raises(ValueError, match=f"bits are 1 to 8, not {bits}"):
            unpack_bits(b"", 0, bits)


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacking_refuses_wrong_lengths_and_padding(bits):
    packed = pack_bits(np.zeros(5, np.uint8), bits)
    for data in (packed[:-1], packed + b"\0"):
        message = f"5 codes of {bits} bits take {len(packed)} bytes, got {len(data)}"
        with pytest.raises(ValueError, match=message):
            unpack_bits(data, 5, bits)
    unused = 8 * len(packed) - 5 * bits
    for bit in range(unused):
        with pytest.raises(ValueError, match=f"the {unused} unused bits of the last byte are not zero"):
            unpack_bits(packed[:-1] + bytes([1 << bit]), 5, bits)


def slow_pack_whole(codes, bits):
    per_byte = 8 // bits
    codes = [int(code) for code in codes] + [0] * (-len(codes) % per_byte)
    joined = []
    for start in range(0, len(codes), per_byte):
        byte = 0
        for code in codes[start : start + per_byte]:
            byte = byte << bits | code
        joined.append(byte)
    return bytes(joined)


@pytest.mark.parametrize("bits", range(1, 9))
def test_packing_whole_codes_agrees_with_a_slow_reference_and_comes_back(bits):
    random = np.random.RandomState(bits)
    for size in SIZES:
        for top in (1, 1 << bits):  # all zero; all there are
            codes = random.randint(0, top, size).astype(np.uint8)
            packed = pack_whole(codes, bits)
            assert packed == slow_pack_whole(codes, bits), (bits, size)
            assert len(packed) == whole_size(size, bits)
            back = unpack_whole(packed, size, bits)
            assert back.dtype == np.uint8
            assert np.array_equal(back, codes), (bits, size)
            if 8 % bits == 0:
                assert packed == slow_pack(codes, bits)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16"])
def test_packing_whole_codes_takes_wider_integers_and_any_shape(bits, dtype):
    codes = np.arange(24).reshape(2, 3, 4) % (1 << bits)
    assert pack_whole(codes.astype(dtype), bits) == slow_pack_whole(codes.reshape(-1), bits)
    assert pack_whole(codes.astype(dtype).transpose(2, 0, 1), bits) == slow_pack_whole(
        codes.transpose(2, 0, 1).reshape(-1), bits
    )
    if bits < 8 or dtype != "uint8":
        for position in range(24):
            large = codes.reshape(-1).astype(dtype)
            large[position] = 1 << bits
            with pytest.raises(ValueError, match=f"code {1 << bits} does not fit in {bits} bits"):
                pack_whole(large, bits)


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacking_whole_codes_refuses_wrong_lengths_and_stray_bits(bits):
    codes = np.zeros(13, np.uint8)
    packed = pack_whole(codes, bits)
    for data in (packed[:-1], packed + b"\0"):
        message = f"13 codes of {bits} bits take {len(packed)} bytes, got {len(data)}"
        with pytest.raises(ValueError, match=message):
            unpack_whole(data, 13, bits)
    per_byte = 8 // bits
    for position in range(len(packed)):
        for bit in range(8):
            stray = packed[:position] + bytes([1 << bit]) + packed[position + 1 :]
            place = position * per_byte + per_byte - 1 - bit // bits
            if bit < per_byte * bits and place < 13:
                assert unpack_whole(stray, 13, bits)[place] == 1 << bit % bits
            else:
                with pytest.raises(ValueError, match=r"the \d unused (high )?bits of (a|the last) byte are not zero"):
                    unpack_whole(stray, 13, bits)
    for wrong in (0, 9):
        with pytest.raises(ValueError, match=f"bits are 1 to 8, not {wrong}"):
            pack_whole(codes, wrong)
        with pytest.raises(ValueError, match=f"bits are 1 to 8, not {wrong}"):
            unpack_whole(b"", 0, wrong)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", [(1, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 2, 3), (2, 3, 0), (2, 1, 4)], ids=str)
def test_a_quantizer_per_channel_is_one_quantizer_for_each_channel(bits, shape):
    random = np.random.RandomState(bits)
    x = (random.standard_normal(shape) * 3).astype(np.float32)
    scale = tuple(float(step) for step in random.uniform(0.01, 0.5, shape[1]))
    zero_point = tuple(int(zero) for zero in random.randint(0, 1 << bits, shape[1]))
    codes = quantize(x, scale, zero_point, bits)
    back = dequantize(codes, scale, zero_point)
    assert (codes.dtype, codes.shape, back.dtype, back.shape) == (np.uint8, shape, np.float32, shape)
    for channel in range(shape[1]):
        alone = quantize(x[:, channel], scale[channel], zero_point[channel], bits)
        assert np.array_equal(codes[:, channel], alone)
        assert np.array_equal(back[:, channel], dequantize(alone, scale[channel], zero_point[channel]))
    assert np.array_equal(quantize(x, scale[:1], zero_point[:1], bits), quantize(x, scale[0], zero_point[0], bits))
    assert np.array_equal(dequantize(codes, list(scale[:1]), [1]), dequantize(codes, np.float32(scale[0]), np.int64(1)))


def test_as_many_quantizers_as_channels():
    for x in (np.zeros(3), np.zeros((1, 2)), np.zeros(())):
        with pytest.raises(ValueError, match=r"3 quantizer parameters for shape .*: expected 1, or one per channel"):
            quantize(x, (1.0, 2.0, 3.0), 0, 4)
        with pytest.raises(ValueError, match="3 quantizer parameters for shape"):
            dequantize(x.astype(np.uint8), 1.0, (1, 2, 3))
    assert quantize(np.zeros((1, 0)), (), (), 4).shape == (1, 0)


@pytest.mark.parametrize("bits", range(2, 9))
def test_odd_numbers_have_defined_codes(bits):
    qmax = (1 << bits) - 1
    tiny = np.float32(1e-45)  # the smallest there is
    x = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, 3.4e38, -3.4e38]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert quantize(x, 1.0, 1, bits).tolist() == [[0, qmax, 0, 1, 1, 1, 1, qmax, 0]]
        assert quantize(x, (1.0,) * 9, (1,) * 9, bits).tolist() == [[0, qmax, 0, 1, 1, 1, 1, qmax, 0]]
        assert quantize(x, 1e-45, 1, bits).tolist() == [[0, qmax, 0, 1, 1, 2, 0, qmax, 0]]
        assert quantize(np.float32(np.nan), 1.0, 3, bits).tolist() == 0
        assert dequantize(np.array([[0, 1, 2]]), 1e-45, 1).tolist() == [[-float(tiny), 0.0, float(tiny)]]


def test_quantize_by_hand():
    # scale 0.5, zero point 2: halves (1.5 / 0.5 = 3 exactly; 0.25 / 0.5 = 0.5) go to the even neighbour.
    x = np.array([0.0, 0.25, 0.75, 1.25, -0.25, -1.0, -9.0, 99.0, np.inf, -np.inf, np.nan], dtype=np.float32)
    assert quantize(x, 0.5, 2, 3).tolist() == [2, 2, 4, 4, 2, 0, 0, 7, 7, 0, 0]
    assert dequantize(np.array([0, 2, 7], dtype=np.uint8), 0.5, 2).tolist() == [-1.0, 0.0, 2.5]
    assert quantize(np.float32(1.0), 0.5, 0, 4).shape == ()
    assert quantize(np.zeros((0, 3), np.float32), 0.5, 0, 4).shape == (0, 3)
    with np.errstate(all="raise"):
        assert quantize(np.array([3e38], np.float32), 1e-3, 0, 8).tolist() == [255]


def cases():
    random = np.random.RandomState(11)
    for bits in range(1, 9):
        for scale in (0.013, 0.5, 1.0, 3.7e-5):
            for zero_point in (0, (1 << bits) // 2, (1 << bits) - 1):
                ties = (np.arange(-300, 300) + 0.5) * scale
                x = np.concatenate([random.randn(500) * scale * (1 << bits), ties]).astype(np.float32)
                yield bits, scale, zero_point, x


@pytest.mark.needs("onnx")
def test_quantize_agrees_with_onnx_on_values_clipped_to_the_range():
    import onnx.helper as oh
    from onnx import TensorProto
    from onnx.reference import ReferenceEvaluator

    engines = [ReferenceEvaluator(_qdq_model(oh, TensorProto)).run]
    try:
        import onnxruntime as ort

        data = _qdq_model(oh, TensorProto).SerializeToString()
        engines.append(ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run)
    except ImportError:
        pass
    for bits, scale, zero_point, x in cases():
        low, high = (0 - zero_point) * np.float32(scale), ((1 << bits) - 1 - zero_point) * np.float32(scale)
        codes = quantize(x, scale, zero_point, bits)
        feed = {"x": np.clip(x, low, high), "s": np.float32(scale), "z": np.uint8(zero_point)}
        feed = {name: np.asarray(value) for name, value in feed.items()}
        for run in engines:
            onnx_codes, onnx_back = run(None, feed)
            assert np.array_equal(codes, onnx_codes), (bits, scale, zero_point)
            assert np.array_equal(dequantize(codes, scale, zero_point), onnx_back), (bits, scale, zero_point)


@pytest.mark.needs("onnx")
def test_quantize_agrees_with_onnx_per_channel():
    import onnx.helper as oh
    from onnx import TensorProto
    from onnx.reference import ReferenceEvaluator

    random = np.random.RandomState(5)
    for shape in ((2, 3), (2, 3, 4, 5), (1, 3, 2, 2, 2)):
        x = (random.standard_normal(shape) * 40).astype(np.float32)
        scale, zero_point = random.uniform(0.1, 1, 3).astype(np.float32), np.array([0, 7, 255], np.uint8)
        run = ReferenceEvaluator(_qdq_model(oh, TensorProto, len(shape), axis=1)).run
        onnx_codes, onnx_back = run(None, {"x": x, "s": scale, "z": zero_point})
        codes = quantize(x, scale, zero_point, 8)
        assert np.array_equal(codes, onnx_codes)
        assert np.array_equal(dequantize(codes, scale, zero_point), onnx_back)


def _qdq_model(oh, types, rank=1, **axis):
    nodes = [
        oh.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **axis),
        oh.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **axis),
    ]
    free, parameters = [None] * rank, [None] if axis else []
    inputs = [("x", types.FLOAT, free), ("s", types.FLOAT, parameters), ("z", types.UINT8, parameters)]
    outputs = [("q", types.UINT8, free), ("y", types.FLOAT, free)]
    graph = oh.make_graph(nodes, "qdq", *[[oh.make_tensor_value_info(*v) for v in vs] for vs in (inputs, outputs)])
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 19)], ir_version=9)


def test_the_example_of_the_format_description():
    assert pack_bits(np.array([5, 2, 7]), 3) == b"\xab\x80"
