"""Resident memory while calibrating does not grow with the number of pictures.

Run as a program, this file calibrates: a process of its own, so that nothing else counts.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SIDE = 224
FEW, MANY = 100, 500
CORES = 2
#: 59 samples prove it, and of 100 two thirds are kept back.
BUDGET = 0.05
#: A sample is 3x224x224 float32, and so are its activation at the cut and the second output.
SAMPLE_BYTES = 3 * SIDE * SIDE * 4


@pytest.mark.needs("PIL")
@pytest.mark.needs("onnxruntime")
def test_five_hundred_pictures_take_no_more_than_a_hundred(tmp_path):
    few, many = (calibrated(tmp_path, count) for count in (FEW, MANY))
    assert (few["samples"], many["samples"]) == (FEW, MANY)
    assert 3 * few["peak_bytes"] * 0.1 < (MANY - FEW) * SAMPLE_BYTES, "growth would not be seen"
    assert many["peak_bytes"] < 1.1 * few["peak_bytes"]


def calibrated(folder: Path, count: int) -> dict[str, int]:
    pictures = folder / str(count)
    write_pictures(pictures, count)
    done = subprocess.run(
        [sys.executable, __file__, str(pictures)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write_pictures(folder: Path, count: int) -> None:
    """Gradients of seeded colours, one folder for each of four directions."""
    from PIL import Image

    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 32)
    for index in range(count):
        along, across = np.meshgrid(ramp, ramp)
        share = (along, across, along * across, 1 - along)[index % 4][..., None]
        first, last = rng.uniform(0, 255, (2, 3))
        path = folder / f"direction{index % 4}"
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray((first * (1 - share) + last * share).astype(np.uint8)).save(path / f"{index:04}.png")


def main(folder: str) -> None:
    """Everything that calibration does with samples, at a cut as large as its input; prints the peak."""
    if hasattr(os, "sched_setaffinity"):
        # Samples wait for each core: of few cores, so that a hundred samples are more than may wait.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from coachc.calib.cut_evaluator import CutEvaluator
    from coachc.calib.dataset import open_dataset
    from coachc.calib.input_overview import Observer
    from coachc.calib.jpeg import measure_jpeg
    from coachc.calib.reference_answers import trial_of
    from coachc.frontend.fuse import fuse
    from coachc.frontend.onnx_import import import_model
    from coachc.passes.cut import boundary_name, split
    from coachc.runtime.bundle.manifest_types import TASKS, Preprocess
    from tests.helpers.bundles import save
    from tests.helpers.onnx_models import info, net, op, random_weight

    nodes = [op("MaxPool", "x", "r", kernel_shape=[1, 1]), op("Conv", "r w", "c", strides=[32, 32])]
    nodes += [op("GlobalAveragePool", "c", "p"), op("Flatten", "p", "f"), op("Gemm", "f k", "y")]
    weights = [random_weight("w", 4, 3, 3, 3), random_weight("k", 4, 5)]
    proto = net(nodes, [info("x", (1, 3, SIDE, SIDE))], [info("y", (1, 5)), info("r", (1, 3, SIDE, SIDE))], weights)
    model = import_model(save(proto, Path(folder) / "model.onnx"))
    graph = fuse(model)
    inputs = [model.values["x"]]
    preprocess = Preprocess((SIDE, SIDE), "bilinear", "rgb", "nchw", 255.0, (0.5,) * 3, (0.25,) * 3)
    data = open_dataset(folder, inputs, preprocess, max_samples=MANY)
    data.watch = Observer(inputs)
    trials = [trial_of(model.proto, data, task, BUDGET) for task in TASKS]
    assert all(trial.division.proves for trial in trials)
    measure_jpeg(model.proto, inputs, trials[0], BUDGET)
    head, tail = split(model, graph, 1)
    boundary = [(graph.values[name], boundary_name(graph, name)) for name in graph.cut_values(1)]
    assert [value.size_bytes for value, _ in boundary] == [SAMPLE_BYTES]
    for trial in trials:
        evaluator = CutEvaluator(head, tail, boundary, model.outputs, trial=trial, budget=BUDGET)
        for bits in (8, 4):
            evaluator.at(bits)
            evaluator.losses(evaluator.quantizers(bits), kept=True)
    print(json.dumps({"samples": data.samples, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """Largest resident size of this process so far.

    On Linux `ru_maxrss` also holds what the process was that this one was forked from, so the kernel's own count since
    the start of this program is read.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1])
