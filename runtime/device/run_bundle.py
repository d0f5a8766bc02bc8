"""One run of a bundle over a source, from what is asked for to a report: its policies, what it loads, its connections.

The threads that keep device, link and server busy at once are `run_tasks`' and `senders`', what happens to one task is
`run_task`'s.
"""

import itertools
import random
import time
from contextlib import ExitStack, closing
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

import numpy as np

from ..bundle.feeds import Source
from ..bundle.image_source import ImageSource
from ..bundle.classes import classes_in
from ..bundle.label_check import check_labels
from ..bundle.manifest_types import Cut, Manifest
from ..bundle.signature import trusted_keys
from ..bundle.source import open_source
from ..bundle.store import Bundle, open_bundle
from ..engines.choice import factory_of
from ..engines.halves import DeviceHalf, EngineFactory, Halves
from ..engines.ort_engine import CPU, OrtEngine
from ..errors import CoachRuntimeError, ConnectionFailed, SourceError, WrongBundleError
from ..link.cloud_half import CloudHalf
from ..online.driver import Driver
from ..online.recorder import Recorder
from ..online.recording import Header
from .metrics import mean, summarize
from .input_watch import InputWatch
from .predictions import Arrays, top1_of
from .report import Answers, Online, Report
from .run_policies import ChosenPolicies, check_features, choose_policies
from .run_task import DeviceStage, Done
from .run_tasks import run_tasks
from .senders import PROBE_TIMEOUT_S, Uplink

#: Believed of the link where the bundle does not say what it was compiled for: the compiler's own default.
BANDWIDTH_BYTES_PER_S = 2.5e6


def run_bundle(
    bundle_path: str,
    server: Optional[str],
    source_path: str,
    *,
    providers: Sequence[str] = (CPU,),
    in_flight: int = 2,
    timeout_s: float = 10.0,
    limit: Optional[int] = None,
    strict: bool = False,
    cut: Optional[str] = None,
    bits: Optional[int] = None,
    policy: Optional[str] = None,
    prefer: str = "accuracy",
    interval_s: float = 0.0,
    stats: Optional[str] = None,
    record: Optional[str] = None,
    allow_offline: bool = False,
    trust: Optional[str] = None,
    draw: Optional[Callable[[], float]] = None,
    engine: str = "ort",
    engine_cache: Optional[str] = None,
    engine_factory: EngineFactory = OrtEngine,
    progress: Callable[[int, int], None] = lambda done, total: None,
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
    in_flight : int
        Requests on their way at once.
    timeout_s : float
        For connecting, and for each wait on a connection.
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
        With default a lost server is no error: the device answers by itself until it is back.
    prefer : {"accuracy", "bytes"}
        What default does with spare time on the link.
    interval_s : float
        Between the arrivals of tasks, as a camera gives them; 0: they wait for the pipeline.
    stats : str, optional
        A file that gets a JSON object for each task, in the order of the answers.
    record : str, optional
        A file that gets all the controller is asked and says, as `runtime.online.recording` states it.
    trust : str, optional
        Folder of public keys, one of which has to have signed the bundle.
    allow_offline : bool
        Begin without a server too. Policy default only.
    draw : callable, optional
        Numbers in [0, 1) that choose the exits to audit.
    engine : {"ort", "trt"}
        ONNX Runtime, or TensorRT, which builds its engines where none is there.
    engine_cache : str, optional
        Folder of engines that were built here.
    engine_factory : callable
        (model bytes, providers) -> Engine; for engine ort.
    progress : callable
        (tasks through the device half, tasks in all).

    Raises
    ------
    CoachRuntimeError
        Whatever went wrong first, in any thread.
    """
    bundle = open_bundle(bundle_path, trusted_keys(trust))
    chosen = choose_policies(bundle, cut, bits, policy, server is not None, allow_offline)
    model = bundle.manifest.model
    source = open_source(source_path, model.inputs, bundle.manifest.preprocess, limit=limit, strict=strict)
    check_labels(source.labels, classes_in(bundle.manifest), source.name_of)
    load_start_s = time.perf_counter()
    halves = Halves(bundle, factory_of(engine, bundle, "device", engine_factory, engine_cache), providers)
    _load(halves, chosen, bundle.manifest)
    load_s = time.perf_counter() - load_start_s
    with ExitStack() as cleanup:
        stats_file, record_file = [
            _open_to_write(cleanup, flag, path) for flag, path in (("--stats", stats), ("--record", record))
        ]
        driver = _driver(bundle, chosen, bits, prefer, draw or random.Random(0).random, interval_s, record_file)
        answers = Answers(bundle.manifest, lambda: driver.bandwidth_bytes_per_s, stats_file)
        uplink = None
        if chosen.sending and server is not None:
            clouds = [CloudHalf(bundle, server, timeout_s) for _ in range(in_flight)]
            for cloud in clouds:
                cleanup.callback(cloud.connection.close)
            uplink = _uplink(bundle, clouds, chosen, driver, allow_offline, timeout_s)
        stage = DeviceStage(halves, chosen.policies, driver, top1_of(model, bundle.manifest.task), chosen.alone)
        half = halves.half(chosen.cut.name)
        start_s = time.perf_counter()
        watch = InputWatch(bundle.manifest)
        rows: Any = _images(chosen.cut, source) if half.takes_images else watch.over(iter(source))
        cleanup.enter_context(closing(rows))  # a generator that holds files open
        run_tasks(rows, stage, uplink, answers.add, lambda task: progress(task + 1, len(source)), interval_s)
        elapsed_s = time.perf_counter() - start_s
    bandwidth = driver.bandwidth_bytes_per_s if chosen.sending else None
    online = answers.online(chosen.name, driver.moves, bandwidth, load_s)
    return _report(half, source, answers.in_order(), elapsed_s, online, bundle.manifest.task, watch.outside)


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
    return Recorder(record_file, header, chosen.policies, draw)


def _uplink(
    bundle: Bundle,
    clouds: Sequence[CloudHalf],
    chosen: ChosenPolicies,
    driver: Driver,
    allow_offline: bool,
    timeout_s: float,
) -> Uplink:
    """Connections that have been checked; only a run with a way around the server goes looking for a lost one."""
    model = bundle.manifest.model
    down = _connect(clouds[0], chosen.sending, driver, chosen.name != "none", allow_offline)
    probe = None
    if chosen.alone is not None:
        address = clouds[0].connection.address
        probe = _prober(bundle, address, min(timeout_s, PROBE_TIMEOUT_S), chosen.sending)
    return Uplink(clouds, top1_of(model, bundle.manifest.task), driver, model.outputs[0].name, probe, down)


def _connect(cloud: CloudHalf, cuts: Sequence[str], driver: Driver, timed: bool, allow_offline: bool) -> bool:
    """Check that the server runs what will be asked of it, and time a round trip; True if it is out of reach."""
    try:
        cloud.check(cuts)
        if timed:
            driver.reached(cloud.round_trip_s())
    except WrongBundleError:
        raise
    except ConnectionFailed:
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


def _images(cut: Cut, source: Source) -> Iterator[Arrays]:
    if not isinstance(source, ImageSource):
        raise SourceError(
            f"cut '{cut.name}' sends JPEG images, and the source holds arrays",
            hint="--source takes a folder of images for it",
        )
    return ({cut.values[0].name: image} for image in source.images())


def _report(
    half: DeviceHalf,
    source: Source,
    done: Sequence[Done],
    elapsed_s: float,
    online: Online,
    task: str,
    outside: Mapping[str, int],
) -> Report:
    labels = source.labels
    predictions = tuple(itertools.chain.from_iterable(item.predictions for item in done))
    accuracy = None
    if labels is not None and predictions:
        accuracy = float(np.mean(labels[: len(predictions)] == np.array(predictions)))
    return Report(
        cut=half.cut.name,
        mode=half.cut.mode,
        engine=half.description,
        tasks=len(done),
        accuracy=accuracy,
        bytes_per_task=mean([item.sent_bytes for item in done]),
        payload_bytes_per_task=mean([item.payload_bytes for item in done]),
        packed_bytes_per_task=mean([item.packed_bytes for item in done]),
        latency_s=summarize([item.latency_s for item in done]),
        throughput_per_s=len(done) / elapsed_s,
        device_s=mean([item.device_s for item in done]),
        round_trip_s=mean([item.round_trip_s for item in done if not item.exit]),
        predictions=predictions,
        skipped=source.skipped,
        online=online,
        task=task,
        outside=outside,
    )
