import json
import zlib

import numpy as np
import pytest

from coachc.runtime.bundle.deflate import deflate
from coachc.runtime.bundle.manifest_types import CutValue, Layout, Level, TensorSpec
from coachc.runtime.errors import LocalProtocolError, RemoteProtocolError
from coachc.runtime.link import protocol
from coachc.runtime.link.protocol import HEADER_LENGTH, Limits
from coachc.runtime.link.message_header import DATATYPES
from coachc.runtime.link.tensors import Tensor, datatype_of, to_array, to_tensor
from coachc.runtime.link.values import decode_values
from tests.helpers.runtime_bundles import LEVELS, make_manifest

ROOMY = Limits(1 << 20, 1 << 16)


def request(**changes):
    """An encoded request whose JSON header went through `changes`: field of the first input -> value."""
    tensor = to_tensor("x", np.arange(6, dtype=np.int16).reshape(2, 3))
    headers, body, _ = protocol.encode_request([tensor], ["y"], "7")
    header = json.loads(body[: int(headers[HEADER_LENGTH])].decode())
    for name, value in changes.items():
        if value is None:
            del header["inputs"][0][name]
        else:
            header["inputs"][0][name] = value
    return with_header(header, bytes(tensor.data))


def with_header(header, payload=b""):
    text = json.dumps(header).encode()
    return {HEADER_LENGTH: str(len(text))}, text + payload


def test_request_is_what_the_standard_says():
    headers, body, payload_bytes = protocol.encode_request([Tensor("x", "UINT8", (3,), b"abc")], ["y"], "7")
    text = body[: int(headers["Inference-Header-Content-Length"])]
    assert text == (
        b'{"inputs":[{"name":"x","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}}],"id":"7",'
        b'"outputs":[{"name":"y","parameters":{"binary_data":true}}]}'
    )
    assert body[len(text) :] == b"abc"
    assert (payload_bytes, "Content-Encoding" in headers) == (3, False)


@pytest.mark.parametrize("dtype", sorted(DATATYPES.values()))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_tensors_come_back(dtype, shape):
    array = np.asarray(np.random.RandomState(3).randint(0, 2, shape)).astype(dtype)
    tensors = [to_tensor("a", array), to_tensor("b", array.astype(array.dtype.newbyteorder(">")))]
    headers, body, _ = protocol.encode_request(tensors, ["y"], "id")
    decoded = protocol.decode_request({name.lower(): value for name, value in headers.items()}, body, ROOMY)
    assert (decoded.request_id, decoded.outputs) == ("id", ("y",))
    headers, body, _ = protocol.encode_response("model", decoded.tensors, "id")
    for tensor in protocol.decode_response(headers, body, ROOMY):
        back = to_array(tensor, TensorSpec(tensor.name, dtype, shape))
        assert back.dtype == np.dtype(dtype)
        assert np.array_equal(back, array)
    assert DATATYPES[datatype_of(dtype)] == dtype


def test_numbers_travel_little_endian():
    assert to_tensor("x", np.array([1], dtype=">i4")).data == b"\1\0\0\0"
    with pytest.raises(LocalProtocolError, match="tensor 'x' has dtype complex64, which cannot travel"):
        to_tensor("x", np.zeros(1, np.complex64))


def test_booleans_are_zero_or_not():
    back = to_array(Tensor("x", "BOOL", (3,), b"\0\1\7"), TensorSpec("x", "bool", (3,)))
    assert back.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor("x", "FP32", (2, 3), b"\0" * 12), "tensor 'x' has datatype FP32, expected INT16"),
        (Tensor("x", "INT16", (3, 2), b"\0" * 12), r"tensor 'x' has shape \[3, 2\], expected \[2, 3\]"),
        (Tensor("x", "INT16", (2, 3), b"\0" * 10), "tensor 'x' has 10 bytes, expected 12"),
    ],
)
def test_unexpected_tensors_are_refused(tensor, message):
    with pytest.raises(RemoteProtocolError, match=message):
        to_array(tensor, TensorSpec("x", "int16", (2, 3)))


@pytest.mark.parametrize(
    ("message_bytes", "expected"),
    [
        (request(datatype="BYTES"), "tensor 'x' has unknown datatype 'BYTES'"),
        (request(datatype=None), "no valid 'datatype'"),
        (request(name=3), "no valid 'name'"),
        (request(shape=None), "no valid 'shape'"),
        (request(shape=[2.0, 3]), "tensor 'x' has no usable shape"),
        (request(shape=[True]), "tensor 'x' has no usable shape"),
        (request(shape=[-1]), "tensor 'x' has no usable shape"),
        (request(shape=[1 << 40]), "tensor 'x' has no usable shape"),
        (request(shape=[1] * 33), "tensor 'x' has no usable shape"),
        (request(parameters=None, data=[1, 2, 3]), "tensor 'x' has no binary data"),
        (request(parameters=[]), "no valid 'parameters'"),
        (request(parameters={"binary_data_size": True}), "tensor 'x' has no binary data"),
        (request(parameters={"binary_data_size": -1}), "tensor 'x' has no binary data"),
        (request(parameters={"binary_data_size": 13}), "tensor 'x' ends after the body"),
        (request(parameters={"binary_data_size": 1 << 60}), "tensor 'x' ends after the body"),
        (request(parameters={"binary_data_size": 11}), "1 bytes follow the last tensor"),
        (({}, b""), "not valid JSON"),
        (({}, b"\xff"), "not valid JSON"),
        (({}, b"[" * 60000), "not valid JSON"),
        (({}, b"1" * 60000), "not valid JSON|not an object"),
        (({}, b"[]"), "the JSON header is not an object"),
        (({}, b"{}"), "no valid 'inputs'"),
        (({HEADER_LENGTH: "3"}, b"{}"), "Inference-Header-Content-Length is '3', body 2 bytes"),
        (({HEADER_LENGTH: "-1"}, b"{}"), "Inference-Header-Content-Length is '-1'"),
        (({HEADER_LENGTH: "\xb2"}, b"{}"), "Inference-Header-Content-Length is"),
        (({HEADER_LENGTH: "9" * 30}, b"{}"), "Inference-Header-Content-Length is"),
        (({"Content-Encoding": "gzip"}, b"{}"), "Content-Encoding gzip is not supported"),
        (({"Content-Encoding": "deflate"}, b"{}"), "the deflated body is not a zlib stream"),
        (({"Content-Encoding": "deflate"}, b""), "the deflated body is a zlib stream that does not end within its 0"),
        (({"Content-Encoding": "deflate"}, deflate([(b"{}", "none", 9)])), "no valid 'inputs'"),
        (
            ({"Content-Encoding": "deflate"}, deflate([(b" " * ((1 << 20) + 1), "rle", 9)])),
            "the deflated body is a zlib stream of more than 1048576 bytes",
        ),
        (
            ({"Content-Encoding": "deflate"}, b" " * ((1 << 20) + 1025)),
            "deflated body of 1049601 bytes, at most 1049600 expected",
        ),
        (
            ({HEADER_LENGTH: "3", "Content-Encoding": "Deflate"}, deflate([(b"{}", "default", 8)])),
            "Inference-Header-Content-Length is '3', body 2 bytes",
        ),
        (({}, b" " * ((1 << 20) + 1)), "body of 1048577 bytes, at most 1048576 expected"),
        (({}, b" " * ((1 << 16) + 1)), "JSON header of 65537 bytes, at most 65536 expected"),
        (with_header({"inputs": [], "id": 3}), "no valid 'id'"),
        (with_header({"inputs": [], "outputs": 3}), "no valid 'outputs'"),
        (with_header({"inputs": [], "outputs": [{"name": "y"}]}), "output 'y' is asked for as JSON"),
        (with_header({"inputs": [[]]}), "no valid 'name'"),
    ],
)
def test_malformed_requests_are_refused(message_bytes, expected):
    with pytest.raises(RemoteProtocolError, match=expected):
        protocol.decode_request(message_bytes[0], message_bytes[1], ROOMY)


def test_other_clients_ways_to_ask_for_binary_outputs():
    every = {"inputs": [], "parameters": {"binary_data_output": True}}
    assert protocol.decode_request(*with_header(every), limits=ROOMY).outputs == ()
    every["outputs"] = [{"name": "y"}]
    assert protocol.decode_request(*with_header(every), limits=ROOMY).outputs == ("y",)


def test_random_and_mutated_bodies_only_ever_raise_our_error():
    random = np.random.RandomState(20240101)
    cut = make_manifest().cuts[0]
    codes = Tensor("features_codes", "UINT8", (26,), b"\x10\4" + bytes(bytearray(range(24))))
    headers, good, _ = protocol.encode_request([codes], ["scores"], "1")
    limits = protocol.request_limits(cut)
    accepted = 0
    for _ in range(2000):
        body = bytearray(good)
        for _ in range(random.randint(1, 6)):
            kind = random.randint(4)
            position = random.randint(len(body)) if body else 0
            if kind == 0 and body:
                body[position] = random.randint(256)
            elif kind == 1:
                body[position:position] = bytes(random.randint(0, 256, random.randint(1, 9)).astype(np.uint8))
            elif kind == 2:
                del body[position : position + random.randint(1, 40)]
            else:
                body = bytearray(random.randint(0, 256, random.randint(0, 200)).astype(np.uint8).tobytes())
        sent = dict(headers)
        if random.randint(2):
            sent[HEADER_LENGTH] = str(random.randint(-2, len(body) + 3))
        try:
            request_ = protocol.decode_request(sent, bytes(body), limits)
            decode_values(cut, request_.tensors)
            accepted += 1
        except RemoteProtocolError:
            pass
        try:
            protocol.decode_response(sent, bytes(body), limits)
        except RemoteProtocolError:
            pass
    assert accepted < 400


def test_limits_are_the_payload_and_an_allowance_for_json():
    packed, _, raw, jpeg = make_manifest().cuts
    for cut, payload in ((packed, 26), (raw, 192), (jpeg, 2 * 48 + 4096)):
        limits = protocol.request_limits(cut)
        assert limits.body_bytes - limits.json_bytes == payload
        assert protocol.request_limit_bytes(cut) == limits.body_bytes
        assert limits.json_bytes < 8192
        assert limits.received_bytes == limits.body_bytes + 1024
    assert protocol.response_limits([TensorSpec("y", "float64", (2, 3))]).body_bytes == 4096 + 1024 + 12 + 48


def test_the_allowance_holds_for_long_names_and_many_tensors():
    name = "\U0001f600" * 300
    value = CutValue(name, "float32", (5,), "packed", 3, (Level(3, (1.0,), (0,)),), name)
    cut = make_manifest().cuts[0]._replace(values=(value,) * 40, cloud_outputs=(name,) * 40)
    tensors = [Tensor(name, "UINT8", (4,), b"abcd")] * 40
    headers, body, _ = protocol.encode_request(tensors, cut.cloud_outputs, "1" * 64)
    assert len(protocol.decode_request(headers, body, protocol.request_limits(cut)).tensors) == 40


def coded(coding="huffman", data=b"\0\1" * 3000, **fields):
    return Tensor("x", "UINT8", (len(data),), data, coding, **fields)


@pytest.mark.parametrize("coding", ["huffman", "rle", "filtered"])
@pytest.mark.parametrize("memory_level", [1, 9])
def test_a_coded_request_is_deflated_as_a_whole(coding, memory_level):
    plain = protocol.encode_request([coded("none")], ["y"], "7")
    headers, body, payload_bytes = protocol.encode_request([coded(coding, memory_level=memory_level)], ["y"], "7")
    assert headers == dict(plain.headers, **{"Content-Encoding": "deflate"})
    assert zlib.decompress(body) == plain.body  # what a stock server does with it
    assert payload_bytes < 2000
    assert payload_bytes + 6 < len(body) < payload_bytes + 6 + 150
    request_ = protocol.decode_request(headers, body, ROOMY)
    assert [(t.name, t.datatype, t.shape, bytes(t.data)) for t in request_.tensors] == [
        ("x", "UINT8", (6000,), b"\0\1" * 3000)
    ]


def test_tensors_without_coding_ride_along_uncoded():
    noise = np.random.RandomState(0).randint(0, 256, 70000).astype(np.uint8).tobytes()
    tensors = [coded("none", noise)._replace(name="a"), coded()._replace(name="b"), to_tensor("c", np.zeros((0, 2)))]
    headers, body, payload_bytes = protocol.encode_request(tensors, ["y"])
    assert noise[:30000] in body
    assert 70000 < payload_bytes < 72000
    back = protocol.decode_request(headers, body, ROOMY).tensors
    assert [bytes(tensor.data) for tensor in back] == [tensor.data for tensor in tensors]


def test_a_request_that_coding_does_not_make_smaller_travels_plain():
    noise = np.random.RandomState(0).randint(0, 256, 300000).astype(np.uint8).tobytes()
    message = protocol.encode_request([coded("huffman", noise)], ["y"])
    assert message == protocol.encode_request([coded("none", noise)], ["y"])
    assert message.payload_bytes == len(noise)


def test_any_zlib_stream_is_taken_but_responses_are_not_coded():
    headers, body, _ = protocol.encode_request([coded("none")], ["y"], "7")
    headers["content-encoding"] = "deflate"
    limits = Limits(len(body), 1 << 16)
    for level in (0, 1, 9):
        packed = zlib.compress(body, level)
        assert protocol.decode_request(headers, packed, limits).tensors[0].data == b"\0\1" * 3000
    with pytest.raises(RemoteProtocolError, match=f"a zlib stream of more than {len(body) - 1} bytes"):
        protocol.decode_request(headers, packed, Limits(len(body) - 1, 1 << 16))
    with pytest.raises(RemoteProtocolError, match="the deflated body is a zlib stream with 1 bytes after it"):
        protocol.decode_request(headers, packed + b"x", limits)
    with pytest.raises(RemoteProtocolError, match="the deflated body is a zlib stream that does not end within its"):
        protocol.decode_request(headers, packed[:-1], limits)
    with pytest.raises(RemoteProtocolError, match="Content-Encoding deflate is not supported"):
        protocol.decode_response(headers, packed, limits)


def test_limits_allow_the_highest_precision_that_is_accepted():
    for parameters, payload in (("", 26), ("qdq", 50)):
        for form in ("dense", "bytes"):
            cut = make_manifest(levels=LEVELS, layout=Layout(form), parameters=parameters).cuts[0]
            limits = protocol.request_limits(cut)
            assert limits.body_bytes - limits.json_bytes == payload
    cut = make_manifest(bits=3, layout=Layout("bytes", (0, 1, 2), "huffman")).cuts[0]
    assert protocol.value_limit_bytes(cut, cut.values[0]) == 26
