"""Measure a model on this machine: its operators, and beginnings and ends of it as one piece each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import numpy as np

from coachc import __version__
from coachc.calib.profiles.layer_owners import map_layers
from coachc.core.graph import GraphView
from coachc.core.progress import Progress, silent
from coachc.frontend import ort
from coachc.frontend.model import Model
from coachc.passes.cluster import cluster
from coachc.passes.cut import split
from coachc.planning.measuring_engines import MeasuringEngine, OrtMeasuring
from coachc.runtime.bundle import numeric
from coachc.runtime.bundle.kernel_times import layers_of, middle_and_spread
from coachc.runtime.bundle.profile_file import MeasuredProfile, Segment
from coachc.runtime.health.clocks import chip_name, power_mode, processor_name

WARM_UP_RUNS = 3
REPEATS = 20
#: Beginnings and ends that are timed as one piece.
CUTS = 8
#: Values that a cut may have where it is one of those: more are no candidate for a link.
_MOST_VALUES = 3


def measure_model(
    model: Model,
    graph: GraphView,
    *,
    repeats: int = REPEATS,
    cuts: int = CUTS,
    progress: Progress = silent,
    engine: MeasuringEngine | None = None,
) -> MeasuredProfile:
    """Time every fused operator of `model` here, and some of its beginnings and ends.

    The engine's own profiler gives seconds per executed layer. Pieces take turns, so that a machine that slows down
    slows all of them, and medians are kept.

    Parameters
    ----------
    model : Model
    graph : GraphView
        Of the same model.
    repeats : int
        Timed runs after `WARM_UP_RUNS`.
    cuts : int
        Cuts at which both sides are timed; fewer where the model has fewer.
    progress : callable
    engine : MeasuringEngine, optional
        ONNX Runtime, if not given.
    """
    engine = engine or OrtMeasuring()
    progress("measuring operators", 0, 0)
    feed = ort.seeded_inputs(model.proto, seed=0)
    layers = layers_of(engine.layers(model.proto, feed, WARM_UP_RUNS + repeats), WARM_UP_RUNS)
    seconds = map_layers([(layer.name, layer.seconds) for layer in layers], model, graph).seconds
    segments = time_parts(model, graph, boundaries(graph, seconds, cuts), repeats, progress, engine)
    overhead_s, bytes_per_s = _quantizer_rate()
    return MeasuredProfile(
        model_sha256=model.sha256,
        inputs={name: model.values[name].shape for name in model.inputs},
        backend=engine.backend,
        precision=engine.precision,
        machine=processor_name(),
        power_mode=power_mode(),
        versions={"coachc": __version__, **engine.versions()},
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        warm_up=WARM_UP_RUNS,
        repeats=repeats,
        method=f"median of {repeats} runs, corrected at {len(segments) // 2} cuts",
        layers=layers,
        segments=segments,
        bytes_per_s=bytes_per_s,
        overhead_s=overhead_s,
        chip=chip_name(),
    )


def boundaries(graph: GraphView, seconds: Sequence[float], cuts: int) -> list[int]:
    """Partitions between blocks of the model, at about even steps of its time; few values cross there."""
    done, masks = 0, []
    for block in cluster(graph).chain[:-1]:
        for node in block.nodes:
            done |= 1 << node
        values = [graph.values[name] for name in graph.cut_values(done)]
        if 0 < len(values) <= _MOST_VALUES and all(value.cuttable for value in values):
            masks.append(done)
    total_s = sum(seconds)
    passed_s = [sum(seconds[index] for index in graph.indices_in(mask)) for mask in masks]
    chosen = {
        min(range(len(masks)), key=lambda place: abs(passed_s[place] - total_s * step / (cuts + 1)))
        for step in range(1, cuts + 1)
        if masks
    }
    return [masks[place] for place in sorted(chosen)]


def time_parts(
    model: Model,
    graph: GraphView,
    masks: Sequence[int],
    repeats: int,
    progress: Progress = silent,
    engine: MeasuringEngine | None = None,
) -> tuple[Segment, ...]:
    """Both sides of these partitions and the whole model, timed in turn; with ONNX Runtime, if no engine is given."""
    feed = ort.seeded_inputs(model.proto, seed=0)
    return _timed(_pieces(model, graph, masks, feed, engine or OrtMeasuring()), repeats, progress)


_Piece = tuple[str, tuple[str, ...], Callable[[], object]]


def _pieces(
    model: Model, graph: GraphView, masks: Sequence[int], feed: dict[str, np.ndarray], engine: MeasuringEngine
) -> list[_Piece]:
    """Beginnings and ends at these partitions and the whole, each loaded and ready to run."""
    pieces: list[_Piece] = [("whole", (), partial(engine.load(model.proto), feed))]
    for mask in masks:
        head, tail = (engine.load(half) for half in split(model, graph, mask))
        values = tuple(graph.cut_values(mask))
        pieces.append(("device", values, partial(head, feed)))
        pieces.append(("cloud", values, partial(tail, {**feed, **head(feed)})))
    return pieces


def _timed(pieces: Sequence[_Piece], repeats: int, progress: Progress) -> tuple[Segment, ...]:
    times: list[list[float]] = [[] for _ in pieces]
    for turn in range(WARM_UP_RUNS + repeats):
        progress("measuring parts", turn, WARM_UP_RUNS + repeats)
        for place, (_, _, run) in enumerate(pieces):
            start = time.perf_counter()
            run()
            times[place].append(time.perf_counter() - start)
    return tuple(
        Segment(part, values, *middle_and_spread(seconds[WARM_UP_RUNS:]))
        for (part, values, _), seconds in zip(pieces, times, strict=True)
    )


def _quantizer_rate() -> tuple[float, float]:
    """Fixed seconds and bytes per second of quantizing here, from a small and a large tensor."""

    def median_s(elements: int) -> float:
        x = np.random.default_rng(0).standard_normal(elements, dtype=np.float32)
        times = []
        for _ in range(9):
            start = time.perf_counter()
            numeric.quantize(x, 0.05, 8, 4)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    overhead_s, large_s = median_s(64), median_s(1 << 20)
    return overhead_s, (1 << 20) * 5 / max(large_s - overhead_s, 1e-9)
