"""Timing operators on this machine: every kernel is found again, and the sum is that of whole runs."""

from __future__ import annotations

import json
import re
import time
from datetime import date

import numpy as np
import pytest

from coachc.calib.local_profile import kernel_owners, measure
from coachc.frontend import ort
from coachc.models import synthetic
from tests.helpers.onnx_models import batch_norm, imported, info, net, op, random_weight

pytestmark = pytest.mark.needs("onnxruntime")


def kernels(model, folder):
    """Seconds per kernel name, as ONNX Runtime reports one run."""
    session = ort.session(model.proto, "all", profile_prefix=str(folder / "run"))
    session.run(None, ort.seeded_inputs(model.proto, 0))
    with open(session.end_profiling(), encoding="utf-8") as stream:
        events = json.load(stream)
    found = {}
    for event in events:
        name = re.fullmatch(r"(.*?)(_token_\d+)?_kernel_time", event["name"])
        if event["cat"] == "Node" and name:
            found[name[1]] = event["args"]["op_name"]
    return found


def normalized():
    """Batch normalization before and behind convolutions, as in DenseNet."""
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4), op("Relu", "c", "r"), op("Conv", "r w", "d", pads=[1] * 4),
        op("Concat", "r d", "j", axis=1), op("BatchNormalization", "j n.s n.b n.m n.v", "b"), op("Relu", "b", "s"),
        op("Conv", "s v", "y", pads=[1] * 4),
    ]  # fmt: skip
    shapes = {"a": (16, 4, 3, 3), "w": (16, 16, 3, 3), "v": (16, 32, 3, 3)}
    weights = [*(random_weight(name, *shape) for name, shape in shapes.items()), *batch_norm("n", 32)]
    return net(nodes, ["x"], ["y"], weights)


@pytest.mark.parametrize("build", [synthetic.residual, synthetic.inception, synthetic.dense, normalized])
def test_every_kernel_belongs_to_an_operator(build, tmp_path):
    """Whatever layout and fusions ONNX Runtime chooses; only copies between layouts belong to nobody."""
    model, graph = imported(build(), tmp_path)
    owners = kernel_owners(model, graph)
    assert set(owners.values()) == set(range(len(graph.nodes)))
    strangers = {name: kind for name, kind in kernels(model, tmp_path).items() if name not in owners}
    assert set(strangers.values()) <= {"ReorderInput", "ReorderOutput"}, strangers


def test_convolutions_take_time(tmp_path):
    model, graph = imported(synthetic.residual(), tmp_path)
    profile = measure(model, graph, repeats=3)
    assert len(profile.seconds) == len(graph.nodes)
    assert all(s > 0 for node, s in zip(graph.nodes, profile.seconds, strict=True) if "Conv" in node.kind)
    assert (profile.target, profile.precision, profile.element_bytes) == ("local", "fp32", 4)
    assert profile.provenance.is_measured
    for part in ("ONNX Runtime", ort.version(), date.today().isoformat()[:7], "median of 3 runs"):
        assert part in profile.provenance.source
    # Quantizing takes between a nanosecond and ten microseconds a value, and starts within a millisecond.
    assert 1e5 < profile.bytes_per_s < 1e11
    assert 0 < profile.overhead_s < 1e-2


def test_the_big_convolution_dominates_and_the_sum_is_the_whole(tmp_path):
    nodes = [
        op("Conv", "x a", "c", pads=[1] * 4), op("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2]),
        op("Conv", "p b", "d"), op("GlobalAveragePool", "d", "y"),
    ]  # fmt: skip
    weights = [random_weight("a", 128, 64, 3, 3), random_weight("b", 4, 128, 1, 1)]
    model, graph = imported(net(nodes, [info("x", (1, 64, 64, 64))], ["y"], weights), tmp_path)
    profile = measure(model, graph, repeats=7)
    # 1.2 GFLOP beside 1 MFLOP and two passes over memory.
    assert profile.seconds[0] > 0.7 * sum(profile.seconds)
    session = ort.session(model.proto, "all")
    feed, times = ort.seeded_inputs(model.proto, 0), []
    for _ in range(10):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    # The machine is shared: the same order of magnitude is all that can be asked.
    assert 0.1 < sum(profile.seconds) / np.median(times[3:]) < 10
