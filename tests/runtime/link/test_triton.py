"""The client against a real Triton: its framing of HTTP, binary tensors, deflated requests, refusals and restarts."""

import json

import numpy as np
import pytest

from coachc.runtime.errors import CoachRuntimeError, WrongBundleError
from coachc.runtime.link.connection import Connection
from coachc.runtime.link.protocol import Limits, decode_response, encode_request
from coachc.runtime.link.tensors import Tensor
from tests.helpers import triton

pytestmark = pytest.mark.skipif(bool(triton.missing()), reason="needs " + triton.missing())

LIMIT_BYTES = 1 << 20


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with triton.triton(tmp_path_factory.mktemp("triton")) as found:
        yield found


@pytest.fixture
def connection(address):
    made = Connection(address, 10.0)
    yield made
    made.close()


def codes(size, coding):
    values = np.random.RandomState(size).randint(0, 4, size).astype(np.uint8)
    return values, Tensor("features/codes", "UINT8", (size,), values.tobytes(), coding)


def infer(connection, tensor, **options):
    message = encode_request([tensor], ["scores"], "7")
    reply = connection.post("/v2/models/sums/infer", message.headers, message.body, LIMIT_BYTES, **options)
    (found,) = decode_response(reply.headers, reply.body, Limits(LIMIT_BYTES, LIMIT_BYTES))
    assert found.name == "scores"
    return np.frombuffer(found.data, np.float32).tolist(), message


@pytest.mark.parametrize("coding", ["none", "default", "huffman"])
@pytest.mark.parametrize("size", [1, 300, 12000, 200000])
def test_binary_tensors_arrive_as_they_were(connection, size, coding):
    values, tensor = codes(size, coding)
    for _ in range(3):  # one connection, kept alive
        assert infer(connection, tensor)[0] == [float(values.sum(dtype=np.int64)), float(size)]


def test_a_deflated_request_is_smaller_and_says_so(connection):
    values, tensor = codes(20000, "huffman")
    found, message = infer(connection, tensor)
    assert message.headers["Content-Encoding"] == "deflate"
    assert len(message.body) < 8000
    assert found[0] == float(values.sum(dtype=np.int64))


def test_what_it_says_of_itself_and_of_a_model(connection):
    assert json.loads(bytes(connection.get("/v2", LIMIT_BYTES).body))["name"] == "triton"
    metadata = json.loads(bytes(connection.get("/v2/models/sums", LIMIT_BYTES).body))
    assert [one["name"] for one in metadata["inputs"]] == ["features/codes"]
    assert bytes(connection.get("/v2/health/live", LIMIT_BYTES).body) == b""


def test_refusals_leave_the_connection_usable(connection):
    with pytest.raises(CoachRuntimeError):
        connection.get("/v2/models/other", LIMIT_BYTES)
    with pytest.raises(CoachRuntimeError, match="unexpected inference input"):
        infer(connection, Tensor("other", "UINT8", (1,), b"\x00", "none"))
    # It has no probe of the link's rate, and says so as any server that lacks a path.
    with pytest.raises(WrongBundleError):
        connection.get("/coachc/probe", LIMIT_BYTES)
    values, tensor = codes(300, "none")
    assert infer(connection, tensor)[0][0] == float(values.sum(dtype=np.int64))
