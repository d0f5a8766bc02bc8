"""The program around a run: signals, events, what it prints and how it ends."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.device import __main__
from coachc.runtime.device.program import stopped_by_signals
from coachc.runtime.device.run_bundle import run_bundle
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.errors import EngineError
from tests.helpers.device_run import run_all
from tests.helpers.faulty_link import FaultyLink
from tests.helpers.online_bundles import engine_for, inputs, make_online_bundle, policy_of, serve, whole_model
from tests.helpers.runtime_bundles import Loopback

in_main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread only"
)


@pytest.fixture
def bundle(tmp_path):
    return make_online_bundle(tmp_path / "b", policies=lambda name, cut: policy_of(name, cut, exits=False))


@pytest.fixture
def source(tmp_path):
    x = inputs(400)
    np.savez(str(tmp_path / "data.npz"), input=x, labels=whole_model(x).argmax(1))
    return str(tmp_path / "data.npz")


@pytest.fixture
def engines(monkeypatch):
    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", engine_for)


@in_main_thread
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_its_report(bundle, source, engines, capsys, number, code):
    before = signal.getsignal(number)
    with Loopback(serve(bundle)) as server:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), number))
        timer.start()
        arguments = [bundle.path, "--server", server.address, "--source", source, "--fps", "100", "--json"]
        assert __main__.main(arguments) == code
        timer.join()
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert 10 < report["tasks"] == report["submitted"] < 300
    assert f"note: {signal.Signals(number).name}: no more tasks are taken" in captured.err
    assert signal.getsignal(number) is before


@in_main_thread
def test_a_second_signal_of_a_kind_does_what_it_always_does():
    with stopped_by_signals() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()


def test_another_thread_leaves_signals_alone():
    before, found = signal.getsignal(signal.SIGTERM), []

    def elsewhere():
        with stopped_by_signals() as asked:
            found.append((asked, signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [([], True)]


def test_tasks_that_end_in_errors_are_a_finding(bundle, source, monkeypatch, capsys):
    def failing(data, providers):
        def compute(feed):
            raise EngineError("out of memory")

        inner = engine_for(data)
        return FakeEngine(compute, inner.input_names, inner.output_names)

    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", failing)
    monkeypatch.setattr("coachc.runtime.device.run_bundle.check_features", lambda *args: None)
    assert __main__.main([bundle.path, "--cut", "device-only", "--source", source, "--limit", "3"]) == 3
    captured = capsys.readouterr()
    assert "3 = 0 answered + 3 errors (3 at the device)" in captured.out
    assert captured.err.count("note: task ") == 1  # people are told once in a while


def test_events_are_lines_of_json(bundle, source, engines, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    with Loopback(serve(bundle)) as server, FaultyLink(server.address) as link:
        threading.Timer(0.4, link.set, ("cut",)).start()
        threading.Timer(0.8, link.set, ("pass",)).start()
        arguments = [bundle.path, "--server", link.address, "--source", source, "--fps", "150", "--limit", "400"]
        assert __main__.main([*arguments, "--log", str(log)]) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events][:2] == ["server lost", "server found"]
    assert events[0]["time_s"] <= events[1]["time_s"]
    assert events[1]["round_trip_s"] > 0
    captured = capsys.readouterr()
    assert "note: the server is out of reach: " in captured.err
    assert "400 = 400 answered + 0 errors" in captured.out


@pytest.mark.parametrize("text", ["100", "ms", "-1s", "0s", "1h"])
def test_a_deadline_has_a_unit(bundle, source, text, capsys):
    with pytest.raises(SystemExit):
        __main__.main([bundle.path, "--source", source, "--deadline", text])
    assert "--deadline" in capsys.readouterr().err


@pytest.mark.parametrize("alone", [True, False])
def test_deadlines(bundle, source, engines, tmp_path, alone):
    """Answers that come too late are made on the device, or are late."""
    bundle = bundle if alone else without_device_only(bundle, tmp_path / "split")
    with Loopback(serve(bundle, bytes_per_s=60000.0)) as server:  # 0.2 s a task
        report = run_all(
            bundle.path, server.address, source, limit=12, deadline_s=0.1, policy="none", engine_factory=engine_for
        )
    assert (report.tasks, report.errors) == (12, {})
    if alone:
        assert report.online.fallbacks + report.online.exits.get("device", 0) >= 10
        assert report.latency_s.p95 < 0.5
    else:
        assert report.late >= 10
        assert report.online.exits == {}


@in_main_thread
def test_a_second_ctrl_c_waits_for_nothing(bundle, source, engines, tmp_path):
    """Nobody answers, nobody else can, and nobody gives up before a minute."""
    split = without_device_only(bundle, tmp_path / "split")
    service, over, running = serve(split), threading.Event(), [True]

    class Stuck:
        def at(self, path):
            there = service.at(path)
            there.infer = lambda headers, body: over.wait(20) and None
            return there

    def interrupt():
        if running:
            os.kill(os.getpid(), signal.SIGINT)

    with Loopback(Stuck()) as server:
        timers = [threading.Timer(delay_s, interrupt) for delay_s in (0.5, 1.0)]
        for timer in timers:
            timer.start()
        start_s = time.monotonic()
        code = __main__.main([split.path, "--server", server.address, "--source", source, "--timeout", "60"])
        running.clear()
        over.set()
        for timer in timers:
            timer.join()
    assert (code, time.monotonic() - start_s < 10) == (130, True)


def without_device_only(bundle, path):
    """The same bundle for a device that cannot do without the server, and without policies."""
    manifest = bundle.manifest
    cuts = tuple(cut._replace(policy=None, features=()) for cut in manifest.cuts if cut.mode != "device-only")
    roles = {one.path: one.role for one in manifest.artefacts if one.role != "policy"}
    files = {path: bundle.read(path) for path in roles}
    write_bundle(str(path), manifest._replace(cuts=cuts, artefacts=()), files, roles)
    return open_bundle(str(path))
