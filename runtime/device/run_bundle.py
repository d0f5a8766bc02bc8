"""One run of a bundle over a source, from what is asked for to a report: its policies, what it loads, its connections.

The threads that keep device, link and server busy at once are `senders`', what happens to one task is `run_task`'s.
"""

import itertools
import random
import time
from contextlib import closing
from typing import Any, Callable, Iterator, List, Optional, Sequence

import numpy as np

from ..bundle.manifest_types import Cut, Manifest
from ..bundle.signature import trusted_keys
from ..bundle.source import ImageSource, Source, open_source
from ..bundle.store import Bundle, open_bundle
from ..engines.choice import factory_of
from ..engines.halves import DeviceHalf, EngineFactory, Halves
from ..engines.ort_engine import CPU, OrtEngine
from ..errors import BundleError, CoachRuntimeError, ConnectionFailed, SourceError, WrongBundleError
from ..link.cloud_half import CloudHalf
from ..online.driver import Driver
from .metrics import mean, summarize
from .predictions import Arrays, top1_of
from .report import Answers, Online, Report
from .run_policies import check_features, plain_policy, policies_for
from .run_task import DeviceStage, Done
from .senders import PROBE_TIMEOUT_S, Uplink, run_tasks

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
    cut: Optional[str] = None,
    bits: Optional[int] = None,
    policy: Optional[str] = None,
    prefer: str = "accuracy",
    stats: Optional[str] = None,
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
        At most that many tasks.
    cut : str, optional
        The run stays at this one.
    bits : int, optional
        Precision of every packed value, instead of the chosen ones; then nothing is decided.
    policy : {"none", "paper", "default"}, optional
        What decides about exits and precision, and for default about cuts. Not given: default where the cut has one.
        With default a lost server is no error: the device answers by itself until it is back.
    prefer : {"accuracy", "bytes"}
        What default does with spare time on the link.
    stats : str, optional
        A file that gets a JSON object for each task, in the order of the answers.
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
    manifest = bundle.manifest
    wanted = manifest.cut(cut)
    if bits is not None:
        if policy not in (None, "none"):
            raise BundleError(
                f"--policy {policy} chooses the precision, and so does --bits {bits}", hint="leave one out"
            )
        _check_bits(wanted, bits)
        policies = {wanted.name: plain_policy(wanted, bits)}
    else:
        policies = policies_for(bundle, policy, wanted, cut is not None, server is not None)
    name = policies[wanted.name].name
    resilient = name == "default"
    alone = next(each.name for each in manifest.cuts if each.mode == "device-only") if resilient else None
    if allow_offline and not resilient:
        raise BundleError(f"policy {name} cannot begin without a server", hint="leave out --allow-offline")
    sending = [each for each in policies if manifest.cut(each).cloud is not None]
    if sending and server is None:
        raise ConnectionFailed(f"cut '{wanted.name}' needs a server", hint="--server HOST:PORT")
    source = open_source(source_path, manifest.model.inputs, manifest.preprocess)
    tasks = len(source) if limit is None else min(limit, len(source))
    load_start_s = time.perf_counter()
    halves = Halves(bundle, factory_of(engine, bundle, "device", engine_factory, engine_cache), providers)
    # All of them now, also the one for an outage: the first task that needs it will not wait.
    for each in sorted(set(policies).union([alone] if alone is not None else [])):
        half = halves.half(each)
        if each in policies:
            check_features(half, policies[each], manifest.model)
    load_s = time.perf_counter() - load_start_s
    driver = Driver(policies, wanted.name, alone, _planned_bandwidth(manifest), prefer, draw or random.Random(0).random)
    predict = top1_of(manifest.model)
    stage = DeviceStage(halves, policies, driver, predict, alone)
    stats_file = _open_stats(stats)
    clouds: List[CloudHalf] = []
    try:
        answers = Answers(manifest, lambda: driver.bandwidth_bytes_per_s, stats_file)
        uplink = None
        if sending and server is not None:
            clouds += [CloudHalf(bundle, server, timeout_s) for _ in range(in_flight)]
            down = _connect(clouds[0], sending, driver, name != "none", allow_offline)
            probe = _prober(bundle, server, min(timeout_s, PROBE_TIMEOUT_S), sending) if resilient else None
            uplink = Uplink(clouds, predict, driver, manifest.model.outputs[0].name, probe, down)
        half = halves.half(wanted.name)
        start_s = time.perf_counter()
        rows: Any = _images(wanted, source) if half.takes_images else iter(source)
        with closing(rows) as feeds:  # a generator that holds files open
            first = itertools.islice(feeds, tasks)
            run_tasks(first, stage, uplink, answers.add, lambda task: progress(task + 1, tasks))
        elapsed_s = time.perf_counter() - start_s
    finally:
        for cloud in clouds:
            cloud.connection.close()
        if stats_file is not None:
            stats_file.close()
    bandwidth = driver.bandwidth_bytes_per_s if sending else None
    online = answers.online(name, driver.moves, bandwidth, load_s)
    return _report(half, source.labels, answers.in_order(), elapsed_s, online)


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


def _open_stats(path: Optional[str]) -> Any:
    if path is None:
        return None
    try:
        return open(path, "w", encoding="ascii")
    except OSError as exc:
        raise CoachRuntimeError(f"cannot write --stats {path}: {exc.strerror or exc}") from exc


def _check_bits(cut: Cut, bits: int) -> None:
    """Raise BundleError unless the packed values of `cut` can all be sent at that precision."""
    packed = [value for value in cut.values if value.codec == "packed"]
    if not packed:
        raise BundleError(f"--bits {bits}: cut '{cut.name}' sends no packed values", hint="leave out --bits")
    for value in packed:
        # A half whose quantizers are constants knows the chosen precision only.
        known = cut.accepted_bits(value) if cut.device_parameters else (value.bits,)
        if bits not in known:
            raise BundleError(
                f"--bits {bits}: value '{value.name}' of cut '{cut.name}' cannot be sent at {bits} bits",
                hint="it can at " + ", ".join(str(there) for there in known),
            )


def _images(cut: Cut, source: Source) -> Iterator[Arrays]:
    if not isinstance(source, ImageSource):
        raise SourceError(
            f"cut '{cut.name}' sends JPEG images, and the source holds arrays",
            hint="--source takes a folder of images for it",
        )
    return ({cut.values[0].name: image} for image in source.images())


def _report(
    half: DeviceHalf, labels: Optional[np.ndarray], done: Sequence[Done], elapsed_s: float, online: Online
) -> Report:
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
        online=online,
    )
