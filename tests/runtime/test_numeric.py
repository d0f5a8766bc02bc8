import numpy as np
import pytest

from runtime.bundle.numeric import dequantize, pack_bits, packed_size, quantize, unpack_bits

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


def _qdq_model(oh, types):
    nodes = [
        oh.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        oh.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    inputs = [("x", types.FLOAT, [None]), ("s", types.FLOAT, []), ("z", types.UINT8, [])]
    outputs = [("q", types.UINT8, [None]), ("y", types.FLOAT, [None])]
    graph = oh.make_graph(nodes, "qdq", *[[oh.make_tensor_value_info(*v) for v in vs] for vs in (inputs, outputs)])
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 19)], ir_version=9)


def test_the_example_of_the_format_description():
    assert pack_bits(np.array([5, 2, 7]), 3) == b"\xab\x80"
