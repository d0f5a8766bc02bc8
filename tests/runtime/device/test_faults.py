"""What fails between device and server while tasks come: none is lost, and the server is used again soon after.

Every task has one outcome, as the record of all of them says; how soon a server that is back is used is seen from
outside.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.cloud.service import Response
from coachc.runtime.device import stats_file
from coachc.runtime.device.outcome import Done, Failed
from tests.helpers.device_run import run_all
from tests.helpers.faulty_link import FaultyLink
from tests.helpers.online_bundles import engine_for, inputs, make_online_bundle, policy_of, serve, whole_model
from tests.helpers.runtime_bundles import Loopback

#: A second after which a server that is back has to be in use; the rule says two.
SOON_S = 2.0
FAULT_S = 0.4
TASKS = 3000
X = inputs(40)
LABELS = whole_model(X).argmax(1)


def no_exits(name, cut):
    return policy_of(name, cut, exits=False)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """One with policies, one that was made without samples, and one whose device cannot do without the server."""
    folder = tmp_path_factory.mktemp("bundles")
    calibrated = make_online_bundle(folder / "calibrated", policies=no_exits)
    manifest = calibrated.manifest
    plain = tuple(cut._replace(policy=None, features=()) for cut in manifest.cuts)
    roles = {one.path: one.role for one in manifest.artefacts if one.role != "policy"}
    files = {path: calibrated.read(path) for path in roles}
    write_bundle(str(folder / "plain"), manifest._replace(cuts=plain, artefacts=()), files, roles)
    split = tuple(cut for cut in plain if cut.mode != "device-only")
    write_bundle(str(folder / "split"), manifest._replace(cuts=split, artefacts=()), files, roles)
    return {
        "calibrated": calibrated,
        "plain": open_bundle(str(folder / "plain")),
        "split": open_bundle(str(folder / "split")),
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "data.npz"
    order = np.arange(TASKS) % len(X)
    np.savez(str(path), input=X[order], labels=LABELS[order])
    return str(path)


WAYS = [("calibrated", "default"), ("calibrated", "paper"), ("calibrated", "none"), ("plain", None), ("split", None)]


class Faults:
    """A run during which something fails and is well again.

    It goes on until the server has answered again, or for `SOON_S` and a bit.
    """

    def __init__(self, begin, end, fault_s):
        self._begin, self._end, self._fault_s = begin, end, fault_s
        self._lock = threading.Lock()
        self.outcomes = []
        self.well_s = None
        self.again_s = None
        self._start_s = None

    def ended(self, outcome):
        now_s = time.perf_counter()
        with self._lock:
            self.outcomes.append(outcome)
            answered = isinstance(outcome, Done) and outcome.exit == ""
            if answered and self.well_s is not None and self.again_s is None:
                # One that was sent before does not show that the server is in use.
                if now_s - outcome.latency_s > self.well_s:
                    self.again_s = now_s

    def stopping(self):
        now_s = time.perf_counter()
        if self._start_s is None:
            self._start_s = now_s
            threading.Thread(target=self._disturb, daemon=True).start()
        if self.well_s is None:
            return now_s - self._start_s > 30
        return self.again_s is not None and now_s > self.again_s + 0.1 or now_s > self.well_s + SOON_S + 1.5

    def _disturb(self):
        time.sleep(0.25)
        self._begin()
        time.sleep(self._fault_s)
        self._end()
        self.well_s = time.perf_counter()


def check(bundle, policy, address, source, begin, end, fault_s=FAULT_S, **options):
    """Run through a fault; the report."""
    faults = Faults(begin, end, fault_s)
    options.setdefault("timeout_s", 5.0)
    outcomes = []

    def ended(outcome):
        outcomes.append(outcome)
        faults.ended(outcome)

    from coachc.runtime.device.run_bundle import run_bundle

    report = run_bundle(
        bundle.path, address, source, policy=policy, interval_s=0.01, engine_factory=engine_for, ended=ended,
        stopping=faults.stopping, **options,
    )  # fmt: skip
    # Nothing is lost, nothing is answered twice.
    assert sorted(outcome.task for outcome in outcomes) == list(range(report.submitted))
    assert report.submitted == report.tasks + sum(report.errors.values())
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            assert outcome.reason
        elif outcome.exit in ("device", "fallback"):
            assert outcome.predictions == (LABELS[outcome.task % len(X)],)
    if bundle.manifest.cuts[-1].mode == "device-only":
        assert report.errors == {}, [outcome for outcome in outcomes if isinstance(outcome, Failed)][:3]
    assert faults.again_s is not None, f"the server was not used again: {report}"
    assert faults.again_s - faults.well_s < SOON_S
    assert report.accuracy is None or report.accuracy > 0.9
    return report


def fallen_back(report):
    """Tasks that were answered here, or that ended with an error: the fault was there."""
    return report.online.fallbacks + report.online.exits.get("device", 0) + sum(report.errors.values())


@pytest.mark.parametrize(("kind", "policy"), WAYS)
@pytest.mark.parametrize("mode", ["cut", "silent", "drip", "damage", "half", "garbage"])
def test_links_that_fail(bundles, source, mode, kind, policy):
    bundle = bundles[kind]
    with Loopback(serve(bundle)) as server, FaultyLink(server.address) as link:
        report = check(
            bundle, policy, link.address, source, lambda: link.set(mode), lambda: (link.set("pass"), link.drop()),
            1.2 if mode == "silent" else FAULT_S,
        )  # fmt: skip
    if kind != "split":
        assert fallen_back(report) > 5


class Moody:
    """A service that answers as it is told to for a while."""

    def __init__(self, service):
        self.says = None
        self._service = service

    def at(self, path):
        there = self._service.at(path)
        if there is None:
            return None
        if self.says is not None and path.endswith("/infer"):
            return Saying(self.says)
        return there


class Saying:
    def __init__(self, response):
        self._response = response

    def refuse(self, method, path, length):
        return None

    def infer(self, headers, body):
        return self._response


@pytest.mark.parametrize(("kind", "policy"), WAYS)
@pytest.mark.parametrize("status", [500, 503, 429, 404])
def test_servers_that_refuse(bundles, source, status, kind, policy):
    bundle = bundles[kind]
    service = Moody(serve(bundle))

    def say(response):
        service.says = response

    with Loopback(service) as server:
        report = check(
            bundle, policy, server.address, source,
            lambda: say(Response(status, {}, b'{"error":"not now"}')), lambda: say(None),
        )  # fmt: skip
    assert fallen_back(report) > 5 or kind == "split"


@pytest.mark.parametrize(("kind", "policy"), WAYS)
def test_a_server_that_comes_back_with_another_bundle_and_then_with_this(bundles, source, tmp_path, kind, policy):
    bundle = bundles[kind]
    other = make_online_bundle(tmp_path / "other", policies=no_exits, alone_s=0.07, precision="fp16")
    assert other.served_name != bundle.served_name
    with Loopback(serve(bundle)) as server, Loopback(serve(other)) as wrong, FaultyLink(server.address) as link:

        def restart(to):
            link.to = to
            link.drop()

        report = check(
            bundle, policy, link.address, source, lambda: restart(wrong.address), lambda: restart(server.address)
        )
    assert fallen_back(report) > 5 or kind == "split"


class Process:
    """A server in a process of its own, at one address."""

    def __init__(self, bundle):
        self._path, self._port = bundle.path, 0
        self.start()

    def start(self):
        command = [sys.executable, "-m", "tests.helpers.serve_online", self._path, str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, universal_newlines=True)
        self.address = self._process.stdout.readline().strip()
        self._port = int(self.address.rpartition(":")[2])

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.mark.parametrize(("kind", "policy"), [("calibrated", "default"), ("plain", None), ("split", None)])
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_server_process_that_stands_still_or_starts_again(bundles, source, how, kind, policy):
    server = Process(bundles[kind])
    begin, end = {
        "stopped": (lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)),
        "killed": (server.kill, server.start),
    }[how]
    try:
        report = check(bundles[kind], policy, server.address, source, begin, end, 1.2)
    finally:
        server.kill()
    assert fallen_back(report) > 5 or kind == "split"


@pytest.mark.parametrize(("kind", "policy"), [("calibrated", "default"), ("plain", None)])
def test_names_that_nobody_resolves(bundles, source, monkeypatch, kind, policy):
    bundle = bundles[kind]
    real = socket.getaddrinfo

    def gone(*args, **kwargs):
        time.sleep(0.3)  # a resolver that waits for its own server
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with Loopback(serve(bundle)) as server, FaultyLink(server.address) as link:
        port = link.address.rpartition(":")[2]

        def begin():
            monkeypatch.setattr(socket, "getaddrinfo", gone)
            link.drop()

        check(
            bundle, policy, f"localhost:{port}", source, begin,
            lambda: monkeypatch.setattr(socket, "getaddrinfo", real),
        )  # fmt: skip


def test_a_clock_that_jumps(bundles, source, monkeypatch):
    bundle, real = bundles["calibrated"], time.time
    with Loopback(serve(bundle)) as server:
        report = check(
            bundle, "default", server.address, source,
            lambda: monkeypatch.setattr(time, "time", lambda: real() - 86400.0),
            lambda: monkeypatch.setattr(time, "time", lambda: real() + 1e6),
        )  # fmt: skip
    assert report.online.fallbacks == 0


def test_statistics_on_a_full_disk(bundles, source, tmp_path, monkeypatch):
    bundle, full = bundles["calibrated"], []

    class Disk:
        def __init__(self, path, mode, **options):
            self._file = open(path, mode, **options)

        def write(self, text):
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(text)

        def __getattr__(self, name):
            return getattr(self._file, name)

    monkeypatch.setattr(stats_file, "open", Disk, raising=False)
    monkeypatch.setattr(stats_file, "RETRY_S", 0.1)
    path = tmp_path / "stats.jsonl"
    with Loopback(serve(bundle)) as server:
        report = check(bundle, "default", server.address, source, lambda: full.append(1), full.clear, stats=str(path))
    lines = path.read_text().splitlines()
    assert 0 < len(lines) < report.submitted
    assert report.stats_dropped == report.submitted - len([line for line in lines if line.endswith("}")])
    assert report.stats_dropped > 5


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_is_full_from_the_start(bundles, source):
    bundle = bundles["calibrated"]
    with Loopback(serve(bundle)) as server:
        report = run_all(bundle.path, server.address, source, limit=20, engine_factory=engine_for, stats="/dev/full")
    assert (report.tasks, report.errors, report.stats_dropped) == (20, {}, 20)
