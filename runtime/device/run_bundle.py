"""One run of a bundle over a source, from what is asked for to a report: its policies, what it loads, its connections.

The threads that keep device, link and server busy at once are `run_tasks`' and `senders`', what happens to one task is
`run_task`'s.
"""

import random
import time
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from ..bundle.feeds import Source
from ..bundle.image_source import ImageSource
from ..bundle.classes import classes_in
from ..bundle.label_check import check_labels
from ..bundle.manifest_types import Manifest
from ..bundle.profile_file import SeenLink, write_profile
from ..bundle.signature import trusted_keys
from ..bundle.source import open_source
from ..bundle.store import Bundle, open_bundle
from ..bundle.read_outputs import decoder_in, input_size
from ..engines.choice import factory_of
from ..engines.cores import usable_cores
from ..engines.halves import DeviceHalf, EngineFactory, Halves
from ..engines.ort_engine import CPU, OrtEngine
from ..errors import CoachRuntimeError, ConnectionFailed, EngineError, LocalProtocolError, SourceError, UsageError
from ..link.cloud_half import CloudHalf
from ..online.driver import Driver
from ..online.recorder import Recorder
from ..online.recording import Header
from .achieved_profile import achieved_profile
from .arrivals import arrivals, images, with_left_out
from .found import Findings, Sink, answers_file
from .handoff import Handoff
from .input_watch import InputWatch
from .outcome import Outcome
from .planned_stages import Compared, compare
from .predictions import Predict, reader_of
from .rate_probe import RateProbe
from .read_ahead import read_ahead
from .report import Online, Report
from .run_log import log_event
from .run_policies import ChosenPolicies, check_features, choose_policies
from .run_task import DeviceStage
from .run_tasks import Loop, Task
from .senders import Uplink
from .state_file import StateFile
from .stats_file import StatsFile
from .task_tally import Tally
from .watch import PROBE_TIMEOUT_S, Watch

#: Believed of the link where the bundle does not say what it was compiled for: the compiler's own default.
BANDWIDTH_BYTES_PER_S = 2.5e6
#: Tasks that may wait for a connection: one more than are needed, since stages take uneven times.
WAITING = 2
#: Threads that have nothing to do any more end within that; one that does not is in the kernel's hands.
CLOSE_S = 1.0


def run_bundle(
    bundle_path: str,
    server: Optional[str],
    source_path: str,
    *,
    providers: Sequence[str] = (CPU,),
    in_flight: Optional[int] = None,
    timeout_s: float = 10.0,
    deadline_s: Optional[float] = None,
    limit: Optional[int] = None,
    strict: bool = False,
    cut: Optional[str] = None,
    bits: Optional[int] = None,
    policy: Optional[str] = None,
    prefer: str = "accuracy",
    interval_s: float = 0.0,
    stats: Optional[str] = None,
    state: Optional[str] = None,
    record: Optional[str] = None,
    profile_out: Optional[str] = None,
    allow_offline: bool = False,
    trust: Optional[str] = None,
    draw: Optional[Callable[[], float]] = None,
    engine: str = "ort",
    engine_cache: Optional[str] = None,
    engine_factory: EngineFactory = OrtEngine,
    threads: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    answers: Optional[str] = None,
    sinks: Sequence[Sink] = (),
    least_score: Optional[float] = None,
    ended: Optional[Callable[[Outcome], None]] = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Run a bundle over a source, from its chosen cut on or at the one called `cut`.

    Parameters
    ----------
    bundle_path : str
    server : str or None
        HOST:PORT; not used where no cut sends anything.
    source_path : str
        As `runtime.bundle.source.open_source` takes it.
    providers : sequence of str
        For the device half's engine.
    in_flight : int, optional
        Requests on their way at once; as many as keep the slowest stage busy, if not given.
    timeout_s : float
        How long anybody waits for the server's answer to a task.
    deadline_s : float, optional
        How long an answer may take from the task's arrival. After it the device answers, where it can; else the
        server's answer is late.
    limit : int, optional
        At most that many tasks: labelled images spread over their classes, else the first ones.
    strict : bool
        A picture that cannot be read ends the run; else it is left out, and the report names it.
    cut : str, optional
        The run stays at this one.
    bits : int, optional
        Precision of every packed value, instead of the chosen ones; then nothing is decided.
    policy : {"none", "paper", "default"}, optional
        What decides about exits and precision, and for default about cuts. Not given: default where the cut has one.
        With any of them the device answers by itself what a server does not, where the bundle has a cut for that.
    prefer : {"accuracy", "bytes"}
        What default does with spare time on the link.
    interval_s : float
        Between the arrivals of tasks, as a camera gives them; 0: they wait for the pipeline.
    stats : str, optional
        A file that gets a JSON object for each task, in the order of the answers.
    state : str, optional
        A file that keeps what was learned of link and stages from one run of the bundle to the next.
    record : str, optional
        A file that gets all the controller is asked and says, as `runtime.online.recording` states it.
    profile_out : str, optional
        A file that gets what the run took as a measured profile, for `coachc compile --from-run`.
    trust : str, optional
        Folder of public keys, one of which has to have signed the bundle.
    allow_offline : bool
        Begin without a server too, where the device can answer by itself.
    draw : callable, optional
        Numbers in [0, 1) that choose the exits to audit.
    engine : {"ort", "trt"}
        ONNX Runtime, or TensorRT, which builds its engines where none is there.
    engine_cache : str, optional
        Folder of engines that were built here.
    engine_factory : callable
        (model bytes, providers) -> Engine; for engine ort.
    threads : int
        Of ONNX Runtime within an operator; 0: as many as pay.
    progress : callable
        (tasks through the device half, tasks in all).
    answers : str, optional
        A file that gets the boxes (.jsonl) or masks (.npz) that are found, in the source pictures' pixels.
    sinks : sequence of callable
        Get the name of each picture and what was found in it, as that file does.
    least_score : float, optional
        Of boxes that sinks get, if not the one that the bundle says; the file is of that one.
    ended : callable, optional
        Gets the outcome of each task, from any thread, in the order they come.
    stopping : callable
        True from when on no more tasks are to be taken.

    Returns
    -------
    Report
        Every task that came has an answer or an error in it. `ended_by` is what the source raised.

    Raises
    ------
    CoachRuntimeError
        What went wrong before the first task.
    """
    bundle = open_bundle(bundle_path, trusted_keys(trust))
    chosen = choose_policies(bundle, cut, bits, policy, server is not None, allow_offline)
    model = bundle.manifest.model
    source = open_source(source_path, model.inputs, bundle.manifest.preprocess, limit=limit, strict=strict)
    check_labels(source.labels, classes_in(bundle.manifest), source.name_of)
    load_start_s = time.perf_counter()
    make_engine: EngineFactory = engine_factory
    if engine_factory is OrtEngine:
        make_engine = partial(OrtEngine, threads=threads or None)
    halves = Halves(bundle, factory_of(engine, bundle, "device", make_engine, engine_cache), providers)
    _load(halves, chosen, bundle.manifest)
    load_s = time.perf_counter() - load_start_s
    with ExitStack() as cleanup:
        stats_file = None if stats is None else StatsFile(stats)
        if stats_file is not None:
            cleanup.callback(stats_file.close)
        record_file = _open_to_write(cleanup, "--record", record)
        driver = _driver(bundle, chosen, bits, prefer, draw or random.Random(0).random, interval_s, record_file)
        kept = None if state is None else StateFile(state, bundle.bundle_id, driver)
        read = reader_of(bundle.manifest, least_score)
        findings = _findings(bundle.manifest, source, answers, sinks, cleanup)
        tell = [each for each in (None if findings is None else findings.end, ended) if each is not None]
        tally = Tally(bundle.manifest, lambda: driver.bandwidth_bytes_per_s, stats_file, tell)
        uplink = None
        if chosen.sending and server is not None:
            uplink = _uplink(bundle, server, chosen, driver, read, allow_offline, timeout_s, tally.end)
            cleanup.callback(uplink.close, CLOSE_S)
        stage = DeviceStage(halves, chosen.policies, driver, read, chosen.alone)
        half = halves.half(chosen.cut.name)
        watch = InputWatch(bundle.manifest)
        rows: Any = images(chosen.cut, source) if half.takes_images else watch.over(iter(source))
        rows = with_left_out(rows, source)
        if isinstance(source, ImageSource):
            rows = read_ahead(rows)  # decoding takes as long as the device's half
        cleanup.enter_context(closing(rows))  # a generator that holds files open
        window = driver.window if in_flight is None else lambda: in_flight or 1

        def started(number: int) -> None:
            progress(number + 1, len(source))
            if kept is not None:
                kept.keep_now_and_then()

        loop = Loop(stage, uplink, tally.end, chosen.alone is not None, timeout_s, deadline_s, window, stopping)
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        ended_by = _run(loop, arrivals(rows, source, tally, interval_s, stopping, findings), started, uplink)
        elapsed_s = time.perf_counter() - start_s
        processor_s = (time.process_time() - start_cpu_s) / max(tally.answered, 1) / usable_cores()
        if tally.open:
            raise LocalProtocolError(f"{tally.open} of {tally.submitted} tasks have neither an answer nor an error")
        if kept is not None:
            kept.keep()
    bandwidth = driver.bandwidth_bytes_per_s if chosen.sending else None
    online = tally.online(chosen.name, driver.moves, bandwidth, load_s)
    times = tally.stages(half.cut.name)
    if profile_out is not None:
        link = None if bandwidth is None else SeenLink(bandwidth, driver.rtt_s)
        feed = None if isinstance(source, ImageSource) and half.takes_images else next(iter(source), None)
        write_profile(
            profile_out, achieved_profile(bundle, half.cut, times, feed, engine, providers, link, processor_s)
        )
    compared = compare(bundle.manifest, half.cut.name, half.description, times, tally.answered, elapsed_s, processor_s)
    report = _report(half, source, tally, elapsed_s, online, bundle.manifest.task, watch.outside, compared, ended_by)
    return report._replace(stats_dropped=0 if stats_file is None else stats_file.dropped)


def _findings(
    manifest: Manifest, source: Source, answers: Optional[str], sinks: Sequence[Sink], cleanup: ExitStack
) -> Optional[Findings]:
    """Where boxes and masks go; None where nobody wants them."""
    decoder = decoder_in(manifest)
    if decoder is None:
        if answers is not None:
            raise UsageError(
                f"--answers {answers}: the bundle does not say how its outputs are read as boxes or masks",
                ["found  task " + manifest.task],
                "compile it with --task detect or segment; --stats has the classes of a classifier",
            )
        return None
    wanted = list(sinks)
    if answers is not None:
        file = answers_file(answers, decoder)
        cleanup.callback(file.close)
        wanted.append(file)
    return Findings(source, input_size(manifest), manifest.model.inputs[0].shape[0], wanted) if wanted else None


def _run(
    loop: Loop, tasks: Iterator[Task], started: Callable[[int], None], uplink: Optional[Uplink]
) -> Optional[CoachRuntimeError]:
    """Every task to its outcome; what ended them early, where it is no fault of ours."""
    try:
        loop.run(tasks, started)
    except SourceError as exc:
        return exc
    except BaseException as exc:
        if uplink is not None:
            uplink.handoff.fail(exc)
        raise
    return None


def _load(halves: Halves, chosen: ChosenPolicies, manifest: Manifest) -> None:
    """All halves now, also the one for an outage: the first task that needs it will not wait."""
    for name in sorted(set(chosen.policies).union([chosen.alone] if chosen.alone is not None else [])):
        half = halves.half(name)
        if name in chosen.policies:
            check_features(half, chosen.policies[name], manifest.model)


def _driver(
    bundle: Bundle,
    chosen: ChosenPolicies,
    bits: Optional[int],
    prefer: str,
    draw: Callable[[], float],
    interval_s: float,
    record_file: Any,
) -> Driver:
    cut, bandwidth = chosen.cut.name, _planned_bandwidth(bundle.manifest)
    if record_file is None:
        return Driver(chosen.policies, cut, chosen.alone, bandwidth, prefer, draw, interval_s)
    cuts = tuple(chosen.policies)
    header = Header(bundle.bundle_id, chosen.name, bits, cuts, cut, chosen.alone, bandwidth, prefer, interval_s)
    return Recorder(record_file, header, chosen.policies, draw, lambda reason: log_event("record ended", reason=reason))


def _uplink(
    bundle: Bundle,
    server: str,
    chosen: ChosenPolicies,
    driver: Driver,
    read: Predict,
    allow_offline: bool,
    timeout_s: float,
    ended: Callable[[Outcome], None],
) -> Uplink:
    """The way to a server that has been checked, and who watches it."""
    keeps = chosen.alone is None
    first = CloudHalf(bundle, server, timeout_s)
    try:
        down = _connect(first, chosen.sending, driver, allow_offline)
    finally:
        first.connection.close()
    uplink = Uplink(
        lambda: CloudHalf(bundle, server, timeout_s),
        read,
        driver,
        bundle.manifest.model.outputs[0].name,
        Handoff(WAITING, down, keeps),
        keeps,
        ended,
    )
    probe = _prober(bundle, server, min(timeout_s, PROBE_TIMEOUT_S), chosen.sending)
    Watch(uplink, probe, RateProbe(server, lambda: driver.sent_bytes)).start()
    return uplink


def _connect(cloud: CloudHalf, cuts: Sequence[str], driver: Driver, allow_offline: bool) -> bool:
    """Check that the server runs what will be asked of it, and time a round trip; True if it is out of reach."""
    try:
        cloud.check(cuts)
        driver.reached(cloud.round_trip_s())
    except (ConnectionFailed, EngineError):
        if not allow_offline:
            raise
        return True
    return False


def _prober(bundle: Bundle, server: str, timeout_s: float, cuts: Sequence[str]) -> Callable[[], float]:
    def probe() -> float:
        cloud = CloudHalf(bundle, server, timeout_s)
        try:
            cloud.check(cuts)
            return cloud.round_trip_s()
        finally:
            cloud.connection.close()

    return probe


def _planned_bandwidth(manifest: Manifest) -> float:
    """What the bundle was compiled for; anything else than a positive number there is not ours to complain about."""
    found = manifest.link.get("bandwidth_bytes_per_s")
    return float(found) if isinstance(found, (int, float)) and found > 0 else BANDWIDTH_BYTES_PER_S


def _open_to_write(cleanup: ExitStack, flag: str, path: Optional[str]) -> Any:
    if path is None:
        return None
    try:
        return cleanup.enter_context(open(path, "w", encoding="ascii"))
    except OSError as exc:
        raise CoachRuntimeError(f"cannot write {flag} {path}: {exc.strerror or exc}") from exc


def _report(
    half: DeviceHalf,
    source: Source,
    tally: Tally,
    elapsed_s: float,
    online: Online,
    task: str,
    outside: Mapping[str, int],
    compared: Compared,
    ended_by: Optional[CoachRuntimeError],
) -> Report:
    sent_bytes, payload_bytes, packed_bytes = tally.bytes_per_task
    return Report(
        cut=half.cut.name,
        mode=half.cut.mode,
        engine=half.description,
        tasks=tally.answered,
        submitted=tally.submitted,
        errors=dict(sorted(tally.errors.items())),
        late=tally.late,
        accuracy=tally.accuracy,
        bytes_per_task=sent_bytes,
        payload_bytes_per_task=payload_bytes,
        packed_bytes_per_task=packed_bytes,
        latency_s=tally.latency.summary(),
        throughput_per_s=tally.answered / elapsed_s,
        device_s=tally.device_s,
        round_trip_s=tally.round_trip_s,
        skipped=source.skipped,
        online=online,
        task=task,
        outside=outside,
        compared=compared,
        ended_by=ended_by,
    )
