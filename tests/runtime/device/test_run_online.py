"""The online controller for real: exits, precision, audits, cuts, and a server that goes away, over sockets."""

import json
import threading
import time

import numpy as np
import pytest

from coachc.runtime.cloud.service import Service, Services
from coachc.runtime.device import __main__
from coachc.runtime.device.run_bundle import run_bundle
from tests.helpers.device_run import run_all
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Engines, Halves, cloud_engine
from coachc.runtime.errors import (
    BundleError,
    CoachRuntimeError,
    ConnectionFailed,
    UsageError,
    WrongBundleError,
)
from coachc.runtime.online import recording
from coachc.runtime.online.controller import Observation, State, decide
from coachc.runtime.online.driver import Driver
from coachc.runtime.online.feature import feature_of
from coachc.runtime.online.policy_file import encode_policies
from coachc.runtime.online.recording import Header, Recording
from tests.helpers.online_bundles import (
    BASE,
    BITS,
    Watched,
    alone_policy,
    engine_for,
    inputs,
    labels_at,
    make_online_bundle,
    policy_of,
    serve,
    whole_model,
)
from tests.helpers.runtime_bundles import Loopback, make_bundle

N = 60
X = inputs(N)
LABELS = whole_model(X).argmax(axis=1)


def run(bundle, server, source, **options):
    options.setdefault("engine_factory", engine_for)
    options.setdefault("draw", lambda: 1.0)
    return run_all(bundle.path, server, source, **options)


def lines_of(path):
    with open(str(path)) as stream:
        return sorted((json.loads(line) for line in stream), key=lambda line: line["task"])


@pytest.fixture
def bundle(tmp_path):
    return make_online_bundle(tmp_path / "online.coach")


@pytest.fixture
def source(tmp_path):
    np.savez(str(tmp_path / "data.npz"), input=X, labels=LABELS)
    return str(tmp_path / "data.npz")


def decisions(bundle, prefer):
    """What `decide` says of each row by itself: the head learns nothing."""
    cut = bundle.manifest.cut()
    half, policy = Halves(bundle, engine_for).half(), policy_of("default", "one")
    found = []
    for row in X:
        feature = feature_of(half.run({"input": row[None]}), cut.features)
        found.append(decide(Observation(feature, 1e9), State(policy), policy, prefer))
    return found


# Exits.


@pytest.mark.parametrize("in_flight", [1, 3])
def test_exits_are_those_of_decide_and_send_nothing(bundle, source, tmp_path, in_flight):
    expected = decisions(bundle, "bytes")
    exits = sum(decision.exit == "score" for decision in expected)
    assert 10 < exits < N - 10
    service = serve(bundle)
    with Loopback(service) as server:
        report = run(
            bundle, server.address, source, prefer="bytes", in_flight=in_flight, stats=str(tmp_path / "s.jsonl")
        )
    assert service.requests == N - exits
    online = report.online
    assert (online.policy, online.exits, online.audits, online.fallbacks) == ("default", {"score": exits}, 0, 0)
    assert (online.by_cut, online.moves) == ({"one": N}, 0)
    lines = lines_of(tmp_path / "s.jsonl")
    assert [line["task"] for line in lines] == list(range(N))
    for line, decision, prediction, row in zip(lines, expected, report.predictions, X):
        assert line["exit"] == decision.exit
        label = decision.label if decision.exit else labels_at(row[None], "one", decision.rung)[0]
        assert line["label"] == prediction == label
        assert line["bits"] == ([] if decision.exit else [BITS[decision.rung]])
        assert (line["bytes"] > 0) == (not decision.exit)
    assert {str(BITS[d.rung]) for d in expected if not d.exit} == set(online.by_bits) == {"2", "4"}
    assert sum(line["bytes"] for line in lines) / N == report.bytes_per_task


def test_policy_none_sends_everything_at_the_chosen_precision(bundle, source):
    service = serve(bundle)
    with Loopback(service) as server:
        report = run(bundle, server.address, source, policy="none")
        fixed = run(bundle, server.address, source, bits=8, limit=5)
    assert report.predictions == tuple(labels_at(X, "one", BASE))
    assert (report.online.policy, report.online.exits, report.online.by_bits) == ("none", {}, {"4": N})
    assert (fixed.online.policy, fixed.online.by_bits) == ("none", {"8": 5})
    assert service.requests == N + 5


def test_audits_go_to_the_server(bundle, source):
    expected = decisions(bundle, "bytes")
    exits = [task for task, decision in enumerate(expected) if decision.exit]
    service = serve(bundle)
    with Loopback(service) as server:
        report = run(bundle, server.address, source, prefer="bytes", draw=lambda: 0.0)
    assert service.requests == N
    assert (report.online.exits, report.online.audits) == ({}, len(exits))
    agreed = sum(labels_at(X[t : t + 1], "one", expected[t].rung)[0] == expected[t].label for t in exits)
    assert report.online.audits_agreed == agreed > 0
    assert report.to_json()["audit_agreement"] == agreed / len(exits)
    assert f"{len(exits)} sent to the server all the same, {agreed} got the same answer" in report.table()


def test_the_papers_policy_stays_at_its_cut_and_is_not_audited(tmp_path, source):
    bundle = make_online_bundle(tmp_path / "b", cuts=("one", "two"))
    with Loopback(serve(bundle)) as server:
        report = run(bundle, server.address, source, policy="paper", draw=lambda: 0.0)
    assert (report.online.policy, report.online.by_cut, report.online.audits) == ("paper", {"one": N}, 0)
    assert report.online.exits["score"] > 10
    # Eq. 11 as printed: the slowest precision that is still hidden; all have time on loopback.
    assert set(report.online.by_bits) <= {"2", "4", "8"}


# The link.


def no_exits(name, cut):
    return policy_of(name, cut, exits=False, adjust=(-float("inf"),))


def test_precision_follows_the_link(tmp_path, source):
    """No exits; 20 ms a task. 8 bits are 7 kB: 2 MB/s have time for them, 100 kB/s only for 2 bits."""
    bundle = make_online_bundle(tmp_path / "b", policies=no_exits)
    shown = []
    service = serve(bundle, bytes_per_s=2e6)
    slow = Slower(service, 24, 1e5, shown)

    def paced(data, providers):
        inner = engine_for(data)
        if data != b"first":
            return inner

        def compute(feed):
            time.sleep(0.02)
            return inner.run(feed)

        return FakeEngine(compute, inner.input_names, inner.output_names)

    with Loopback(slow) as server:
        report = run(bundle, server.address, source, engine_factory=paced, stats=str(tmp_path / "s.jsonl"))
    lines = lines_of(tmp_path / "s.jsonl")
    bits = [line["bits"][0] for line in lines]
    assert set(bits[5:20]) == {8}
    assert set(bits[-15:]) == {2}
    assert 0.5e5 < report.online.bandwidth_bytes_per_s < 2e5
    for line, prediction, row in zip(lines, report.predictions, X):
        assert prediction == labels_at(row[None], "one", BITS.index(line["bits"][0]))[0]


class Slower:
    """A watched service whose link gets another rate at some request."""

    def __init__(self, service, after, bytes_per_s, shown):
        self._service, self._after, self._rate = service, after, bytes_per_s

    def at(self, path):
        if self._service.requests >= self._after:
            self._service.bytes_per_s = self._rate
        return self._service.at(path)


def test_time_the_server_says_it_took_is_not_the_links(tmp_path, source):
    """The same delay of 30 ms on a small request: the link's, or the server's by its own word."""
    bundle = make_online_bundle(tmp_path / "b", policies=no_exits)
    rates = {}
    for says in (None, "total;dur=30.0", "cache;dur=1, total;dur=30"):
        with Loopback(serve(bundle, bytes_per_s=1.2e5, says=says)) as server:
            report = run(bundle, server.address, source, in_flight=1, limit=15, prefer="bytes")
        rates[says] = report.online.bandwidth_bytes_per_s
    assert rates[None] < 2e5
    assert all(rate > 3 * rates[None] for says, rate in rates.items() if says)


def test_a_half_in_one_piece_gets_its_precision_before_it_runs(tmp_path, source):
    """Without an edge there is nothing to quantize again: every admitted precision, whatever the score."""
    from tests.helpers.online_whole import make_whole_bundle, whole_engine_for

    bundle, runs = make_whole_bundle(tmp_path / "b"), []

    def counted(data, providers):
        inner = whole_engine_for(data)

        def compute(feed):
            runs.append(data)
            return inner.run(feed)

        return FakeEngine(compute, inner.input_names, inner.output_names)

    engines = Engines(bundle, whole_engine_for)
    cut = bundle.manifest.cut()
    service = Watched(Services([Service(bundle, cut, cloud_engine(engines, cut))]))
    with Loopback(service) as server:
        report = run(bundle, server.address, source, prefer="bytes", engine_factory=counted)
    assert report.online.by_bits == {"4": service.requests}
    assert report.online.exits["score"] == N - service.requests > 10
    # Once more for the zeros that say how long a feature is.
    assert runs.count(b"the device half") == N + 1


# Tasks that come at a pace, as from a camera.


def test_tasks_that_come_at_a_pace_wait_for_nothing_but_their_time(tmp_path, source):
    """Exits take no time here: their latency counts from the arrival, so a task that has to wait says so."""
    bundle = make_online_bundle(tmp_path / "b", policies=lambda name, cut: policy_of(name, cut, threshold=-1.0))
    delays = iter([0.25] + [0.0] * N)

    def once_slow(data, providers):
        inner = engine_for(data)
        if data != b"first":
            return inner
        calls = []

        def compute(feed):
            calls.append(1)
            if len(calls) > 1:  # the first are zeros, before the run
                time.sleep(next(delays))
            return inner.run(feed)

        return FakeEngine(compute, inner.input_names, inner.output_names)

    with Loopback(serve(bundle)) as server:
        report = run(
            bundle, server.address, source, engine_factory=once_slow, limit=12, interval_s=0.05,
            stats=str(tmp_path / "s.jsonl"),
        )  # fmt: skip
    latencies = [line["latency_s"] for line in lines_of(tmp_path / "s.jsonl")]
    assert report.online.exits == {"score": 12}
    # 11 intervals between the first and the last.
    assert 12 / 1.5 < report.throughput_per_s <= 12 / 0.55
    # The first holds the others up: they came 50 ms one after the other, and went through at once.
    assert latencies[0] >= 0.25
    assert 0.15 <= latencies[1] <= latencies[0] - 0.04
    assert latencies[4] < latencies[1]
    assert report.device_s < report.latency_s.mean


def test_without_a_server_they_come_at_a_pace_too(bundle, source):
    report = run(bundle, None, source, cut="device-only", limit=6, interval_s=0.03)
    assert report.throughput_per_s <= 6 / 0.15
    assert report.tasks == 6


def test_the_interval_is_time_the_link_has(tmp_path, source):
    """8 bits are 7 kB, 35 ms at 200 kB/s: too long for tasks of 20 ms, not for those that come every 80."""
    bundle = make_online_bundle(tmp_path / "b", policies=no_exits)
    stats = str(tmp_path / "s.jsonl")
    late = {}
    for interval_s in (0.0, 0.08):
        with Loopback(serve(bundle, bytes_per_s=2e5)) as server:
            run(bundle, server.address, source, limit=40, interval_s=interval_s, policy="paper", stats=stats)
        # Once the link is known.
        late[interval_s] = [line["bits"] for line in lines_of(stats)][-20:].count([8])
    assert late[0.08] > 10
    assert late[0.0] < 10


def test_what_is_lost_does_not_wait_for_the_next_arrival(bundle, source):
    """The server dies under the first task, the second comes 2 s later: the first is answered before it."""
    service = serve(bundle)

    class Dying:
        def at(self, path):
            there = service.at(path)
            there.infer = lambda headers, body: there.nothing  # an AttributeError: the connection drops
            return there

    with Loopback(Dying()) as server:
        report = run(bundle, server.address, source, limit=2, interval_s=2.0, policy="default", draw=lambda: 0.0)
    assert report.online.fallbacks >= 1
    assert report.latency_s.p99 < 1.5


# Records.


def test_a_run_is_recorded(bundle, source, tmp_path):
    service, path = serve(bundle), tmp_path / "run.record"

    class Dying:
        def at(self, path):
            service.dead = service.requests >= 20
            return service.at(path)

    with Loopback(Dying()) as server:
        report = run(bundle, server.address, source, record=str(path), interval_s=0.001)
    found = Recording(str(path))
    events = [event for _, event in found]
    assert found.header == Header(
        bundle.bundle_id, "default", None, ("one",), "one", "device-only", 2.5e6, "accuracy", 0.001
    )
    decided = [event for event in events if isinstance(event, recording.Decide)]
    assert sum(event.decision.exit == "score" for event in decided) == report.online.exits["score"]
    alone = sum(isinstance(event, recording.WasAlone) for event in events)
    assert len(decided) + alone == N == report.tasks
    assert sum(isinstance(event, recording.Lost) for event in events) == report.online.fallbacks
    assert all((event.draw is None) == (event.feature is None) for event in decided)


def test_a_record_that_cannot_be_written_is_said_before_the_run_starts(bundle, source, tmp_path):
    service = serve(bundle)
    with Loopback(service) as server:
        for flag in ("record", "stats"):
            with pytest.raises(CoachRuntimeError, match=f"cannot write --{flag} {tmp_path}: Is a directory"):
                run(bundle, server.address, source, **{flag: str(tmp_path)})
    assert service.requests == 0


# Cuts.


def two_cuts(name, cut):
    """Cut one is quick on the device and sends as much; cut two has a longer half."""
    return policy_of(name, cut, device_s=0.004 if cut == "one" else 0.008, exits=False, adjust=(-float("inf"),))


def test_cuts_follow_the_link(tmp_path, source):
    bundle = make_online_bundle(tmp_path / "b", cuts=("one", "two"), policies=two_cuts, alone_s=0.012)
    service = serve(bundle, bytes_per_s=3e4)
    with Loopback(service) as server:
        report = run(bundle, server.address, source, stats=str(tmp_path / "s.jsonl"))
        stays = run(bundle, server.address, source, cut="two", limit=3)
    lines = lines_of(tmp_path / "s.jsonl")
    assert lines[0]["cut"] == "one"
    assert [line["cut"] for line in lines].index("device-only") < 20
    assert report.online.by_cut["device-only"] > 30
    assert report.online.moves >= 1
    assert stays.online.by_cut == {"two": 3}
    for line, prediction, row in zip(lines, report.predictions, X):
        if line["cut"] == "device-only":
            assert (line["exit"], prediction) == ("device", whole_model(row[None]).argmax())


def test_a_link_that_is_not_used_is_probed(tmp_path):
    """The plan's link is fast, the first transfers slow; when it is fast again, a probe finds out."""
    count = 220
    np.savez(str(tmp_path / "data.npz"), input=inputs(count))
    bundle = make_online_bundle(tmp_path / "b", cuts=("one", "two"), policies=two_cuts, alone_s=0.012)
    service = serve(bundle, bytes_per_s=3e4)

    def paced(data, providers):
        inner = engine_for(data)
        if data != b"first":
            return inner

        def compute(feed):
            time.sleep(0.004)
            if service.requests >= 6:
                service.bytes_per_s = None
            return inner.run(feed)

        return FakeEngine(compute, inner.input_names, inner.output_names)

    with Loopback(service) as server:
        report = run(
            bundle, server.address, str(tmp_path / "data.npz"), engine_factory=paced, stats=str(tmp_path / "s.jsonl")
        )
    cuts = [line["cut"] for line in lines_of(tmp_path / "s.jsonl")]
    away = cuts.index("device-only")
    assert any(cut != "device-only" for cut in cuts[away + 50 :])
    assert report.online.moves >= 2


# Without a server.


def test_a_server_that_dies_is_done_without_and_used_again(tmp_path, monkeypatch):
    count = 400
    x = inputs(count, seed=4)
    np.savez(str(tmp_path / "data.npz"), input=x)
    bundle = make_online_bundle(tmp_path / "b", policies=no_exits)
    service = serve(bundle)
    died, lost = [], []

    class Watching(Driver):
        def lost(self, task):
            lost.append(task)
            super(Watching, self).lost(task)

    monkeypatch.setattr("coachc.runtime.device.run_bundle.Driver", Watching)

    def paced(data, providers):
        inner = engine_for(data)
        if data != b"first":
            return inner

        def compute(feed):
            time.sleep(0.003)
            if service.requests >= 40 and not died:
                died.append(time.time())
                service.dead = True
            if died and time.time() > died[0] + 0.3:
                service.dead = False
            return inner.run(feed)

        return FakeEngine(compute, inner.input_names, inner.output_names)

    with Loopback(service) as server:
        report = run(
            bundle, server.address, str(tmp_path / "data.npz"), engine_factory=paced, in_flight=3,
            stats=str(tmp_path / "s.jsonl"),
        )  # fmt: skip
    online, lines = report.online, lines_of(tmp_path / "s.jsonl")
    assert sorted(line["task"] for line in lines) == list(range(count))
    assert 1 <= online.fallbacks <= 8
    assert online.exits["device"] > 20
    assert lines[-1]["cut"] == "one"
    assert {line["exit"] for line in lines[-10:]} == {""}
    # What was lost keeps the link busy no more.
    assert len(lost) == len(set(lost)) == online.fallbacks
    assert online.moves == 2
    for line, prediction, row in zip(lines, report.predictions, x):
        rung = BITS.index(line["bits"][0]) if line["bits"] else None
        expected = whole_model(row[None]).argmax() if rung is None else labels_at(row[None], "one", rung)[0]
        assert line["label"] == prediction == expected
    assert f"{online.fallbacks} sent without an answer" in report.table()


def test_a_server_that_never_comes_back(bundle, source):
    service, threads = serve(bundle), threading.active_count()

    class Dying:
        def at(self, path):
            if service.requests >= 5:
                service.dead = True
            return service.at(path)

    with Loopback(Dying()) as server:
        report = run(bundle, server.address, source, in_flight=1)
        assert report.tasks == N
        assert report.online.fallbacks >= 1
        assert len(report.predictions) == N
    deadline = time.time() + 5
    while threading.active_count() > threads and time.time() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads


def test_a_server_that_hangs_is_done_without_after_the_timeout(bundle, source):
    service, over = serve(bundle), threading.Event()

    class Hanging:
        def at(self, path):
            there = service.at(path)
            there.infer = lambda headers, body: over.wait(20) and None
            return there

    with Loopback(Hanging()) as server:
        report = run(bundle, server.address, source, timeout_s=0.3)
        over.set()
    assert report.online.fallbacks >= 2
    answered = [task for task in range(N) if report.predictions[task] == LABELS[task]]
    assert (report.tasks, len(report.predictions)) == (N, N)
    assert len(answered) > 0.9 * N


@pytest.mark.parametrize("policy", ["none", "paper", "default"])
def test_every_policy_has_a_way_around_the_server(bundle, source, policy):
    service = serve(bundle)

    class Dying:
        def at(self, path):
            service.dead = service.requests >= 5
            return service.at(path)

    with Loopback(Dying()) as server:
        report = run(bundle, server.address, source, policy=policy, in_flight=2)
    assert (report.tasks, report.errors) == (N, {})
    assert report.online.exits["device"] + report.online.fallbacks > N / 2


def test_beginning_without_a_server_has_to_be_allowed(bundle, source):
    with pytest.raises(ConnectionFailed, match="no server at 127.0.0.1:1"):
        run(bundle, "127.0.0.1:1", source)
    for policy in ("default", "none", "paper"):
        report = run(bundle, "127.0.0.1:1", source, allow_offline=True, policy=policy)
        assert report.predictions == tuple(LABELS)
        assert (report.online.exits, report.bytes_per_task) == ({"device": N}, 0)
        assert f"{N} at device-only; changed 1 times" in report.table()
    with pytest.raises(UsageError, match="cut 'one' needs a server"):
        run(bundle, None, source)


def test_a_server_of_another_bundle_is_none(tmp_path, bundle, source):
    other = make_online_bundle(tmp_path / "other", policies=no_exits)
    with Loopback(serve(other)) as server:
        with pytest.raises(WrongBundleError, match="this bundle is"):
            run(bundle, server.address, source)
        report = run(bundle, server.address, source, allow_offline=True)
    assert (report.predictions, report.online.exits) == (tuple(LABELS), {"device": N})


# Policies that do not fit.


def policies_of(**changes):
    return encode_policies({"default": policy_of("default", "one")._replace(**changes)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nonsense", "not a policy file of this version"),
        (policies_of()[:-3], "a policy file of"),
        (encode_policies({}), "has no policy 'default'"),
        (encode_policies({"default": policy_of("paper", "one")}), "is policy 'paper' of cut 'one', expected 'default'"),
        (policies_of(cut="two"), "is policy 'default' of cut 'two', expected 'default' of 'one'"),
        (encode_policies({"default": alone_policy("default")._replace(cut="one")}), "0 precisions for 1 values"),
        (
            policies_of(rungs=tuple(r._replace(bits=(4, 4)) for r in policy_of("default", "one").rungs)),
            "a precision of 2 values, the cut sends 1",
        ),
        (
            policies_of(rungs=tuple(r._replace(bits=(7,)) for r in policy_of("default", "one").rungs)),
            "value 'b' cannot be sent at 7 bits",
        ),
    ],
)
def test_a_policy_file_that_does_not_fit_is_one_clear_error(tmp_path, source, data, message):
    bundle = make_online_bundle(tmp_path / "b", lambda files: {"one.policy": data})
    with pytest.raises(BundleError, match=message) as caught:
        run(bundle, "127.0.0.1:1", source)
    assert "recompile" in caught.value.hint
    assert "one.policy" in caught.value.message


def test_a_feature_of_another_length_is_an_error(tmp_path, source):
    rule = policy_of("default", "one").exits
    longer = rule._replace(
        scorer=rule.scorer._replace(weights=np.zeros((5, 4), np.float32), mean=np.zeros(4, np.float32))
    )
    bundle = make_online_bundle(tmp_path / "b", lambda files: {"one.policy": policies_of(exits=longer)})
    with pytest.raises(BundleError, match="takes features of 4 numbers, the device half makes 3") as caught:
        run(bundle, "127.0.0.1:1", source)
    assert "recompile" in caught.value.hint


def test_a_cut_without_a_policy(tmp_path, source):
    bundle = make_bundle(tmp_path / "b")
    for policy in ("paper", "default"):
        with pytest.raises(BundleError, match=f"--policy {policy}: cut 'middle' has no online policy") as caught:
            run(bundle, "127.0.0.1:1", source, policy=policy)
        assert caught.value.hint == "--policy none; or recompile with --calib"


def test_bits_and_a_policy_exclude_each_other(bundle, source):
    with pytest.raises(UsageError, match="--policy paper chooses the precision, and so does --bits 4"):
        run(bundle, "127.0.0.1:1", source, policy="paper", bits=4)


# The program.


def test_the_command_line(bundle, source, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(run_bundle.__kwdefaults__, "engine_factory", engine_for)
    stats = tmp_path / "s.jsonl"
    with Loopback(serve(bundle)) as server:
        arguments = [bundle.path, "--server", server.address, "--source", source, "--prefer", "bytes"]
        assert __main__.main([*arguments, "--stats", str(stats), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert __main__.main(arguments) == 0
        shown = capsys.readouterr().out
        assert __main__.main([*arguments, "--policy", "none"]) == 0
        assert "policy          none" in capsys.readouterr().out
        assert __main__.main([*arguments, "--stats", str(tmp_path)]) == 1
        assert "error[runtime]: cannot write --stats" in capsys.readouterr().err
        assert __main__.main([*arguments, "--record", str(tmp_path)]) == 1
        assert "error[runtime]: cannot write --record" in capsys.readouterr().err
        record = tmp_path / "run.record"
        assert __main__.main([*arguments, "--limit", "4", "--fps", "50", "--record", str(record), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["throughput_per_s"] <= 4 / 0.06
        assert Recording(str(record)).header.interval_s == 0.02
    assert result["policy"] == "default"
    assert result["tasks_by_cut"] == {"one": N}
    assert sum(result["tasks_by_bits"].values()) + sum(result["exits"].values()) == N
    assert len(lines_of(stats)) == N
    assert sorted(lines_of(stats)[0]) == [
        "audit", "bandwidth_bytes_per_s", "bits", "bytes", "cut", "exit", "label", "late", "latency_s", "task",
    ]  # fmt: skip
    for word in ("policy          default", "early exits ", "exits checked ", "bits ", "link ", "loading "):
        assert word in shown
