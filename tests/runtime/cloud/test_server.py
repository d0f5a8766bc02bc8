import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Layout
from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.cloud import __main__
from coachc.runtime.cloud import server as cloud
from coachc.runtime.cloud.server import CloudApp, listen_on, load_services
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.errors import CoachRuntimeError, ConnectionFailed, EngineError, UsageError
from coachc.runtime.link import probe, protocol
from coachc.runtime.link.cloud_half import _server_s
from coachc.runtime.link.connection import Connection
from coachc.runtime.link.tensors import to_array
from coachc.runtime.link.values import encode_values
from tests.helpers.runtime_bundles import (
    FILES,
    LEVELS,
    PREPROCESS,
    ROLES,
    make_bundle,
    make_manifest,
    make_service,
    make_services,
    whole_model,
)

CODES = {"features_codes": np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4) % 16}


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "tiny.coach")


def infer_request(cut, outputs=CODES, wanted=("scores",)):
    message = protocol.encode_request(encode_values(cut, outputs), wanted, "42")
    return {name.lower(): value for name, value in message.headers.items()}, message.body


def ask(app, method, path, headers=None, body=b"", *, pieces=1, declare=True):
    """Call an ASGI application as a server would: (status, headers, body, bytes it took)."""
    headers = dict(headers or {})
    if declare and method == "POST":
        headers["content-length"] = str(len(body))
    scope = {"type": "http", "method": method, "path": path}
    scope["headers"] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    step = max(1, -(-len(body) // pieces))
    chunks = [body[start : start + step] for start in range(0, len(body), step)] or [b""]
    taken, sent = [], []

    async def receive():
        taken.append(chunks[len(taken)])
        return {"type": "http.request", "body": taken[-1], "more_body": len(taken) < len(chunks)}

    async def send(message):
        sent.append(message)

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(app(scope, receive, send))
    finally:
        loop.close()
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert int(answer["content-length"]) == len(sent[1]["body"])
    return sent[0]["status"], answer, sent[1]["body"], sum(len(piece) for piece in taken)


def ask_json(app, *arguments, **options):
    status, _, body, _ = ask(app, *arguments, **options)
    return status, json.loads(body.decode())


def test_an_answer_says_how_long_it_took_waiting_included(bundle):
    """Two requests at once and one worker: the second waits for the first."""

    def slow(feed):
        time.sleep(0.05)
        return {"scores": np.zeros((1, 5), np.float32)}

    app = CloudApp(make_service(bundle, engine=FakeEngine(slow)))
    headers, body = infer_request(bundle.manifest.cut())
    path, answers = f"/v2/models/{bundle.served_name}/infer", []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(app, "POST", path, headers, body)[1])) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = sorted(_server_s(answer) for answer in answers)
    assert 0.05 <= took_s[0] < 0.09 < took_s[1] < 0.5
    # The second waited for the worker as long as the first took; what it took itself says nothing of that.
    worked_s = [_server_s(answer, "work") for answer in answers]
    assert 0.05 <= min(worked_s) and sum(worked_s) < sum(took_s) - 0.04
    assert "server-timing" not in ask(app, "GET", "/v2/health/live")[1]


def test_what_a_server_says_of_its_time():
    for text, expected in (
        ("total;dur=12.5", 0.0125),
        ("cache;dur=1, total; dur=3, db", 0.003),
        ("total", None),
        ("total;dur=x", None),
        ("total;dur=-1", None),
        ("subtotal;dur=3", None),
        ("total;dur=" + "9" * 99, None),
    ):
        assert _server_s({"server-timing": text}) == expected
    assert _server_s({"Content-Length": "3"}) is None


def test_metadata_and_health(bundle):
    service = make_service(bundle)
    app, name = CloudApp(service), bundle.served_name
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready"):
        assert ask(app, "GET", path)[0] == 200
    assert ask_json(app, "GET", "/v2") == (
        200,
        {"name": "coachc", "version": "coachc test", "extensions": ["binary_tensor_data"]},
    )
    assert ask_json(app, "GET", "/v2/repository/index")[1][0]["name"] == name
    assert ask_json(app, "GET", "/v2/models/" + name) == (
        200,
        {
            "name": name,
            "versions": ["1"],
            "platform": "coachc",
            "inputs": [{"name": "features_codes", "datatype": "UINT8", "shape": [26]}],
            "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 5]}],
            "parameters": {"bundle_id": bundle.bundle_id, "cut": "middle"},
        },
    )


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("wanted", [(), ("scores",)])
def test_inference(bundle, pieces, wanted):
    service = make_service(bundle)
    headers, body = infer_request(service.cut, wanted=wanted)
    path = f"/v2/models/{service.name}/infer"
    status, answer, data, _ = ask(CloudApp(service), "POST", path, headers, body, pieces=pieces)
    assert status == 200
    spec = bundle.manifest.model.outputs[0]
    tensors = protocol.decode_response(answer, data, protocol.response_limits([spec]))
    expected = whole_model((CODES["features_codes"].astype(np.float32) - 3) * np.float32(0.25))
    assert np.allclose(to_array(tensors[0], spec), expected)
    assert json.loads(data[: int(answer["inference-header-content-length"])].decode())["id"] == "42"


def test_every_precision_is_answered_coded_or_not(tmp_path):
    layout = Layout("bytes", (1, 2, 0), "huffman", 8)
    bundle = make_bundle(tmp_path / "b", shape=(40, 3, 4, 4), levels=LEVELS, layout=layout, parameters="arithmetic")
    service, spec = make_service(bundle), bundle.manifest.model.outputs[0]
    app, path = CloudApp(service), f"/v2/models/{bundle.served_name}/infer"
    assert ask_json(app, "GET", "/v2/models/" + bundle.served_name)[1]["inputs"][0]["shape"] == [-1]
    assert ask_json(app, "GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    for level in LEVELS:
        codes = np.random.RandomState(level.bits).randint(0, 1 << level.bits, (40, 3, 4, 4)).astype(np.uint8)
        codes[20:] = 0
        tensors = encode_values(service.cut, {"features_codes": codes}, level.bits)
        answers = []
        for sent in (tensors, [tensor._replace(coding="none") for tensor in tensors]):
            headers, body, _ = protocol.encode_request(sent, ["scores"])
            assert ("Content-Encoding" in headers) == (sent is tensors)
            headers = {name.lower(): value for name, value in headers.items()}
            status, answer, data, _ = ask(app, "POST", path, headers, body)
            assert (status, "content-encoding" in answer) == (200, False)
            answers.append(protocol.decode_response(answer, data, protocol.response_limits([spec]))[0])
        scale, zero_point = [np.reshape(numbers, (1, -1, 1, 1)) for numbers in level[1:]]
        expected = whole_model((codes - zero_point).astype(np.float32) * scale.astype(np.float32))
        assert np.allclose(to_array(answers[0], spec), expected, rtol=1e-4, atol=1e-4)
        assert answers[0] == answers[1]


def test_what_swells_beyond_the_limit_gets_400(bundle):
    service = make_service(bundle)
    headers, body = infer_request(service.cut)
    headers["content-encoding"] = "deflate"
    path = f"/v2/models/{service.name}/infer"
    limit = service.limits.body_bytes
    for data, message in (
        (zlib.compress(bytes(10 * limit)), f"the deflated body is a zlib stream of more than {limit} bytes"),
        (zlib.compress(body)[:-3], "the deflated body is a zlib stream that does not end within its"),
        (body, "the deflated body is not a zlib stream"),
    ):
        status, answer = ask_json(CloudApp(service), "POST", path, headers, data)
        assert status == 400
        assert message in answer["error"]
    assert ask(CloudApp(service), "POST", path, headers, zlib.compress(body))[0] == 200


def test_a_precision_that_the_cloud_half_does_not_have_gets_400(tmp_path):
    service = make_service(make_bundle(tmp_path / "b", levels=LEVELS))
    codes = {"features_codes": np.zeros((1, 3, 4, 4), np.uint8)}
    headers, body, _ = protocol.encode_request(encode_values(service.cut, codes, 3), [])
    response = service.infer(headers, body)
    assert response.status == 400
    assert b"tensor 'features_codes' cannot be unpacked: expected a frame of 4 bits, found 3" in response.body


@pytest.mark.needs("PIL")
def test_jpeg_inference(bundle):
    from coachc.runtime.bundle.preprocess import decode_jpeg, encode_jpeg, normalize

    service = make_service(bundle, "jpeg")
    image = np.random.RandomState(0).randint(0, 256, (4, 4, 3)).astype(np.uint8)
    data = encode_jpeg(image, 95)
    headers, body = infer_request(service.cut, {"input": np.frombuffer(data, np.uint8)})
    response = service.infer(headers, body)
    spec = bundle.manifest.model.outputs[0]
    tensors = protocol.decode_response(response.headers, response.body, protocol.response_limits([spec]))
    expected = whole_model(normalize(decode_jpeg(data, PREPROCESS), PREPROCESS))
    assert np.allclose(to_array(tensors[0], spec), expected)
    headers, body = infer_request(service.cut, {"input": np.frombuffer(b"no picture", np.uint8)})
    response = service.infer(headers, body)
    assert response.status == 400
    assert b"tensor 'input': not a readable JPEG" in response.body


@pytest.mark.needs("PIL")
@pytest.mark.parametrize(("dtype", "scale"), [("uint8", 1.0), ("float16", 255.0)])
def test_jpegs_for_inputs_of_other_types(tmp_path, dtype, scale):
    from coachc.runtime.bundle.preprocess import decode_jpeg, encode_jpeg

    manifest = make_manifest()
    preprocess = PREPROCESS._replace(pixel_scale=scale, mean=(0.0,) * 3, std=(1.0,) * 3)
    model = manifest.model._replace(inputs=(manifest.model.inputs[0]._replace(dtype=dtype),))
    jpeg = manifest.cut("jpeg")
    jpeg = jpeg._replace(values=(jpeg.values[0]._replace(dtype=dtype),))
    manifest = manifest._replace(preprocess=preprocess, model=model, cuts=(manifest.cut("device-only"), jpeg))
    manifest = manifest._replace(chosen="jpeg")
    files = {"model.onnx": FILES["model.onnx"]}
    fed = []

    def engine(feed):
        fed.append(feed["input"])
        return {"scores": np.zeros((1, 5), np.float32)}

    service = make_service(write_bundle(str(tmp_path / "b"), manifest, files, ROLES), "jpeg", FakeEngine(engine))
    data = encode_jpeg(np.random.RandomState(0).randint(0, 256, (4, 4, 3)).astype(np.uint8), 95)
    headers, body = infer_request(service.cut, {"input": np.frombuffer(data, np.uint8)})
    assert service.infer(headers, body).status == 200
    (found,) = fed
    pixels = decode_jpeg(data, preprocess).transpose(2, 0, 1)[np.newaxis]
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, (pixels.astype(np.float32) / np.float32(scale)).astype(dtype))


def test_what_is_not_served_is_not_found(bundle):
    app = CloudApp(make_service(bundle))
    for method, path in (("GET", "/v2/models/other"), ("POST", "/v2/models/other/infer"), ("GET", "/"), ("PUT", "/v2")):
        status, answer = ask_json(app, method, path, body=b"x" * 10)
        assert status == 404
        assert answer["error"] == f"nothing at {path}; this server serves model {bundle.served_name}"


def test_several_cuts_are_models_of_their_own(bundle):
    services = make_services(bundle)
    app, mine = CloudApp(services), bundle.served_name
    names = [mine, mine + "-raw", mine + "-jpeg"]
    assert [entry["name"] for entry in ask_json(app, "GET", "/v2/repository/index")[1]] == names
    for service, name, cut in zip(services.services, names, ("middle", "raw", "jpeg")):
        assert service.name == name == bundle.served_name_of(service.cut)
        status, metadata = ask_json(app, "GET", "/v2/models/" + name)
        assert (status, metadata["name"], metadata["parameters"]["cut"]) == (200, name, cut)
        assert ask(app, "GET", f"/v2/models/{name}/ready")[0] == 200
        # Each has the limit of its own cut.
        size = service.limits.received_bytes + 1
        status, _, body, taken = ask(app, "POST", f"/v2/models/{name}/infer", body=b"x" * size)
        assert (status, taken) == (413, 0)
    assert len({service.limits for service in services.services}) > 1
    x = np.random.RandomState(0).randn(1, 3, 4, 4).astype(np.float32)
    spec = bundle.manifest.model.outputs[0]
    for index, outputs in ((0, CODES), (1, {"input": x})):
        service = services.services[index]
        headers, body = infer_request(service.cut, outputs)
        status, answer, data, _ = ask(app, "POST", f"/v2/models/{service.name}/infer", headers, body)
        assert status == 200
        expected = service.infer(headers, body).body
        assert data == expected
        protocol.decode_response(answer, data, protocol.response_limits([spec]))
    status, answer = ask_json(app, "GET", "/v2/models/other")
    assert (status, answer["error"]) == (
        404,
        "nothing at /v2/models/other; this server serves model " + ", ".join(names),
    )


def test_the_probe_counts_what_it_is_sent(bundle):
    app = CloudApp(make_services(bundle))
    for pieces, declare in ((1, True), (7, True), (7, False)):
        status, answer, body, taken = ask(app, "POST", probe.PATH, body=b"x" * 70000, pieces=pieces, declare=declare)
        found = probe.decode_answer(body, "h:1", 70000)
        assert (status, taken, found.body_bytes) == (200, 70000, probe.BODY_LIMIT_BYTES)
    status, _, body, _ = ask(app, "GET", probe.PATH)
    assert probe.decode_answer(body, "h:1", 0).left_bytes < found.left_bytes + 70000
    assert ask(app, "DELETE", probe.PATH)[0] == 405


def test_the_probe_refuses_before_it_reads(bundle):
    app = CloudApp(make_service(bundle))
    assert ask(app, "POST", probe.PATH, {"content-length": str(5 << 20)}, b"x" * 10, declare=False)[::3] == (413, 0)
    large = b"x" * probe.BODY_LIMIT_BYTES
    statuses = [ask(app, "POST", probe.PATH, body=large)[::3] for _ in range(18)]
    assert statuses[:16] == [(200, len(large))] * 16
    assert statuses[-1] == (429, 0)
    status, answer, body, _ = ask(app, "POST", probe.PATH, body=large)
    assert (status, answer["retry-after"]) == (429, "1")
    assert "MiB/s of all devices together" in json.loads(body.decode())["error"]
    # A refusal of the probe is none of inference.
    assert ask(app, "POST", f"/v2/models/{bundle.served_name}/infer", *infer_request(bundle.manifest.cut()))[0] == 200


def test_a_peer_that_leaves_the_probe_is_forgotten(bundle):
    app = CloudApp(make_service(bundle))

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError("nobody is there")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(app({"type": "http", "method": "POST", "path": probe.PATH, "headers": []}, receive, send))
    loop.close()


def test_large_bodies_are_refused_before_they_are_read(bundle):
    service = make_service(bundle)
    path, size = f"/v2/models/{service.name}/infer", service.limits.received_bytes + 1
    status, _, body, taken = ask(CloudApp(service), "POST", path, body=b"x" * size)
    assert (status, taken) == (413, 0)
    assert json.loads(body.decode())["error"].startswith("the request is larger than this cut's ")
    status, _, _, taken = ask(CloudApp(service), "POST", path, body=b"x" * 10 * size, pieces=10, declare=False)
    assert (status, taken) == (413, size)


def test_malformed_requests_get_400(bundle):
    service = make_service(bundle)
    path = f"/v2/models/{service.name}/infer"
    headers, body = infer_request(service.cut)
    cases = [
        ({}, b"hello", "the JSON header is not valid JSON"),
        (headers, body[:-1], "ends after the body"),
        (headers, body + b"x", "1 bytes follow the last tensor"),
        infer_request(service.cut, wanted=("other",)) + ("no output 'other'; there is scores",),
        (dict(headers, **{"content-encoding": "gzip"}), body, "Content-Encoding gzip is not supported"),
    ]
    for sent, data, message in cases:
        status, answer = ask_json(CloudApp(service), "POST", path, sent, data)
        assert status == 400
        assert message in answer["error"]


def test_engine_failures_get_500_and_are_logged(bundle, caplog):
    def broken(feed):
        raise EngineError("out of memory")

    service = make_service(bundle, engine=FakeEngine(broken))
    path = f"/v2/models/{service.name}/infer"
    with caplog.at_level(logging.ERROR):
        status, answer = ask_json(CloudApp(service), "POST", path, *infer_request(service.cut))
    assert (status, answer["error"]) == (500, "inference failed: out of memory")
    assert "inference failed" in caplog.text
    service = make_service(bundle, engine=FakeEngine(lambda feed: {}))
    response = service.infer(*infer_request(service.cut))
    assert (response.status, b"the cloud half made no output 'scores'" in response.body) == (500, True)


def test_health_is_answered_while_the_engine_works(bundle):
    release = threading.Event()
    service = make_service(
        bundle, engine=FakeEngine(lambda feed: {"scores": np.full((1, 5), release.wait(5), np.float32)})
    )
    app, order = CloudApp(service), []
    headers, body = infer_request(service.cut)

    async def call(method, path, sent, data):
        async def receive():
            return {"type": "http.request", "body": data}

        async def send(message):
            order.append((path[-5:], message.get("status")))

        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        await app({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)

    async def both():
        slow = asyncio.ensure_future(call("POST", f"/v2/models/{service.name}/infer", headers, body))
        await asyncio.sleep(0.05)
        await call("GET", "/v2/health/live", {}, b"")
        release.set()
        await slow

    loop = asyncio.new_event_loop()
    loop.run_until_complete(both())
    loop.close()
    assert [status for status in order if status[1]] == [("/live", 200), ("infer", 200)]


def test_a_peer_that_goes_away_is_forgotten(bundle):
    app = CloudApp(make_service(bundle))

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "POST", "path": f"/v2/models/{bundle.served_name}/infer", "headers": []}
    loop = asyncio.new_event_loop()
    loop.run_until_complete(app(scope, receive, send))
    with pytest.raises(ValueError, match="speaks HTTP only, not websocket"):
        loop.run_until_complete(app({"type": "websocket"}, receive, send))
    loop.close()


def test_a_device_only_cut_has_nothing_to_serve(tmp_path):
    path = str(tmp_path / "b")
    make_bundle(path, chosen="device-only")
    with pytest.raises(
        CoachRuntimeError, match="nothing to serve: cut 'device-only' of .* runs on the device"
    ) as caught:
        load_services(path, "device-only")
    assert caught.value.hint == "--cut serves another cut of it: middle, raw, jpeg"
    manifest = make_manifest(chosen="device-only")
    alone = write_bundle(str(tmp_path / "alone"), manifest._replace(cuts=manifest.cuts[1:2]), FILES, ROLES)
    for cut in (None, "device-only"):
        with pytest.raises(CoachRuntimeError, match="nothing to serve: ") as caught:
            load_services(alone.path, cut)
        assert caught.value.hint == "coachc run needs no server for it"


def test_addresses_in_use_and_not_ours_are_errors():
    with listen_on("127.0.0.1:0") as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match=f"cannot listen on {address}: Address already in use") as caught:
            listen_on(address)
        assert "--listen HOST:PORT" in caught.value.hint
    with pytest.raises(ConnectionFailed, match="cannot listen on 192.0.2.1:80: "):
        listen_on("192.0.2.1:80")
    with pytest.raises(UsageError, match="--listen 'here' is not HOST:PORT"):
        listen_on("here")


@pytest.mark.parametrize("module", ["uvicorn", "httptools"])
def test_without_a_server_library_the_way_out_is_named(bundle, monkeypatch, module):
    pytest.importorskip("httptools" if module == "uvicorn" else "json")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        EngineError, match=f"{module} is not installed, and serving needs it|is not installed"
    ) as caught:
        cloud.make_server(make_service(bundle), lambda: None)
    assert caught.value.hint == "pip install 'coachc[serve]'"


def test_errors_on_the_command_line(tmp_path, capsys):
    assert __main__.main([str(tmp_path / "nothing")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[bundle]: ")


# The program itself, over real sockets.


def start(*arguments):
    command = [sys.executable, "-m", "runtime.cloud"] + list(arguments)
    return subprocess.Popen(command, stderr=subprocess.PIPE, universal_newlines=True, cwd=os.getcwd())


@pytest.fixture
def onnx_bundle(tmp_path):
    from tests.helpers.runtime_onnx import make_onnx_bundle

    return make_onnx_bundle(tmp_path / "real.coach")


@pytest.mark.needs("uvicorn")
@pytest.mark.needs("httptools")
@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_and_stops(onnx_bundle, number):
    program = start(onnx_bundle.path, "--listen", "127.0.0.1:0", "--threads", "1")
    try:
        line = program.stderr.readline()
        name = onnx_bundle.served_name
        assert line.startswith(f"serving {name} on http://127.0.0.1:")
        assert line.endswith(" (tiny, cuts middle, jpeg)\n")
        address = line.split("http://")[1].split()[0]
        connection = Connection(address, 5.0)
        assert json.loads(connection.get("/v2/models/" + name, 10000).body.decode())["name"] == name
        headers, body = infer_request(onnx_bundle.manifest.cut())
        reply = connection.post(f"/v2/models/{name}/infer", headers, body, 10000)
        assert b"scores" in reply.body
        large = b"x" * (protocol.request_limits(onnx_bundle.manifest.cut()).received_bytes + 1)
        with pytest.raises(CoachRuntimeError, match="answers 413"):
            connection.post(f"/v2/models/{name}/infer", headers, large, 10000)
        with pytest.raises(CoachRuntimeError, match="answers 400: the JSON header is not valid JSON"):
            connection.post(f"/v2/models/{name}/infer", {}, b"{", 10000)
        second = start(onnx_bundle.path, "--listen", address)
        assert second.wait(30) == 1
        with second.stderr:
            assert second.stderr.read().startswith("error[connection]: cannot listen on " + address)
        time.sleep(0.1)
        program.send_signal(number)
        assert program.wait(10) == 0
        assert program.stderr.read() == ""
        connection.close()
    finally:
        program.kill()
        program.wait()
        program.stderr.close()


@pytest.mark.needs("uvicorn")
@pytest.mark.needs("httptools")
@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_a_signal_lets_the_request_under_way_finish(bundle):
    working = threading.Event()

    def slow(feed):
        working.set()
        time.sleep(0.3)
        return {"scores": np.zeros((1, 5), np.float32)}

    service = make_service(bundle, engine=FakeEngine(slow))
    server = cloud.make_server(service, lambda: None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        connection = Connection(f"127.0.0.1:{listener.getsockname()[1]}", 5.0)
        while not server.started:
            time.sleep(0.01)
        stopper = threading.Thread(target=lambda: (working.wait(5), setattr(server, "should_exit", True)))
        stopper.start()
        reply = connection.post(f"/v2/models/{service.name}/infer", *infer_request(service.cut), limit_bytes=9999)
        assert b"scores" in reply.body
        connection.close()
        thread.join(10)
        stopper.join()
        assert not thread.is_alive()
