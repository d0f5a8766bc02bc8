"""Measure a profile on this machine: every fused operator timed with ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import platform
import re
import statistics
import tempfile
import time
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np

from coachc.core.graph import GraphView
from coachc.core.profile import Profile, Provenance
from coachc.cost.device import LOCAL
from coachc.frontend import ort
from coachc.frontend.model import Model
from coachc.runtime.bundle import numeric

WARM_UP_RUNS = 3
#: What ONNX Runtime's blocked layout appends to a value's name; the second is a batch normalization made a convolution.
BLOCKED_SUFFIXES = ("_nchwc", "_bn_nchwc")


def measure(model: Model, graph: GraphView, *, repeats: int = 20) -> Profile:
    """Time every fused operator of `model` here.

    ONNX Runtime's profiler gives seconds per executed kernel; a kernel counts for the fused operator that holds its
    node (`kernel_owners`). What it spends outside them (layout changes, session overhead) is spread in proportion, so
    that the sum is the measured time of the whole run.

    Parameters
    ----------
    model : Model
    graph : GraphView
        Of the same model.
    repeats : int
        Timed runs after the warm-up; medians are kept.

    Returns
    -------
    Profile
        Precision fp32, provenance measured: machine, tool version, date, repeats.
    """
    feed = ort.seeded_inputs(model.proto, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        session = ort.session(model.proto, level="all", profile_prefix=str(Path(folder) / "ort"))
        whole_s = []
        for _ in range(WARM_UP_RUNS + repeats):
            start = time.perf_counter()
            ort.run_sample(session, feed)
            whole_s.append(time.perf_counter() - start)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))

    durations: dict[str, list[float]] = defaultdict(list)
    for event in events:
        name = re.fullmatch(r"(.*?)(_token_\d+)?_kernel_time", event.get("name", ""))
        if event.get("cat") == "Node" and name:
            durations[name[1]].append(event["dur"] * 1e-6)
    owners = kernel_owners(model, graph)
    seconds = [0.0] * len(graph.nodes)
    for kernel in durations.keys() & owners.keys():
        seconds[owners[kernel]] += statistics.median(durations[kernel][WARM_UP_RUNS:])
    total_s = statistics.median(whole_s[WARM_UP_RUNS:])
    scale = total_s / sum(seconds) if sum(seconds) > 0 else 0.0

    overhead_s, bytes_per_s = _quantizer_rate()
    return Profile(
        target=LOCAL,
        precision="fp32",
        seconds=tuple(s * scale for s in seconds),
        bytes_per_s=bytes_per_s,
        overhead_s=overhead_s,
        element_bytes=4,
        provenance=Provenance(
            "measured",
            f"ONNX Runtime {ort.version()} on {platform.processor() or platform.machine()}, "
            f"{date.today().isoformat()}, median of {repeats} runs",
        ),
    )


def kernel_owners(model: Model, graph: GraphView) -> dict[str, int]:
    """Index of the fused operator behind each name that ONNX Runtime may give one of its kernels.

    Most kernels keep the name of their node. Those in its blocked layout, nearly all convolutions on x86, are named
    after the value they make.
    """
    index_of = {member: index for index, node in enumerate(graph.nodes) for member in node.members}
    return {
        name: index_of[node.name]
        for node in model.proto.graph.node
        if node.name in index_of
        for name in (node.name, *(f"{output}{suffix}" for output in node.output for suffix in BLOCKED_SUFFIXES))
    }


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
