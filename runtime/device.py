"""The device program: ``python3 -m runtime.device BUNDLE --server HOST:PORT --source PATH``.

From a bundle and a source to a report; the threads that keep device, link and server busy at once are `pipeline`'s.
"""

import argparse
import itertools
import json
import sys
import time
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from runtime.bundle.manifest_types import Cut, ModelInfo
from runtime.bundle.preprocess import encode_jpeg
from runtime.bundle.source import ImageSource, Source, open_source
from runtime.bundle.store import open_bundle
from runtime.engines.base import Engine
from runtime.engines.ort_engine import CPU, OrtEngine
from runtime.errors import BundleError, CoachRuntimeError, ConnectionFailed, EngineError, SourceError
from runtime.metrics import mean, summarize
from runtime.offload import CloudHalf
from runtime.pipeline import Arrays, Done, Predict, Work, offload
from runtime.quantizer_inputs import quantizer_feed
from runtime.report import Report


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
    engine_factory: Callable[[bytes, Sequence[str]], Engine] = OrtEngine,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Run a bundle's chosen cut, or the one called `cut`, over a source.

    Parameters
    ----------
    bundle_path : str
    server : str or None
        HOST:PORT; not used by a device-only cut.
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
    bits : int, optional
        Precision of every packed value, instead of the chosen ones.
    engine_factory : callable
        (model bytes, providers) -> Engine.
    progress : callable
        (tasks through the device half, tasks in all).

    Raises
    ------
    CoachRuntimeError
        Whatever went wrong first, in any thread.
    """
    bundle = open_bundle(bundle_path)
    wanted = bundle.manifest.cut(cut)
    if bits is not None:
        _check_bits(wanted, bits)
    source = open_source(source_path, bundle.manifest.model.inputs, bundle.manifest.preprocess)
    tasks = len(source) if limit is None else min(limit, len(source))
    engine = None if wanted.device is None else engine_factory(bundle.read(wanted.device), providers)
    clouds: List[CloudHalf] = []
    if wanted.cloud is not None:
        if server is None:
            raise ConnectionFailed(f"cut '{wanted.name}' needs a server", hint="--server HOST:PORT")
        clouds = [CloudHalf(bundle, wanted, server, timeout_s, bits) for _ in range(in_flight)]
    try:
        if clouds:
            clouds[0].check()
        predict = _top1_of(bundle.manifest.model)
        start_s = time.perf_counter()
        halves = _device_halves(wanted, engine, source, quantizer_feed(wanted, "device", bits))
        works = _count(itertools.islice(halves, tasks), tasks, progress)
        if clouds:
            done = offload(works, clouds, predict)
        else:
            done = [_finish_alone(work, predict) for work in works]
        elapsed_s = time.perf_counter() - start_s
    finally:
        for cloud in clouds:
            cloud.connection.close()
    return _report(wanted, engine, source.labels, done, elapsed_s)


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


def _device_halves(cut: Cut, engine: Optional[Engine], source: Source, quantizers: Arrays) -> Iterator[Work]:
    """Device halves in the source's order. Reading the source is not part of a task's latency."""
    if engine is None:
        feeds = _images(cut, source)
    else:
        feeds = iter(source)
    for index, feed in enumerate(feeds):
        start_s = time.perf_counter()
        if engine is not None:
            outputs = engine.run(dict(feed, **quantizers) if quantizers else feed)
        else:
            value = cut.values[0]
            data = encode_jpeg(feed[value.name], int(value.level().scale[0]))
            outputs = {value.codes: np.frombuffer(data, dtype=np.uint8)}
        yield Work(index, start_s, time.perf_counter() - start_s, outputs)


def _images(cut: Cut, source: Source) -> Iterator[Arrays]:
    if not isinstance(source, ImageSource):
        raise SourceError(
            f"cut '{cut.name}' sends JPEG images, and the source holds arrays",
            hint="--source takes a folder of images for it",
        )
    return ({cut.values[0].name: image} for image in source.images())


def _count(works: Iterator[Work], total: int, progress: Callable[[int, int], None]) -> Iterator[Work]:
    for work in works:
        progress(work.task + 1, total)
        yield work


def _finish_alone(work: Work, predict: Predict) -> Done:
    latency_s = time.perf_counter() - work.start_s
    return Done(work.task, predict(work.outputs), latency_s, work.device_s, 0.0, 0, 0, 0)


def _report(
    cut: Cut, engine: Optional[Engine], labels: Optional[np.ndarray], done: Sequence[Done], elapsed_s: float
) -> Report:
    predictions = tuple(itertools.chain.from_iterable(item.predictions for item in done))
    accuracy = None
    if labels is not None and predictions:
        accuracy = float(np.mean(labels[: len(predictions)] == np.array(predictions)))
    return Report(
        cut=cut.name,
        mode=cut.mode,
        engine=engine.description if engine is not None else "none",
        tasks=len(done),
        accuracy=accuracy,
        bytes_per_task=mean([item.sent_bytes for item in done]),
        payload_bytes_per_task=mean([item.payload_bytes for item in done]),
        packed_bytes_per_task=mean([item.packed_bytes for item in done]),
        latency_s=summarize([item.latency_s for item in done]),
        throughput_per_s=len(done) / elapsed_s,
        device_s=mean([item.device_s for item in done]),
        round_trip_s=mean([item.round_trip_s for item in done]),
        predictions=predictions,
    )


def _top1_of(model: ModelInfo) -> Predict:
    """A function from model outputs to the class of each row; empty if the first output has no row per input row."""
    rows = model.inputs[0].shape[0]
    name = model.outputs[0].name

    def predict(outputs: Arrays) -> Tuple[int, ...]:
        if name not in outputs:
            raise EngineError(f"the engine made no output '{name}'")
        output = outputs[name]
        if output.size == 0 or (rows != 1 and output.shape[:1] != (rows,)):
            return ()
        return tuple(int(index) for index in output.reshape(rows, -1).argmax(axis=1))

    return predict


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m runtime.device", description="Run a bundle on this device.")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--server", metavar="HOST:PORT", help="needed unless the cut is device-only")
    parser.add_argument("--source", metavar="PATH", required=True, help="FILE.npz, or a folder of images")
    parser.add_argument("--cut", metavar="NAME", help="a cut other than the chosen one")
    parser.add_argument("--bits", metavar="N", type=int, help="precision of this run, instead of the chosen one")
    parser.add_argument("--provider", action="append", help="ONNX Runtime execution provider, repeatable")
    parser.add_argument("--in-flight", metavar="N", type=_positive(int), default=2, help="default %(default)s")
    parser.add_argument("--timeout", metavar="SECONDS", type=_positive(float), default=10.0, help="default %(default)s")
    parser.add_argument("--limit", metavar="N", type=_positive(int), help="at most N tasks")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")
    options = parser.parse_args(argv)
    try:
        report = run_bundle(
            options.bundle,
            options.server,
            options.source,
            providers=tuple(options.provider or (CPU,)),
            in_flight=options.in_flight,
            timeout_s=options.timeout,
            limit=options.limit,
            cut=options.cut,
            bits=options.bits,
            progress=show_progress if sys.stderr.isatty() else lambda done, total: None,
        )
    except CoachRuntimeError as exc:
        print(exc.render(), file=sys.stderr)
        return exc.exit_code
    if report.mode == "device-only" and options.server is not None:
        print(f"note: cut '{report.cut}' runs on the device alone; --server is not used", file=sys.stderr)
    print(json.dumps(report.to_json()) if options.json else report.table())
    return 0


def show_progress(done: int, total: int) -> None:
    """One line on stderr that rewrites itself."""
    print(f"\r{done}/{total} tasks", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError("has to be positive, not " + text)
        return value

    parse.__name__ = "number"
    return parse


if __name__ == "__main__":
    sys.exit(main())
