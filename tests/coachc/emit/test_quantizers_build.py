"""What coachc writes at a cut builds on every target, whatever the rank and type of the value that crosses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coachc.core.plan import BitPlan, Quantizer
from coachc.cost.device_files import find_device
from coachc.emit.two_halves import split_halves
from coachc.frontend import ort
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.bundle.quantizer_inputs import quantizer_feed
from coachc.targets.rules import errors
from coachc.targets.target import target_of
from tests.helpers.bundles import a_way
from tests.helpers.onnx_models import constant, imported, info, net, op

pytestmark = pytest.mark.needs("onnxruntime")

DEVICES = ("tx2", "xavier-nx", "orin-nano", "agx-orin", "local")
CLOUDS = ("a6000", "t4", "local")
SHAPES = ((), (7,), (2, 5), (1, 3, 4), (1, 3, 4, 2), (1, 3, 2, 2, 2))


def crossing(shape, dtype):
    """A value of that rank, made by an operator and read by another."""
    shift = constant("shift", np.full((1,) * len(shape), 0.25), dtype)
    nodes = [op("Add", "x shift", "v"), op("Mul", "v v", "y")]
    # An output of the model, too, so that the two are not fused.
    return net(nodes, [info("x", shape, dtype)], [info("v", shape, dtype), info("y", shape, dtype)], [shift])


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"rank {len(shape)}")
def test_quantized_halves_build_and_compute_the_codes(shape, dtype, per_channel, device, cloud, tmp_path):
    if per_channel and len(shape) < 2:
        pytest.skip("without channels there is one scale")
    model, graph = imported(crossing(shape, dtype), tmp_path)
    sides = {"device": find_device(device, side="device"), "cloud": find_device(cloud, side="cloud")}
    count = shape[1] if per_channel else 1
    rungs = tuple(
        Quantizer("v", "packed", bits, tuple(np.linspace(0.02, 0.05, count).tolist()), (1,) * count) for bits in (4, 8)
    )
    way = a_way(graph, 1, BitPlan(rungs[1:], ladder=(rungs,)))
    halves = split_halves(model, graph, way, sides["device"], sides["cloud"])
    assert not [lowering for lowering in halves.lowerings if lowering.failure]
    for side, spec in sides.items():
        for path in halves.cut.run_by(side):
            assert errors(halves.models[path], target_of(spec)) == [], path

    feed = ort.seeded_inputs(model.proto, 0)
    known = {**feed, **quantizer_feed(halves.cut, "device")}
    for path in halves.cut.on_device:
        known.update(ort.run(halves.models[path], {v.name: known[v.name] for v in halves.models[path].graph.input}))
    value = (feed["x"] + np.asarray(0.25, dtype)).astype(np.float32)
    wanted = quantize(value, rungs[1].scale, rungs[1].zero_point, 8)
    codes = known["v/codes"]
    assert codes.shape == shape
    np.testing.assert_array_equal(codes, wanted)
    (path,) = halves.cut.on_cloud
    answer = ort.run(halves.models[path], {"v/codes": codes.astype(np.uint8), **quantizer_feed(halves.cut, "cloud")})[
        "y"
    ]
    real = dequantize(wanted, rungs[1].scale, rungs[1].zero_point).astype(dtype)
    assert answer.shape == shape
    np.testing.assert_allclose(answer, real * real, rtol=2e-3 if dtype == "float16" else 1e-6)
    assert math.prod(shape) == answer.size
