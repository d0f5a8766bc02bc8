"""Does a run mend a wrong profile? Compile for one, run, compile again from the run, and compare with every cut.

    python -m coachc.bench.closing_loop MODEL.onnx ... [--seed 1] [--tasks 60]

The model's operators are measured on this machine, and their times multiplied by a factor of 1/3 to 3 for each kind,
drawn from the seed: that is the wrong profile of the device, and by one factor for all, of the server. Both programs
get a processor core each. Every boundary between blocks is timed as two halves as well, which says what the best cut
would have been.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coachc.calib.profiles.layer_owners import layer_owners, owners_of
from coachc.calib.profiles.measured_profile import mask_of_cut
from coachc.core.graph import WORK_KINDS, GraphView
from coachc.frontend.fuse import fuse
from coachc.frontend.model import Model
from coachc.frontend.onnx_import import import_model
from coachc.planning.measure_model import boundaries, time_parts
from coachc.runtime.bundle.profile_file import MeasuredProfile, Segment, read_profile, write_profile

FACTOR = 3.0
#: Cuts whose halves are in memory at once.
LOADED = 8
#: Processor cores of the two programs.
DEVICE_CORE, CLOUD_CORE = 0, 1


@dataclass(frozen=True)
class Loop:
    """What came of one model; seconds.

    Attributes
    ----------
    first_planned_s, first_s, second_planned_s, second_s : float
        Period of both plans, and what a run of each achieved.
    first, second : tuple of str
        Their cuts; none for one side only.
    cut_s, best_s : float
        The longer half at the second cut, and at the best of all, both timed here as pieces.
    best : tuple of str
    """

    first: tuple[str, ...]
    first_planned_s: float
    first_s: float
    second: tuple[str, ...]
    second_planned_s: float
    second_s: float
    cut_s: float
    best: tuple[str, ...]
    best_s: float


def wrong_profile(
    true: MeasuredProfile, model: Model, graph: GraphView, factors: Mapping[str, float]
) -> MeasuredProfile:
    """The layers of a profile, each multiplied by the factor of its operator's kind; nothing else of it."""
    owners = layer_owners(model, graph)

    def factor(name: str) -> float:
        found = owners_of(name, owners)
        return factors[graph.nodes[found[0]].work.kind] if found else 1.0

    layers = tuple(one._replace(seconds=one.seconds * factor(one.name)) for one in true.layers)
    return true._replace(layers=layers, segments=(), method="multiplied by secret factors")


def closing_loop(path: Path, folder: Path, seed: int, tasks: int) -> Loop:
    """Both compilations and runs of one model, and its halves at every boundary."""
    model = import_model(path)
    graph = fuse(model)
    random = np.random.default_rng(seed)
    factors = {kind: float(FACTOR ** random.uniform(-1, 1)) for kind in WORK_KINDS}
    _coachc("profile", str(path), "-o", str(folder / "true.json"), "--repeats", "10")
    true = read_profile(str(folder / "true.json"))
    write_profile(str(folder / "device.json"), wrong_profile(true, model, graph, factors))
    common = dict.fromkeys(WORK_KINDS, float(FACTOR ** random.uniform(-1, 1)))
    write_profile(str(folder / "cloud.json"), wrong_profile(true, model, graph, common))
    inputs: dict[str, Any] = {
        name: random.standard_normal((tasks, *model.values[name].shape[1:]), np.float32) for name in model.inputs
    }
    np.savez(folder / "in.npz", **inputs)
    cloud = "--cloud-profile", str(folder / "cloud.json")
    first, first_s = _plan_and_run(path, folder, "first", "--device-profile", str(folder / "device.json"), *cloud)
    second, second_s = _plan_and_run(path, folder, "second", "--from-run", str(folder / "first.json"), *cloud)
    chosen = _cut(second)
    mask = mask_of_cut(graph, chosen)
    assert mask is not None
    masks = sorted({mask, *boundaries(graph, [1.0] * len(graph.nodes), len(graph.nodes))})
    few = [masks[begin : begin + LOADED] for begin in range(0, len(masks), LOADED)]
    halves = longer_halves([part for some in few for part in time_parts(model, graph, some, 10)])
    best = min(halves, key=lambda cut: halves[cut])
    return Loop(
        _cut(first), first["period_s"], first_s, chosen, second["period_s"], second_s,
        halves[graph.cut_values(mask)], best, halves[best],
    )  # fmt: skip


def longer_halves(segments: Sequence[Segment]) -> dict[tuple[str, ...], float]:
    """Seconds of the longer half at each cut; of the whole model for no cut."""
    found: dict[tuple[str, ...], float] = {}
    for segment in segments:
        found[segment.values] = max(found.get(segment.values, 0.0), segment.seconds)
    return found


def _cut(plan: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(value["value"] for value in plan["cut"])


def _plan_and_run(path: Path, folder: Path, name: str, *profiles: str) -> tuple[Mapping[str, Any], float]:
    """The plan of one compilation, and the period that its run achieves."""
    bundle = folder / f"{name}.coach"
    said = json.loads(
        _coachc(
            "compile", str(path), "--device", "local", "--cloud", "local", "--calib", "random", "--bandwidth", "1Gbit",
            "--rtt", "0.1ms", "--mode", "split", "-o", str(bundle), "--json", *profiles,
        )
    )  # fmt: skip
    plan = said["plan"]
    in_flight = max(2, int(np.ceil(plan["latency_s"] / plan["period_s"])))
    with _server(bundle) as address:
        ran = json.loads(
            _coachc(
                "run", str(bundle), "--source", str(folder / "in.npz"), "--server", address, "--policy", "none",
                "--in-flight", str(in_flight), "--profile-out", str(folder / f"{name}.json"), "--json",
            )
        )  # fmt: skip
    return plan, ran["against_plan"]["period_s"]["achieved"]


def _coachc(*arguments: str) -> str:
    command = [*_on(DEVICE_CORE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


@contextmanager
def _server(bundle: Path) -> Iterator[str]:
    command = [*_on(CLOUD_CORE), "serve", str(bundle), "--listen", "127.0.0.1:0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.search(r"127\.0\.0\.1:\d+", line)
                if found:
                    yield found.group()
                    break
            else:
                raise SystemExit("the server did not start")
        finally:
            process.terminate()


def _on(core: int) -> list[str]:
    return ["taskset", "--cpu-list", str(core), sys.executable, "-m", "coachc"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print what came of each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=60)
    options = parser.parse_args(argv)
    os.sched_setaffinity(0, {DEVICE_CORE})
    for path in options.models:
        with tempfile.TemporaryDirectory() as folder:
            loop = closing_loop(Path(path), Path(folder), options.seed, options.tasks)
        print(Path(path).stem)
        for key, value in dataclasses.asdict(loop).items():
            text = ", ".join(value) if isinstance(value, tuple) else f"{value * 1e3:.2f} ms"
            print(f"  {key:<16} {text}", flush=True)


if __name__ == "__main__":
    main()
