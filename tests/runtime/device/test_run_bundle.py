import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Layout, TensorSpec
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.cloud.service import Response
from coachc.runtime.device import __main__, report
from coachc.runtime.device.run_bundle import run_bundle
from tests.helpers.device_run import run_all
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Halves
from coachc.runtime.errors import (
    BundleError,
    ConnectionFailed,
    EngineError,
    RemoteProtocolError,
    SourceError,
    UsageError,
    WrongBundleError,
)
from coachc.runtime.link.cloud_half import CloudHalf
from tests.helpers.runtime_bundles import (
    BITS,
    FILES,
    LEVELS,
    ROLES,
    SCALE,
    ZERO_POINT,
    Loopback,
    fake_engine_for,
    make_bundle,
    make_manifest,
    make_service,
    make_services,
    whole_model,
)

N = 20
X = np.random.RandomState(2).randn(N, 3, 4, 4).astype(np.float32)
THROUGH_THE_CUT = whole_model(dequantize(quantize(X, SCALE, ZERO_POINT, BITS), SCALE, ZERO_POINT)).argmax(1)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "tiny.coach")


@pytest.fixture
def source(tmp_path):
    labels = THROUGH_THE_CUT.copy()
    labels[:5] = (labels[:5] + 1) % 5
    np.savez(str(tmp_path / "data.npz"), input=X, labels=labels)
    return str(tmp_path / "data.npz")


def run(bundle, server, source, **options):
    options.setdefault("engine_factory", fake_engine_for)
    return run_all(bundle.path, server, source, **options)


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_device_and_cloud_over_loopback(bundle, source, in_flight):
    seen = []
    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, source, in_flight=in_flight, progress=lambda *args: seen.append(args))
    assert report.predictions == tuple(THROUGH_THE_CUT)
    assert (report.tasks, report.accuracy) == (N, 0.75)
    assert (report.cut, report.mode, report.engine) == ("middle", "split", "fake")
    assert report.payload_bytes_per_task == report.packed_bytes_per_task == 26
    assert 26 + 150 < report.bytes_per_task < 26 + 500
    assert 0 < report.latency_s.p50 <= report.latency_s.p95 <= report.latency_s.p99
    assert report.latency_s.mean >= report.round_trip_s > 0
    assert report.throughput_per_s > 1
    assert seen == [(number, N) for number in range(1, N + 1)]


def test_the_input_can_be_sent_as_it_is(bundle, source):
    with Loopback(make_service(bundle, "raw")) as server:
        report = run(bundle, server.address, source, cut="raw")
    assert report.predictions == tuple(whole_model(X).argmax(1))
    assert report.payload_bytes_per_task == 192


def test_device_only_needs_no_server(bundle, source):
    for server in (None, "127.0.0.1:1"):
        report = run(bundle, server, source, cut="device-only", limit=7)
        assert report.predictions == tuple(whole_model(X[:7]).argmax(1))
        assert (report.tasks, report.bytes_per_task, report.round_trip_s) == (7, 0, 0)
        assert report.latency_s.mean >= report.device_s > 0


def test_batches_and_data_without_labels(tmp_path):
    bundle = make_bundle(tmp_path / "b", shape=(4, 3, 4, 4))
    np.savez(str(tmp_path / "data.npz"), input=X)
    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, str(tmp_path / "data.npz"))
    assert report.predictions == tuple(THROUGH_THE_CUT)
    assert (report.tasks, report.accuracy, report.payload_bytes_per_task) == (5, None, 98)


def test_outputs_made_on_either_side(tmp_path, source):
    """An early output of the device half is the first model output, the cloud half makes the second."""
    manifest = make_manifest()
    outputs = tuple(TensorSpec(name, "float32", (1, 5)) for name in ("early", "scores"))
    cuts = (
        manifest.cuts[0]._replace(device_outputs=("early",)),
        manifest.cuts[1]._replace(device_outputs=("early", "scores")),
    )
    manifest = manifest._replace(model=manifest.model._replace(outputs=outputs), cuts=cuts)
    bundle = write_bundle(str(tmp_path / "b"), manifest, FILES, ROLES)

    def with_early(data, providers):
        inner = fake_engine_for(data)
        return FakeEngine(lambda feed: dict(inner.run(feed), early=-whole_model(feed["input"])))

    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, source, engine_factory=with_early)
    assert report.predictions == tuple(whole_model(X).argmin(1))


# Precision and coding.


@pytest.mark.parametrize("parameters", ["qdq", "arithmetic"])
def test_a_run_takes_another_precision(tmp_path, source, parameters):
    bundle = make_bundle(tmp_path / "b", levels=LEVELS, parameters=parameters)
    with Loopback(make_service(bundle)) as server:
        for level in LEVELS:
            codes = quantize(X, level.scale, level.zero_point, level.bits)
            expected = whole_model(dequantize(codes, level.scale, level.zero_point)).argmax(1)
            report = run(bundle, server.address, source, bits=level.bits)
            assert report.predictions == tuple(expected)
            assert report.payload_bytes_per_task == 2 + 6 * level.bits
        report = run(bundle, server.address, source)
        assert (report.predictions, report.payload_bytes_per_task) == (tuple(THROUGH_THE_CUT), 26)


def test_a_precision_that_is_not_there_is_an_error_before_anything_runs(tmp_path, bundle, source):
    many = make_bundle(tmp_path / "many", levels=LEVELS, parameters="qdq")
    constant = make_bundle(tmp_path / "constant", levels=LEVELS)
    for where, cut, bits, message, hint in (
        (many, None, 5, "value 'features' of cut 'middle' cannot be sent at 5 bits", "it can at 2, 3, 4, 8"),
        (constant, None, 3, "value 'features' of cut 'middle' cannot be sent at 3 bits", "it can at 4"),
        (bundle, None, 3, "value 'features' of cut 'middle' cannot be sent at 3 bits", "it can at 4"),
        (bundle, "raw", 4, "cut 'raw' sends no packed values", "leave out --bits"),
        (bundle, "device-only", 4, "cut 'device-only' sends no packed values", "leave out --bits"),
    ):
        with pytest.raises(UsageError, match=f"--bits {bits}: {message}") as caught:
            run(where, "127.0.0.1:1", source, cut=cut, bits=bits)
        assert caught.value.hint == hint
    with Loopback(make_service(constant)) as server:
        assert run(constant, server.address, source, bits=4).predictions == tuple(THROUGH_THE_CUT)


def test_one_half_with_constants_fixes_the_precision(tmp_path, source):
    manifest = make_manifest(levels=LEVELS, parameters="qdq")
    for side in ("device_parameters", "cloud_parameters"):
        cuts = (manifest.cuts[0]._replace(**{side: ""}),) + manifest.cuts[1:]
        bundle = write_bundle(str(tmp_path / side), manifest._replace(cuts=cuts), FILES, ROLES)
        with pytest.raises(UsageError, match="cannot be sent at 2 bits") as caught:
            run(bundle, "127.0.0.1:1", source, bits=2)
        assert caught.value.hint == "it can at 4"


@pytest.mark.parametrize("coding", ["huffman", "rle", "filtered"])
def test_coded_values_over_loopback(tmp_path, coding):
    np.savez(str(tmp_path / "data.npz"), input=np.tile(X, (16, 1, 1, 1)))
    reports = {}
    for name in ("none", coding):
        layout = Layout("bytes", (2, 0, 1), name, 8)
        bundle = make_bundle(
            tmp_path / name, shape=(80, 3, 4, 4), levels=LEVELS, layout=layout, parameters="arithmetic"
        )
        with Loopback(make_service(bundle)) as server:
            reports[name] = run(bundle, server.address, str(tmp_path / "data.npz"), bits=3)
    plain, coded = reports["none"], reports[coding]
    level = LEVELS[1]
    expected = whole_model(dequantize(quantize(X, level.scale, level.zero_point, 3), level.scale, level.zero_point))
    assert plain.predictions == coded.predictions == tuple(expected.argmax(1)) * 16
    assert plain.payload_bytes_per_task == plain.packed_bytes_per_task == coded.packed_bytes_per_task == 2 + 1920
    assert coded.payload_bytes_per_task < 0.95 * plain.payload_bytes_per_task
    saved = plain.bytes_per_task - coded.bytes_per_task
    # The JSON header is coded too, and the request says so.
    assert abs(saved - (1922 - coded.payload_bytes_per_task)) < 150
    assert "of tensors, 1922 before entropy coding)" in coded.table()
    assert "(1922 of tensors)" in plain.table()


def test_features_stay_on_the_device(tmp_path, source):
    bundle = make_bundle(tmp_path / "b", features=("features/pooled",))

    def with_features(data, providers):
        inner = fake_engine_for(data)
        return FakeEngine(lambda feed: dict(inner.run(feed), **{"features/pooled": feed["input"].mean(axis=(2, 3))}))

    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, source, engine_factory=with_features)
    assert report.predictions == tuple(THROUGH_THE_CUT)
    assert report.payload_bytes_per_task == 26


@pytest.mark.needs("PIL")
def test_jpeg_images(bundle, tmp_path):
    from PIL import Image

    from coachc.runtime.bundle.preprocess import decode_jpeg, encode_jpeg, normalize, pixels

    pre = bundle.manifest.preprocess
    expected = []
    for index in range(6):
        path = tmp_path / "images" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.RandomState(index).randint(0, 256, (9, 7, 3)).astype(np.uint8)).save(str(path))
    for index in (0, 2, 4, 1, 3, 5):
        image = pixels(tmp_path / "images" / f"class{index % 2}" / f"{index}.png", pre)
        expected.append(whole_model(normalize(decode_jpeg(encode_jpeg(image, 95), pre), pre)).argmax())
    with Loopback(make_service(bundle, "jpeg")) as server:
        report = run(bundle, server.address, str(tmp_path / "images"), cut="jpeg")
    assert report.predictions == tuple(expected)
    assert report.accuracy == float(np.mean(np.array(expected) == [0, 0, 0, 1, 1, 1]))
    assert (report.engine, report.mode) == ("none", "cloud-jpeg")
    assert 300 < report.payload_bytes_per_task < report.bytes_per_task


def class_folders(root, counts):
    """Noise pictures in one folder per class, each of another seed; their answers, by path."""
    from PIL import Image

    answers = {}
    for label, count in enumerate(counts):
        for index in range(count):
            path = root / f"class{label}" / f"{index:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.RandomState(100 * label + index).randint(0, 256, (4, 4, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(str(path))
            answers[os.path.relpath(str(path), str(root))] = int(
                whole_model(((pixels / 255 - 0.5) / 0.25).astype(np.float32).transpose(2, 0, 1)[np.newaxis]).argmax()
            )
    return answers


@pytest.mark.needs("PIL")
@pytest.mark.parametrize("cut", ["device-only", "jpeg"])
def test_pictures_that_cannot_be_read_are_left_out_and_named(bundle, tmp_path, cut):
    root = tmp_path / "images"
    answers = class_folders(root, [3, 3])
    (root / "class0" / "01.png").write_bytes(b"no picture")
    (root / "class1" / "03.heic").write_bytes(b"")
    with Loopback(make_service(bundle, "jpeg")) as server:
        report = run(bundle, server.address, str(root), cut=cut)
        strict = run(bundle, server.address, str(root), cut=cut, strict=True)
    assert isinstance(strict.ended_by, SourceError)
    assert re.search("cannot read .*class0/01.png: no image of a known kind", strict.ended_by.message)
    assert [outcome.task for outcome in strict.outcomes] == [0]
    (failed,) = report.failed
    assert (failed.task, failed.stage) == (1, "input")
    assert failed.reason == "class0/01.png: cannot be read: no image of a known kind"
    assert [outcome.task for outcome in report.in_order] == list(range(6))
    read = [name for name in sorted(answers) if name != "class0/01.png"]
    labels = [int(name[5]) for name in read]
    assert report.tasks == len(report.predictions) == 5
    if cut == "device-only":
        assert report.predictions == tuple(answers[name] for name in read)
    assert report.accuracy == np.mean(np.array(report.predictions) == labels)
    assert report.to_json()["skipped"] == {
        "count": 2,
        "files": [
            {"file": "class1/03.heic", "reason": "no picture's ending: '.heic'"},
            {"file": "class0/01.png", "reason": "cannot be read: no image of a known kind"},
        ],
    }
    assert report.table().splitlines()[3] == (
        "skipped         2: class1/03.heic (no picture's ending: '.heic'); "
        "class0/01.png (cannot be read: no image of a known kind)"
    )


@pytest.mark.needs("PIL")
def test_a_limit_draws_pictures_across_classes(bundle, tmp_path):
    root = tmp_path / "images"
    answers = class_folders(root, [8, 8, 4])
    seen = []
    report = run(bundle, None, str(root), cut="device-only", limit=5, progress=lambda *args: seen.append(args))
    source = open_source(str(root), bundle.manifest.model.inputs, bundle.manifest.preprocess, limit=5)
    names = [os.path.relpath(path, str(root)) for path in source.paths]
    assert sorted(name[5] for name in names) == ["0", "0", "1", "1", "2"]
    assert report.predictions == tuple(answers[name] for name in names)
    assert seen == [(number, 5) for number in range(1, 6)]


@pytest.mark.needs("PIL")
def test_labels_that_are_no_output_end_a_run_before_it_begins(bundle, source, tmp_path):
    class_folders(tmp_path / "images", [1] * 7)
    with pytest.raises(SourceError, match="class5/00.png has label 5, and the model has 5 outputs") as caught:
        run(bundle, None, str(tmp_path / "images"), cut="device-only", engine_factory=None)
    assert caught.value.context == ("expected  0 to 4", "found     5, and 1 more outside")
    np.savez(source, input=X, labels=np.arange(N) % 5 - 1)
    with pytest.raises(SourceError, match="row 0 of .*data.npz has label -1, and the model has 5 outputs"):
        run(bundle, None, source, cut="device-only", engine_factory=None)


@pytest.mark.needs("PIL")
def test_strict_on_the_command_line(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("coachc.runtime.device.run_bundle.OrtEngine", None)
    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", fake_engine_for)
    class_folders(tmp_path / "images", [2])
    (tmp_path / "images" / "class0" / "00.png").write_bytes(b"")
    arguments = [bundle.path, "--source", str(tmp_path / "images"), "--cut", "device-only"]
    assert __main__.main(arguments + ["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"]["count"] == 1
    assert __main__.main(arguments + ["--strict", "--json"]) == 1
    captured = capsys.readouterr()
    assert (json.loads(captured.out)["tasks"], captured.err.count("error[source]: cannot read ")) == (0, 1)


def test_jpeg_needs_images(bundle, source):
    with Loopback(make_service(bundle, "jpeg")) as server:
        with pytest.raises(SourceError, match="cut 'jpeg' sends JPEG images, and the source holds arrays"):
            run(bundle, server.address, source, cut="jpeg")


def test_answers_that_overtake_each_other_are_put_back_in_order(bundle, source):
    service = make_service(bundle)
    answered, lock, infer = [], threading.Lock(), service.infer

    def uneven(headers, body):
        with lock:
            number = len(answered)
            answered.append(number)
        time.sleep(0.05 if number % 3 == 0 else 0)
        return infer(headers, body)

    service.infer = uneven
    with Loopback(service) as server:
        report = run(bundle, server.address, source, in_flight=3)
    assert report.predictions == tuple(THROUGH_THE_CUT)


def test_device_link_and_cloud_overlap(bundle, source):
    """Ten tasks of 20 ms on either side: 0.4 s one after the other, about 0.22 s overlapped."""

    def slowed(engine):
        def compute(feed):
            time.sleep(0.02)
            return engine.run(feed)

        return FakeEngine(compute)

    service = make_service(bundle, engine=slowed(fake_engine_for(b"the cloud half")))
    with Loopback(service) as server:
        report = run(
            bundle, server.address, source, limit=10, engine_factory=lambda *args: slowed(fake_engine_for(*args))
        )
    assert report.tasks / report.throughput_per_s < 0.85 * 10 * (report.device_s + report.round_trip_s)


def test_server_unreachable(bundle, source):
    with pytest.raises(ConnectionFailed, match="no server at 127.0.0.1:1: ") as caught:
        run(bundle, "127.0.0.1:1", source)
    assert caught.value.hint == "coachc serve BUNDLE --listen 127.0.0.1:1"
    with pytest.raises(UsageError, match="cut 'middle' needs a server") as caught:
        run(bundle, None, source)
    assert caught.value.hint == "--server HOST:PORT"


def test_another_bundle_is_named(bundle, source, tmp_path):
    other = make_bundle(tmp_path / "other.coach", bits=5)
    with Loopback(make_service(other)) as server:
        with pytest.raises(WrongBundleError) as caught:
            run(bundle, server.address, source)
        assert (
            caught.value.message
            == f"the server at {server.address} runs {other.served_name}, this bundle is {bundle.served_name}"
        )
        assert caught.value.hint == f"serve this bundle: coachc serve {bundle.path}"


def test_another_cut_is_named(bundle, source):
    with Loopback(make_service(bundle, "raw")) as server:
        with pytest.raises(WrongBundleError, match="serves other cuts of this bundle only, not 'middle'") as caught:
            run(bundle, server.address, source)
    assert caught.value.context == (
        "expected  " + bundle.served_name,
        f"found     {bundle.served_name}-raw",
    )
    assert caught.value.hint == f"serve this bundle: coachc serve {bundle.path} --cut middle"
    impostor = json.dumps({"parameters": {"bundle_id": "x", "cut": "raw"}}).encode()
    with Loopback(Odd(make_service(bundle), get=Response(200, {}, impostor))) as server:
        with pytest.raises(WrongBundleError, match="runs cut 'raw' of bundle x") as caught:
            run(bundle, server.address, source)
    assert caught.value.context == (f"expected  cut 'middle' of bundle {bundle.bundle_id}",)


def test_one_server_answers_every_cut(bundle, source):
    """A run per cut, then one connection that changes its cut from task to task."""
    raw = whole_model(X).argmax(1)
    with Loopback(make_services(bundle)) as server:
        assert run(bundle, server.address, source).predictions == tuple(THROUGH_THE_CUT)
        assert run(bundle, server.address, source, cut="raw").predictions == tuple(raw)
        halves, cloud = Halves(bundle, fake_engine_for), CloudHalf(bundle, server.address, 5.0)
        cloud.check(["middle", "raw"])
        cuts = ["middle", "raw", "raw", "middle"] * 5
        answers = [
            cloud.infer(halves.half(cut).run({"input": X[task : task + 1]}), cut) for task, cut in enumerate(cuts)
        ]
        with pytest.raises(BundleError, match="cut 'device-only' has no cloud half") as caught:
            cloud.infer({}, "device-only")
        cloud.connection.close()
    assert caught.value.hint == "cuts with one: middle, raw, jpeg"
    expected = [THROUGH_THE_CUT if cut == "middle" else raw for cut in cuts]
    assert [answer.outputs["scores"].argmax() for answer in answers] == [expected[task][task] for task in range(N)]
    assert {answer.payload_bytes for answer in answers} == {26, 192}


class Odd:
    """A service whose answers are what the test says."""

    def at(self, path):
        return self

    def __init__(self, service, get=None, infer=None):
        self._service, self._get, self._infer = service, get, infer

    def refuse(self, method, path, length):
        if self._get is not None and method == "GET":
            return self._get
        return self._service.refuse(method, path, length)

    def infer(self, headers, body):
        return self._infer


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"hello", "with something that is not JSON"),
        (b"[]", "does not say which bundle it runs"),
        (b'{"parameters":3}', "does not say which bundle it runs"),
    ],
)
def test_servers_of_another_kind_are_refused(bundle, source, body, message):
    with Loopback(Odd(make_service(bundle), get=Response(200, {}, body))) as server:
        with pytest.raises(RemoteProtocolError, match=message):
            run(bundle, server.address, source)
    with Loopback(Odd(make_service(bundle), get=Response(404, {}, body))) as server:
        with pytest.raises(WrongBundleError, match="answers 404: .no reason given."):
            run(bundle, server.address, source)


WRONG = [
    (Response(200, {}, b"hello"), "the JSON header is not valid JSON"),
    (Response(200, {}, b'{"outputs":[]}'), "the answer has no output 'scores'"),
    (Response(200, {}, b"x" * 99999), "answers with more than"),
    (Response(500, {}, b'{"error":"inference failed: x"}'), "answers 500: inference failed: x"),
    (Response(503, {}, b'{"error":"not now"}'), "answers 503: not now"),
    (Response(429, {}, b'{"error":"later"}'), "answers 429: later"),
    (Response(400, {}, b'{"error":"bad"}'), "answers 400: bad"),
    (Response(404, {}, b'{"error":"unloaded"}'), "answers 404: unloaded"),
]


@pytest.mark.parametrize("policy", ["none", None])
@pytest.mark.parametrize(("answer", "message"), WRONG, ids=[message for _, message in WRONG])
def test_the_device_answers_what_the_server_answers_wrongly(bundle, source, answer, message, policy):
    with Loopback(Odd(make_service(bundle), infer=answer)) as server:
        report = run(bundle, server.address, source, in_flight=3, policy=policy)
    assert report.predictions == tuple(whole_model(X).argmax(1))
    assert (report.errors, report.online.fallbacks > 0) == ({}, True)


@pytest.mark.parametrize(("answer", "message"), WRONG, ids=[message for _, message in WRONG])
def test_where_the_device_cannot_answer_each_task_has_its_error(tmp_path, source, answer, message):
    bundle = without_device_only(tmp_path / "split.coach")
    with Loopback(Odd(make_service(bundle), infer=answer)) as server:
        report = run(bundle, server.address, source, in_flight=3, limit=4, timeout_s=0.5)
    assert (report.tasks, report.errors) == (0, {"server": 4})
    assert all(message in outcome.reason for outcome in report.failed)


def without_device_only(path):
    """A bundle whose device cannot do without the server."""
    manifest = make_manifest()
    cuts = tuple(cut for cut in manifest.cuts if cut.mode != "device-only")
    write_bundle(str(path), manifest._replace(cuts=cuts), FILES, ROLES)
    return open_bundle(str(path))


def failing(at, error):
    """An engine factory whose engine fails at its `at`-th task."""
    calls = []

    def make(data, providers):
        inner = fake_engine_for(data)

        def compute(feed):
            calls.append(1)
            if len(calls) == at:
                raise error
            return inner.run(feed)

        return FakeEngine(compute)

    return make


@pytest.mark.parametrize("at", [1, 4, N])
def test_an_engine_that_fails_once_fails_one_task(bundle, source, at):
    """The whole model answers for it, which is another engine's business."""
    before = threading.active_count()
    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, source, engine_factory=failing(at, EngineError("out of memory")))
    assert (report.tasks, report.online.exits) == (N, {"fallback": 1})
    deadline = time.time() + 5
    while threading.active_count() > before and time.time() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_an_engine_that_fails_at_the_whole_model_too_is_one_error_a_task(bundle, source):
    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, source, engine_factory=lambda *args: FakeEngine(broken))
    assert (report.tasks, report.errors) == (0, {"device": N})
    assert {outcome.reason for outcome in report.failed} == {"out of memory"}
    report = run(bundle, None, source, cut="device-only", engine_factory=lambda *args: FakeEngine(broken))
    assert (report.tasks, report.errors) == (0, {"device": N})


def broken(feed):
    raise EngineError("out of memory")


def test_a_cloud_that_hangs_is_given_up_after_the_timeout(tmp_path, bundle, source):
    for made, expected in ((bundle, {}), (without_device_only(tmp_path / "split.coach"), {"link": 3})):
        service, over = make_service(made), threading.Event()
        service.infer = lambda headers, body, over=over: over.wait(20) and Response(200, {}, b"")
        start_s = time.time()
        with Loopback(service) as server:
            report = run(made, server.address, source, timeout_s=0.3, limit=3, policy="none")
            over.set()
        assert (report.errors, report.tasks) == (expected, 3 - sum(expected.values()))
        assert time.time() - start_s < 10


def test_a_device_half_of_another_cut_is_told_for_each_task(bundle, source):
    with Loopback(make_service(bundle)) as server:
        report = run(bundle, server.address, source, limit=2, engine_factory=lambda *args: FakeEngine(dict))
    assert report.errors == {"device": 2}
    assert {outcome.reason for outcome in report.failed} == {"the engine made no output 'scores'"}


def test_a_damaged_bundle_is_not_run(bundle, source):
    with open(os.path.join(bundle.path, "device.onnx"), "ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match="device.onnx in .* has another size"):
        run(bundle, None, source)


def test_outputs_without_rows_give_no_predictions(bundle, source):
    for scores in (np.zeros((1, 0)), np.zeros((1, 2, 3)), np.float32(1), np.zeros((1, 2, 64, 64))):
        factory = lambda *args: FakeEngine(lambda feed: {"scores": np.asarray(scores)})  # noqa: B023, E731
        report = run(bundle, None, source, cut="device-only", engine_factory=factory)
        assert report.predictions == ()
        assert report.accuracy is None


# The program.


def test_the_command_line_prints_one_json_object_last(bundle, source, capsys, monkeypatch):
    monkeypatch.setattr("coachc.runtime.device.run_bundle.OrtEngine", None)
    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", fake_engine_for)
    with Loopback(make_service(bundle)) as server:
        arguments = [bundle.path, "--server", server.address, "--source", source, "--json", "--limit", "8"]
        assert __main__.main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        result = json.loads(captured.out.splitlines()[-1])
        assert sorted(result) == [
            "accuracy",
            "against_plan",
            "audit_agreement",
            "audits",
            "bandwidth_bytes_per_s",
            "bytes_per_task",
            "cut",
            "ended_by",
            "engine",
            "errors",
            "exits",
            "fallbacks",
            "figures",
            "inputs_outside_calibration",
            "late",
            "latency_s",
            "load_s",
            "mode",
            "moves",
            "packed_bytes_per_task",
            "payload_bytes_per_task",
            "policy",
            "skipped",
            "stage_s",
            "stats_dropped",
            "submitted",
            "task",
            "tasks",
            "tasks_by_bits",
            "tasks_by_cut",
            "throughput_per_s",
        ]
        assert sorted(result["latency_s"]) == ["mean", "p50", "p95", "p99"]
        assert sorted(result["stage_s"]) == ["device", "round_trip"]
        assert (result["tasks"], result["accuracy"], result["cut"]) == (8, 0.375, "middle")
        assert __main__.main([bundle.path, "--server", server.address, "--source", source]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cut             middle (split)"
    assert "accuracy        75.00 %" in lines
    assert {line[15] for line in lines} == {" "}


def test_the_precision_on_the_command_line(tmp_path, source, capsys, monkeypatch):
    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", fake_engine_for)
    bundle = make_bundle(tmp_path / "b", levels=LEVELS, parameters="qdq")
    with Loopback(make_service(bundle)) as server:
        arguments = [bundle.path, "--server", server.address, "--source", source, "--json", "--bits"]
        assert __main__.main(arguments + ["2"]) == 0
        assert json.loads(capsys.readouterr().out)["packed_bytes_per_task"] == 14
        assert __main__.main(arguments + ["5"]) == 2
    assert capsys.readouterr().err == (
        "error[usage]: --bits 5: value 'features' of cut 'middle' cannot be sent at 5 bits\n"
        "  hint: it can at 2, 3, 4, 8\n"
    )


def test_device_only_on_the_command_line_notes_the_unused_server(bundle, source, capsys, monkeypatch):
    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", fake_engine_for)
    arguments = [bundle.path, "--cut", "device-only", "--source", source, "--json"]
    assert __main__.main(arguments) == 0
    assert capsys.readouterr().err == ""
    assert __main__.main([*arguments, "--server", "127.0.0.1:1"]) == 0
    assert capsys.readouterr().err == "note: cut 'device-only' runs on the device alone; --server is not used\n"


def test_errors_on_the_command_line(bundle, source, capsys):
    assert __main__.main([bundle.path, "--source", source, "--cut", "other"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[usage]: ")
    assert "hint: --cut takes one of middle, device-only, raw, jpeg" in captured.err
    for flag, value in (("--limit", "0"), ("--in-flight", "-1"), ("--timeout", "0"), ("--timeout", "nan")):
        with pytest.raises(SystemExit):
            __main__.main([bundle.path, "--source", source, flag, value])
        assert "has to be positive, not " + value in capsys.readouterr().err


def test_progress_rewrites_its_line_on_a_terminal_alone(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    for stream, said in ((Terminal(), "\r1/2 tasks\r2/2 tasks\n"), (io.StringIO(), "")):
        show = report.progress_of(stream)
        show(1, 2)
        show(2, 2)
        assert stream.getvalue() == said


@pytest.mark.needs("uvicorn")
@pytest.mark.needs("httptools")
@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
@pytest.mark.needs("PIL")
def test_both_programs_with_real_halves(tmp_path, source):
    from PIL import Image

    from tests.helpers.runtime_onnx import make_onnx_bundle

    bundle = make_onnx_bundle(tmp_path / "real.coach")
    (tmp_path / "images").mkdir()
    for index in range(3):
        image = np.random.RandomState(index).randint(0, 256, (9, 7, 3)).astype(np.uint8)
        Image.fromarray(image).save(str(tmp_path / "images" / f"{index}.png"))
    for cut, data, tasks in (("middle", source, N), ("jpeg", str(tmp_path / "images"), 3)):
        command = [sys.executable, "-m", "runtime.cloud", bundle.path, "--listen", "127.0.0.1:0", "--cut", cut]
        program = subprocess.Popen(command, stderr=subprocess.PIPE, universal_newlines=True)
        try:
            address = program.stderr.readline().split("http://")[1].split()[0]
            command = [sys.executable, "-m", "runtime.device", bundle.path, "--server", address, "--cut", cut]
            output = subprocess.check_output(command + ["--source", data, "--json"], universal_newlines=True)
            result = json.loads(output)
            assert result["tasks"] == tasks
            if cut == "middle":
                assert result["accuracy"] == 0.75
                assert result["engine"].startswith("onnxruntime ")
                report = run_all(bundle.path, address, data)
                assert report.predictions == tuple(THROUGH_THE_CUT)
            program.send_signal(signal.SIGTERM)
            assert program.wait(10) == 0
        finally:
            program.kill()
            program.wait()
            program.stderr.close()
