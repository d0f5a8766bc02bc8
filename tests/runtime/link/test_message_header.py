"""The bytes that are counted beside the tensors, against messages that are really written."""

import numpy as np
import pytest

from coachc.runtime.link.message_header import answer_bytes, request_header_bytes, tensor_header_bytes
from coachc.runtime.link.protocol import encode_request, encode_response
from coachc.runtime.link.tensors import to_tensor

NAMES = ["x", "features.3/conv/2/Relu_output_0/codes", "größe"]


def tensors(sizes):
    random = np.random.RandomState(0)
    return [to_tensor(name, random.randint(0, 256, size).astype(np.uint8)) for name, size in zip(NAMES, sizes)]


@pytest.mark.parametrize("sizes", [(1,), (12, 345), (6000, 70000, 800000)])
@pytest.mark.parametrize("outputs", [["y"], ["boxes", "classes", "scores/output_0"]])
def test_the_header_of_a_request(sizes, outputs):
    message = encode_request(tensors(sizes), outputs)
    written = len(message.body) - message.payload_bytes
    head = "POST /v2/models/net-0123456789ab/infer HTTP/1.1\r\nHost: 192.168.100.10:8000\r\n"
    lines = dict(message.headers, **{"Content-Length": str(len(message.body))})
    head += "".join("{}: {}\r\n".format(name, value) for name, value in lines.items()) + "\r\n"
    counted = request_header_bytes("net-0123456789ab", outputs)
    counted += sum(tensor_header_bytes(t.name, t.datatype, t.shape, len(t.data)) for t in tensors(sizes))
    # The numbers of digits of two lengths are guessed.
    assert counted == pytest.approx(written + len(head), abs=6)


@pytest.mark.parametrize("sizes", [(1,), (12, 345), (6000, 70000, 800000)])
def test_an_answer(sizes):
    found = tensors(sizes)
    message = encode_response("net-0123456789ab", found)
    head = "HTTP/1.1 200 OK\r\nserver-timing: total;dur=12.345, work;dur=12.345\r\ncontent-length: {}\r\n".format(
        len(message.body)
    )
    head += "".join("{}: {}\r\n".format(*line) for line in message.headers.items()) + "\r\n"
    counted = answer_bytes("net-0123456789ab", [(t.name, t.datatype, t.shape, len(t.data)) for t in found])
    assert counted == pytest.approx(len(message.body) + len(head), abs=6)
