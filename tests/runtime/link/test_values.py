import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Cut, CutValue, Layout, Level
from coachc.runtime.errors import BundleError, LocalProtocolError, RemoteProtocolError
from coachc.runtime.link.tensors import Tensor, to_tensor
from coachc.runtime.link.values import decode_values, encode_values, wire_spec


def cut_of(*values, **fields):
    return Cut("c", "split", "device.onnx", "cloud.onnx", values, (), ("y",), **fields)


def packed(bits=3, shape=(1, 2, 5), name="f", others=(), **layout):
    levels = tuple(Level(there, (0.5,), (0,)) for there in sorted((bits,) + others))
    return CutValue(name, "float32", shape, "packed", bits, levels, name + "_codes", Layout(**layout))


RAW = CutValue("k", "int64", (1, 3), "raw", 64, (), "k")
JPEG = CutValue("input", "float32", (1, 3, 4, 4), "jpeg", 8, (), "input", quality=90)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", [(), (0,), (1, 0, 3), (7,), (1, 2, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_values_come_back(bits, shape, dtype):
    cut = cut_of(packed(bits, shape), RAW)
    codes = np.asarray(np.random.RandomState(bits).randint(0, 1 << bits, shape)).astype(dtype)
    k = np.array([[1, -2, 3]], dtype=np.int64)
    tensors = encode_values(cut, {"f_codes": codes, "k": k, "unrelated": k})
    assert [(t.name, t.datatype) for t in tensors] == [("f_codes", "UINT8"), ("k", "INT64")]
    assert tensors[0].shape == (2 + (codes.size * bits + 7) // 8,) == wire_spec(cut, cut.values[0]).shape
    feed, found_bits = decode_values(cut, list(reversed(tensors)))
    assert found_bits == {"f_codes": bits}
    assert feed["f_codes"].dtype == np.uint8
    assert feed["f_codes"].shape == shape
    assert np.array_equal(feed["f_codes"], codes)
    assert np.array_equal(feed["k"], k)


def test_a_jpeg_travels_as_its_bytes():
    tensors = encode_values(cut_of(JPEG), {"input": np.frombuffer(b"jpeg!", dtype=np.uint8)})
    assert tensors == [Tensor("input", "UINT8", (5,), b"jpeg!")]
    assert decode_values(cut_of(JPEG), tensors).arrays["input"].tobytes() == b"jpeg!"
    assert wire_spec(cut_of(JPEG), JPEG).shape == (-1,)


@pytest.mark.parametrize("parameters", ["qdq", "arithmetic"])
def test_values_travel_at_any_of_their_precisions(parameters):
    a = packed(3, others=(2, 8), form="bytes", order=(1, 0), coding="rle", memory_level=4)
    b = packed(4, (1, 2, 4), "g", others=(2,))
    cut = cut_of(a, b, cloud_parameters=parameters)
    assert [wire_spec(cut, value).shape for value in (a, b)] == [(-1,), (-1,)]
    codes = {"f_codes": np.arange(10).reshape(1, 2, 5) % 4, "g_codes": np.arange(8).reshape(1, 2, 4) % 4}
    for bits, expected, sizes in ((None, (3, 4), (7, 6)), (2, (2, 2), (5, 4))):
        tensors = encode_values(cut, codes, bits)
        assert [(t.shape, t.coding, t.memory_level) for t in tensors] == [
            (sizes[:1], "rle", 4),
            (sizes[1:], "none", 9),
        ]
        received = decode_values(cut, tensors)
        assert received.bits == {"f_codes": expected[0], "g_codes": expected[1]}
        assert all(np.array_equal(received.arrays[name], codes[name]) for name in codes)
    # Each value by itself: one at 2 bits, one at 4.
    mixed = [encode_values(cut, codes, 2)[0], encode_values(cut, codes)[1]]
    assert decode_values(cut, mixed).bits == {"f_codes": 2, "g_codes": 4}
    assert encode_values(cut, codes, (2, 4)) == mixed
    with pytest.raises(BundleError, match="sends 2 values, and 1 precisions were given"):
        encode_values(cut, codes, (2,))


def test_a_half_with_constants_takes_the_chosen_precision_only():
    value = packed(3, others=(2,))
    cut = cut_of(value)
    assert wire_spec(cut, value).shape == (6,)
    tensors = encode_values(cut, {"f_codes": np.zeros((1, 2, 5), np.uint8)}, 2)
    with pytest.raises(RemoteProtocolError, match="cannot be unpacked: expected a frame of 3 bits, found 2"):
        decode_values(cut, tensors)


@pytest.mark.parametrize(
    ("value", "outputs", "message"),
    [
        (packed(), {"f": np.zeros(3)}, "the device half made no tensor 'f_codes'"),
        (
            packed(),
            {"f_codes": np.zeros((1, 5, 2), np.uint8)},
            r"made 'f_codes' with shape \[1, 5, 2\], .* \[1, 2, 5\]",
        ),
        (packed(), {"f_codes": np.full((1, 2, 5), 8, np.int32)}, "'f_codes' cannot be packed: code 8 does not fit"),
        (packed(), {"f_codes": np.zeros((1, 2, 5), np.float32)}, "cannot be packed: codes are integers, not float32"),
        (RAW, {"k": np.zeros((1, 3), np.int32)}, "made 'k' as int32, the cut says int64"),
        (JPEG, {"input": np.zeros(99999, np.uint8)}, "the JPEG for 'input' has 99999 bytes, at most 4192"),
    ],
)
def test_a_device_half_of_another_cut_is_our_mistake(value, outputs, message):
    with pytest.raises(LocalProtocolError, match=message):
        encode_values(cut_of(value), outputs)


GOOD = Tensor("f_codes", "UINT8", (6,), b"\x10\3\0\0\0\0")


@pytest.mark.parametrize(
    ("value", "tensors", "message"),
    [
        (packed(), [], "carries 0 tensors named otherwise than this cut's 1"),
        (packed(), [GOOD, GOOD], "carries 2 tensors named otherwise"),
        (packed(), [GOOD._replace(name="g")], "carries 1 tensors named otherwise"),
        (packed(), [GOOD._replace(datatype="INT8")], "has datatype INT8, expected UINT8"),
        (packed(), [GOOD._replace(shape=(1, 6))], r"has shape \[1, 6\], expected \[6\]"),
        (packed(), [GOOD._replace(data=b"\x10\3a")], r"has shape \[6\], expected \[3\]"),
        (
            packed(),
            [GOOD._replace(shape=(3,), data=b"\x10\3a")],
            "expected a frame of 6 bytes .10 codes of 3 bits., found 3",
        ),
        (packed(), [GOOD._replace(data=b"\x10\3\0\0\0\1")], "cannot be unpacked: the 2 unused bits of the last byte"),
        (packed(), [GOOD._replace(data=b"\x11\3\0\0\0\0")], "unpacked: expected a frame of form dense, found bytes"),
        (packed(), [GOOD._replace(data=b"\x10\4\0\0\0\0")], "unpacked: expected a frame of 3 bits, found 4"),
        (RAW, [to_tensor("k", np.zeros((1, 3), np.int32))], "has datatype INT32, expected INT64"),
        (RAW, [to_tensor("k", np.zeros((3,), np.int64))], r"has shape \[3\], expected \[1, 3\]"),
        (JPEG, [Tensor("input", "UINT8", (0,), b"")], "has 0 bytes, expected a JPEG file of at most 4192"),
        (JPEG, [Tensor("input", "UINT8", (5000,), b"a" * 5000)], "has 5000 bytes, expected a JPEG file"),
    ],
)
def test_what_does_not_suit_the_cut_is_the_peers_mistake(value, tensors, message):
    with pytest.raises(RemoteProtocolError, match=message):
        decode_values(cut_of(value), tensors)
