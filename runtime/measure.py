"""``python3 -m runtime.measure BUNDLE|MODEL.onnx``: what a model takes on this device, as a file for the compiler.

Of a bundle the whole model and the device half of every cut are timed, with ONNX Runtime layer by layer too; of an ONNX
file the whole model and its layers. `coachc compile --device-profile FILE` plans with it.
"""

import argparse
import datetime
import hashlib
import os
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .bundle.kernel_times import layers_of, middle_and_spread
from .bundle.profile_file import Layer, MeasuredProfile, SeenPower, Segment, write_profile
from .bundle.signature import trusted_keys
from .bundle.store import Bundle, open_bundle
from .device.program_cost import program_seconds
from .engines.choice import add_arguments, factory_of
from .engines.halves import Halves
from .engines.ort_engine import CPU, OrtEngine
from .errors import UsageError
from .health.clocks import chip_name, power_mode, processor_name
from .health.power_rails import Drawn, PowerMeter, idle_watts
from .progress_lines import ProgressLines
from .programs import argument_parser, run_program

WARM_UP_RUNS = 3
#: How long the board is watched while nothing runs.
IDLE_S = 2.0
#: Of the precision a TensorRT half is timed at, where the bundle does not say.
HALF = "fp16"

Arrays = Dict[str, np.ndarray]
#: (step, done, total)
Progress = Callable[[str, int, int], None]


def measure_bundle(
    bundle: Bundle,
    engine: str = "ort",
    providers: Sequence[str] = (CPU,),
    cache: Optional[str] = None,
    repeats: int = 20,
    progress: Progress = lambda step, done, total: None,
) -> MeasuredProfile:
    """Time the device's side of every cut of a bundle, and the whole model.

    Parts take turns, so that a machine that slows down slows all of them; medians are kept.

    Raises
    ------
    CoachRuntimeError
        An engine cannot be made or does not run.
    """
    manifest = bundle.manifest
    feed = {spec.name: random_array(spec.shape, spec.dtype, place) for place, spec in enumerate(manifest.model.inputs)}
    halves = Halves(bundle, factory_of(engine, bundle, "device", OrtEngine, cache), providers)
    runs: List[Tuple[str, Tuple[str, ...], Callable[[], Any]]] = []
    for cut in manifest.cuts:
        half = halves.half(cut.name)
        values = tuple(value.name for value in cut.values)
        if not half.takes_images and (cut.before or cut.device or not values):
            runs.append(("device" if values else "whole", values, lambda half=half: half.run(feed)))  # type: ignore
    idle = idle_watts(IDLE_S)
    with PowerMeter() as meter:
        segments = _timed(runs, repeats, progress)
    power = _power(idle, meter.drawn)
    program_s = program_seconds(bundle, halves, feed, repeats)
    layers: Tuple[Layer, ...] = ()
    versions = {}
    if engine == "ort":
        model = bundle.read(next(one.path for one in manifest.artefacts if one.role == "model"))
        layers, whole, versions["onnxruntime"] = _layers(OrtEngine(model, providers, profile=True), feed, repeats)
        segments = [one for one in segments if one.part != "whole"] + whole
    else:
        versions["tensorrt"] = _tensorrt_version()
        layers = _engine_layers(halves, feed, repeats)
    precision = "fp32" if engine == "ort" else str(manifest.device.get("precision", HALF))
    shapes = {spec.name: tuple(spec.shape) for spec in manifest.model.inputs}
    found = _profile(manifest.model.sha256, shapes, engine, precision, versions, repeats, layers, segments)
    return found._replace(power=power, program_s=program_s)


def measure_model(path: str, providers: Sequence[str] = (CPU,), repeats: int = 20) -> MeasuredProfile:
    """Time an ONNX file with ONNX Runtime: all of it, and its layers.

    Raises
    ------
    UsageError
        An input has no fixed shape.
    CoachRuntimeError
        ONNX Runtime does not take the file.
    """
    engine = OrtEngine(path, providers, profile=True)
    feed, shapes = {}, {}
    for place, (name, shape, dtype) in enumerate(engine.inputs):
        if not all(isinstance(dim, int) for dim in shape):
            raise UsageError(
                "input '{}' of {} has no fixed shape: {}".format(name, path, list(shape)),
                hint="measure the bundle that was compiled from it",
            )
        feed[name], shapes[name] = random_array(shape, dtype, place), tuple(shape)
    layers, whole, version = _layers(engine, feed, repeats)
    with open(path, "rb") as stream:
        sha256 = hashlib.sha256(stream.read()).hexdigest()
    return _profile(sha256, shapes, "ort", "fp32", {"onnxruntime": version}, repeats, layers, whole)


def random_array(shape: Sequence[int], dtype: str, seed: int) -> np.ndarray:
    """Normal numbers, pixels for 8-bit integers, and 0 for what is probably an index."""
    random = np.random.RandomState(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return random.standard_normal(tuple(shape)).astype(kind)
    return random.randint(0, 256, tuple(shape)).astype(kind) if kind.itemsize == 1 else np.zeros(tuple(shape), kind)


def _layers(engine: OrtEngine, feed: Mapping[str, np.ndarray], repeats: int) -> Tuple[Any, List[Segment], str]:
    for _ in range(WARM_UP_RUNS + repeats):
        engine.run(feed)
    kernels, runs = engine.kernels()
    whole = Segment("whole", (), *middle_and_spread(runs[WARM_UP_RUNS:] or runs))
    return layers_of(kernels, WARM_UP_RUNS), [whole], engine.version


def _power(idle: Optional[Drawn], busy: Optional[Drawn]) -> Optional[SeenPower]:
    if idle is None or busy is None:
        return None
    return SeenPower(idle.watts, max(idle.watts, busy.watts), min(idle.readings, busy.readings))


def _engine_layers(halves: Halves, feed: Arrays, repeats: int) -> Tuple[Layer, ...]:
    """The layers of the engines that are the whole model; none where a bundle has no such cut."""
    cuts = halves.engines.bundle.manifest.cuts
    whole = next((cut for cut in cuts if not cut.values and cut.on_device), None)
    if whole is None:
        return ()
    times: Dict[str, List[float]] = {}
    half = halves.half(whole.name)
    for path in whole.on_device:
        if not halves.engines.load(path).watch_layers(lambda name, seconds: times.setdefault(name, []).append(seconds)):
            return ()
    for _ in range(WARM_UP_RUNS + repeats):
        half.run(feed)
    return layers_of(times, WARM_UP_RUNS)


def _timed(runs: Sequence[Tuple[str, Any, Callable[[], Any]]], repeats: int, progress: Progress) -> List[Segment]:
    times: List[List[float]] = [[] for _ in runs]
    for turn in range(WARM_UP_RUNS + repeats):
        progress("measuring", turn, WARM_UP_RUNS + repeats)
        for place, (_, _, run) in enumerate(runs):
            start_s = time.perf_counter()
            run()
            times[place].append(time.perf_counter() - start_s)
    return [
        Segment(part, values, *middle_and_spread(seconds[WARM_UP_RUNS:]), stage=True)
        for (part, values, _), seconds in zip(runs, times)
    ]


def _profile(
    sha256: str,
    shapes: Mapping[str, Tuple[int, ...]],
    engine: str,
    precision: str,
    versions: Mapping[str, str],
    repeats: int,
    layers: Tuple[Layer, ...],
    segments: Sequence[Segment],
) -> MeasuredProfile:
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return MeasuredProfile(
        sha256,
        shapes,
        "onnxruntime" if engine == "ort" else "tensorrt",
        precision,
        processor_name(),
        power_mode(),
        versions,
        now.isoformat(),
        WARM_UP_RUNS,
        repeats,
        "median of {} runs".format(repeats),
        layers,
        tuple(segments),
        chip=chip_name(),
    )


def _tensorrt_version() -> str:
    import tensorrt

    return str(tensorrt.__version__)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("measure", "Measure a model on this device, for coachc compile --device-profile.")
    parser.add_argument("model", metavar="BUNDLE|MODEL.onnx")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: the model's name with .profile.json")
    parser.add_argument("--repeats", metavar="N", type=int, default=20, help="timed runs; default %(default)s")
    parser.add_argument("--provider", action="append", help="ONNX Runtime execution provider, repeatable")
    parser.add_argument("--trust", metavar="DIR", help="refuse a bundle that none of this folder's *.pub keys signed")
    add_arguments(parser)
    options = parser.parse_args(argv)
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.repeats < 1:
        raise UsageError("--repeats {} measures nothing".format(options.repeats), hint="for example --repeats 20")
    providers = tuple(options.provider or (CPU,))
    lines = ProgressLines(sys.stderr)
    if options.model.lower().endswith(".onnx") and os.path.isfile(options.model):
        if options.engine != "ort":
            raise UsageError(
                "--engine {} measures bundles".format(options.engine),
                hint="for an ONNX file: trtexec --exportProfile=p.json, then coachc profile MODEL --import p.json",
            )
        profile = measure_model(options.model, providers, options.repeats)
    else:
        bundle = open_bundle(options.model, trusted_keys(options.trust))
        profile = measure_bundle(bundle, options.engine, providers, options.engine_cache, options.repeats, lines)
    name = os.path.splitext(os.path.basename(os.path.normpath(options.model)))[0]
    path = options.output or name + ".profile.json"
    write_profile(path, profile)
    whole = profile.whole
    print("measured  " + profile.source)
    if whole is not None:
        print("whole     {:.2f} ms".format(whole.seconds * 1e3))
    for one in profile.segments:
        if one.part == "device":
            print("up to     {:.2f} ms  {}".format(one.seconds * 1e3, ", ".join(one.values)))
    if profile.program_s:
        print("program   {:.2f} ms a task: decisions, coding, requests".format(profile.program_s * 1e3))
    if profile.power is not None:
        print("drawn     {:.1f} W while it runs, {:.1f} W idle".format(profile.power.busy_w, profile.power.idle_w))
    print("wrote     {}: coachc compile MODEL --device-profile {}".format(path, path))


if __name__ == "__main__":
    sys.exit(main())
