import numpy as np
import pytest

from runtime.bundle.manifest_types import Cut, CutValue
from runtime.errors import LocalProtocolError, RemoteProtocolError
from runtime.tensors import Tensor, to_tensor
from runtime.wire import decode_values, encode_values, wire_spec


def cut_of(*values):
    return Cut("c", "split", "device.onnx", "cloud.onnx", values, (), ("y",))


def packed(bits=3, shape=(1, 2, 5), name="f"):
    return CutValue(name, "float32", shape, "packed", bits, 0.5, 0, name + "_codes")


RAW = CutValue("k", "int64", (1, 3), "raw", 64, 1.0, 0, "k")
JPEG = CutValue("input", "float32", (1, 3, 4, 4), "jpeg", 8, 90.0, 0, "input")


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("shape", [(), (0,), (1, 0, 3), (7,), (1, 2, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_values_come_back(bits, shape, dtype):
    cut = cut_of(packed(bits, shape), RAW)
    codes = np.asarray(np.random.RandomState(bits).randint(0, 1 << bits, shape)).astype(dtype)
    k = np.array([[1, -2, 3]], dtype=np.int64)
    tensors = encode_values(cut, {"f_codes": codes, "k": k, "unrelated": k})
    assert [(t.name, t.datatype) for t in tensors] == [("f_codes", "UINT8"), ("k", "INT64")]
    assert tensors[0].shape == ((codes.size * bits + 7) // 8,) == wire_spec(cut.values[0]).shape
    feed = decode_values(cut, list(reversed(tensors)))
    assert feed["f_codes"].dtype == np.uint8
    assert feed["f_codes"].shape == shape
    assert np.array_equal(feed["f_codes"], codes)
    assert np.array_equal(feed["k"], k)


def test_a_jpeg_travels_as_its_bytes():
    tensors = encode_values(cut_of(JPEG), {"input": np.frombuffer(b"jpeg!", dtype=np.uint8)})
    assert tensors == [Tensor("input", "UINT8", (5,), b"jpeg!")]
    assert decode_values(cut_of(JPEG), tensors)["input"].tobytes() == b"jpeg!"
    assert wire_spec(JPEG).shape == (-1,)


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


GOOD = Tensor("f_codes", "UINT8", (4,), b"\0\0\0\0")


@pytest.mark.parametrize(
    ("value", "tensors", "message"),
    [
        (packed(), [], "carries 0 tensors named otherwise than this cut's 1"),
        (packed(), [GOOD, GOOD], "carries 2 tensors named otherwise"),
        (packed(), [GOOD._replace(name="g")], "carries 1 tensors named otherwise"),
        (packed(), [GOOD._replace(datatype="INT8")], "has datatype INT8, expected UINT8"),
        (packed(), [GOOD._replace(shape=(1, 4))], r"has shape \[1, 4\], expected \[4\]"),
        (packed(), [GOOD._replace(data=b"abc")], "has 3 bytes, expected 4"),
        (packed(), [GOOD._replace(data=b"\0\0\0\1")], "cannot be unpacked: the 2 unused bits of the last byte"),
        (RAW, [to_tensor("k", np.zeros((1, 3), np.int32))], "has datatype INT32, expected INT64"),
        (RAW, [to_tensor("k", np.zeros((3,), np.int64))], r"has shape \[3\], expected \[1, 3\]"),
        (JPEG, [Tensor("input", "UINT8", (0,), b"")], "has 0 bytes, expected a JPEG file of at most 4192"),
        (JPEG, [Tensor("input", "UINT8", (5000,), b"a" * 5000)], "has 5000 bytes, expected a JPEG file"),
    ],
)
def test_what_does_not_suit_the_cut_is_the_peers_mistake(value, tensors, message):
    with pytest.raises(RemoteProtocolError, match=message):
        decode_values(cut_of(value), tensors)
